/** The agent's MQTT connection to a broker that renews its certificate, says nothing, or takes nothing. */
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { selfSignedFiles, until } from '@fleetgate/testkit'
import { generate, type Packet, parser } from 'mqtt-packet'
import t, { type Test } from 'tap'
import { loadConfig } from '../src/config.js'
import { createConnection } from '../src/connection.js'
import { startHeartbeat } from '../src/heartbeat.js'
import { clientId, quiet } from './bare.js'
import { makeFolders } from './machine.js'

t.setTimeout(120_000)

/** What a broker says to a packet; nothing where it is silent. */
type Answer = (packet: Packet) => object | undefined

const polite: Answer = ({ cmd, messageId }) => {
  if (cmd === 'connect') return { cmd: 'connack', returnCode: 0, sessionPresent: false }
  if (cmd === 'subscribe') return { cmd: 'suback', messageId, granted: [1] }
  return cmd === 'publish' ? { cmd: 'puback', messageId } : undefined
}

/** A broker of a few words; answers its port, the packets that have come, and how often somebody has connected. */
async function startBroker(t: Test, answer: Answer, tls?: TlsOptions) {
  const came: Packet[] = []
  const sockets = new Set<Socket>()
  const serve = (socket: Socket) => {
    sockets.add(socket)
    const reader = parser()
    socket.on('error', () => undefined)
    socket.on('data', (bytes: Buffer) => void reader.parse(bytes))
    reader.on('packet', (packet: Packet) => {
      came.push(packet)
      const said = answer(packet)
      if (said) socket.write(generate(said as Packet))
    })
  }
  const server = tls ? createTlsServer(tls, serve) : createServer(serve)
  let tries = 0
  server.on('connection', () => {
    tries += 1
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, came, tries: () => tries }
}

interface Options {
  url: string
  env?: NodeJS.ProcessEnv
  ackTimeoutMs?: number
  farewellMs?: number
}

function connect(t: Test, { url, env = {}, ...times }: Options) {
  const { state, root } = makeFolders(t)
  const { mqtt } = loadConfig({ CLIENT_ID: clientId, STATE_DIR: state, ROOTS: root, MQTT_URL: url, ...env })
  const connection = createConnection({ mqtt, clientId, log: quiet, ...times })
  t.teardown(() => connection.close())
  connection.start()
  return connection
}

t.test('a certificate authority that is replaced while the agent runs is used for the next connection', async (t) => {
  const { base } = makeFolders(t)
  const [before, after] = ['before', 'after'].map((name) => {
    mkdirSync(join(base, name))
    return selfSignedFiles(join(base, name))
  }) as [ReturnType<typeof selfSignedFiles>, ReturnType<typeof selfSignedFiles>]
  const ca = join(base, 'ca.pem')
  copyFileSync(before.certFile, ca)
  const tls = { cert: readFileSync(after.certFile), key: readFileSync(after.keyFile) }
  const { port, came, tries } = await startBroker(t, polite, tls)
  const connection = connect(t, { url: `mqtts://127.0.0.1:${port}`, env: { MQTT_CA_FILE: ca } })
  await until(() => tries() > 1, { what: 'a second try', deadlineMs: 30_000 })
  t.strictSame([connection.isConnected(), came], [false, []], 'a broker of another authority is not spoken to')
  copyFileSync(after.certFile, ca)
  await until(() => connection.isConnected(), { what: 'the connection', deadlineMs: 30_000 })
})

t.test('a broker that lets it in and does not answer the subscription is left for another try', async (t) => {
  let isSilent = true
  const { port, came } = await startBroker(t, (packet) => {
    return packet.cmd === 'subscribe' && isSilent ? undefined : polite(packet)
  })
  const connection = connect(t, { url: `mqtt://127.0.0.1:${port}`, ackTimeoutMs: 500 })
  await until(() => came.some(({ cmd }) => cmd === 'subscribe'), { what: 'the subscription', deadlineMs: 30_000 })
  isSilent = false
  await until(() => connection.isConnected(), { what: 'the next connection', deadlineMs: 30_000 })
  await connection.publish('x', 'y')
})

t.test('a broker that acknowledges nothing does not hold up the end', async (t) => {
  const { port, came } = await startBroker(t, (packet) => (packet.cmd === 'publish' ? undefined : polite(packet)))
  const connection = connect(t, { url: `mqtt://127.0.0.1:${port}`, farewellMs: 300 })
  await until(() => connection.isConnected(), { what: 'the connection', deadlineMs: 30_000 })
  const lost = t.rejects(connection.publish('x', 'y'), 'what it has not taken is not said to be sent')
  await until(() => came.some(({ cmd }) => cmd === 'publish'), { what: 'the message' })
  await connection.close()
  await lost
})

t.test(
  'a heartbeat is written while the machine is connected, and by no agent that is told nothing of it',
  async (t) => {
    const { base, state, root } = makeFolders(t)
    const file = join(base, 'heartbeat')
    let [isUp, asked, time] = [false, 0, 0]
    const isConnected = () => {
      asked += 1
      return isUp
    }
    const looks = (count: number) => {
      const mark = asked + count
      return until(() => asked >= mark, { what: 'more looks' })
    }
    t.teardown(startHeartbeat({ file, connection: { isConnected }, now: () => ++time, log: quiet, everyMs: 5 }))
    await looks(3)
    t.notOk(existsSync(file))
    isUp = true
    await until(() => existsSync(file) && Number(readFileSync(file, 'utf8')) >= 2, { what: 'the second beat' })
    isUp = false
    await looks(3)
    const last = readFileSync(file, 'utf8')
    await looks(3)
    t.equal(readFileSync(file, 'utf8'), last)
    const read = (env: NodeJS.ProcessEnv) => loadConfig({ STATE_DIR: state, ROOTS: root, ...env }).heartbeatFile
    t.same([read({}), read({ HEARTBEAT_FILE: file })], [undefined, file])
  }
)
