import { createHash, randomBytes } from 'node:crypto'
import {
  blockSize,
  clientConnected,
  clientDisconnected,
  downFilter,
  type FileInfo,
  listConnectedClients,
  newRequestId,
  uploadTopics,
  upTopic
} from '@fleetgate/contracts'
import { freePort, startParts, startService, testGuardKeys, until } from '@fleetgate/testkit'
import { connect, type MqttClient } from 'mqtt'
import t from 'tap'
import { addUser, callApi, logIn, openBus, secret } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
const bus = await openBus(t, parts, keys)
const mqttPort = await freePort()
const service = await startService(t, {
  name: 'broker-proxy',
  parts,
  env: { MQTT_PORT: String(mqttPort), LOG_LEVEL: 'debug' }
})
const running = { url: service.url, mqttUrl: `mqtt://127.0.0.1:${mqttPort}` }
await until(async () => (await callApi(running, keys).get('/api/v2/management/nodes')).status === 200, {
  what: 'the keys'
})
await addUser(running, keys, { name: 'machine1' })
const q1 = { qos: 1 } as const
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const stored = new Set<string>()
await bus.consumeUplink(['report', 'topic'], { durable: 'promise-test' }, async (batch) => {
  for (const { data } of batch) stored.add(Buffer.from(data.payload).toString())
})

t.test('a message is acknowledged only when the stream has it', async (t) => {
  const client = await logIn(t, running, 'machine1', 'promise-1')
  await client.publishAsync(upTopic('promise-1', 'report'), 'before', q1)
  await until(() => stored.has('before'), { what: 'the first message in the stream' })
  await parts.killNats()
  await until(async () => (await fetch(`${service.url}/readyz`)).status === 503, { what: 'the service to notice' })
  let isAcknowledged = false
  const sent = client.publishAsync(upTopic('promise-1', 'report'), 'during', q1).then(() => {
    isAcknowledged = true
  })
  // Its answer comes after the one that the message would have had at once.
  await client.subscribeAsync('fleet/promise-1/down/#', q1)
  t.notOk(isAcknowledged)
  await parts.startNats()
  await sent
  await until(() => stored.has('during'), { what: 'the message in the stream' })
})

t.test('no acknowledged message is lost when the service is killed', async (t) => {
  const machines = 8
  const each = 250
  const acknowledged = new Set<string>()
  const clients = Array.from({ length: machines }, (_, index) => persistent(t, `kill-${index}`))
  const work = clients.map(async (client, index) => {
    for (let n = 0; n < each; n++) await send(client, `kill-${index}`, `${index}:${n}`, acknowledged)
  })
  for (const mark of [300, 900, 1500]) {
    await until(() => acknowledged.size >= mark, { what: `${mark} acknowledgements`, deadlineMs: 30_000 })
    await service.kill('SIGKILL')
    await service.restart()
  }
  await Promise.all(work)
  t.equal(acknowledged.size, machines * each)
  await until(() => [...acknowledged].every((text) => stored.has(text)), { what: 'all of them in the stream' })
  t.same(
    [...acknowledged].filter((text) => !stored.has(text)),
    []
  )
})

t.test('an upload survives a kill between any two steps', async (t) => {
  const bytes = randomBytes(blockSize * 4 + 9)
  const sha256 = sha(bytes)
  const offsets = [0, 1, 2, 3, 4].map((index) => index * blockSize)
  let client = await uploader(t)
  await client.publishAsync(uploadTopics.init('killed'), JSON.stringify({ name: 'x', size: bytes.length }), q1)
  const acknowledged: number[] = []
  for (const offset of offsets) {
    const part = bytes.subarray(offset, offset + blockSize)
    const sent = client.publishAsync(uploadTopics.segment('killed', offset, sha(part)), part, q1)
    // Three are waited for, the others are on their way when the process dies.
    if (acknowledged.length < 3) await sent.then(() => acknowledged.push(offset))
    else sent.catch(() => undefined)
  }
  client = await again()
  const { received = [] } = await info(client)
  t.ok(
    acknowledged.every((offset) => received.includes(offset)),
    'what was acknowledged is there'
  )
  for (const offset of offsets.filter((one) => !received.includes(one))) {
    const part = bytes.subarray(offset, offset + blockSize)
    await client.publishAsync(uploadTopics.segment('killed', offset, sha(part)), part, q1)
  }
  for (const _ of [1, 2, 3]) {
    client.publishAsync(uploadTopics.fin('killed', bytes.length, sha256), '', q1).catch(() => undefined)
    client = await again()
  }
  await client.publishAsync(uploadTopics.fin('killed', bytes.length, sha256), '', q1)
  t.match(await info(client), { stored: true, size: bytes.length })

  async function again(): Promise<MqttClient> {
    await service.kill('SIGKILL')
    await service.restart()
    return uploader(t)
  }

  async function uploader(t: Tap): Promise<MqttClient> {
    const made = await logIn(t, running, 'machine1', 'upload-1')
    made.on('error', () => undefined)
    await made.subscribeAsync(downFilter('upload-1'), q1)
    return made
  }

  async function info(from: MqttClient): Promise<FileInfo> {
    const requestId = newRequestId()
    const answer = new Promise<FileInfo>((resolve) => {
      from.on('message', (_topic, payload) => {
        const told: FileInfo = JSON.parse(String(payload))
        if (told.requestId === requestId) resolve(told)
      })
    })
    await from.publishAsync(
      upTopic('upload-1', 'file-query'),
      JSON.stringify({ requestId, sha256, fileId: 'killed' }),
      q1
    )
    return answer
  }
})

t.test('who was connected when the service was killed is told to be gone, before anybody comes back', async (t) => {
  const events: string[] = []
  const up = await bus.watch(
    clientConnected,
    { sinceMs: 0 },
    ({ clientId }) => void (clientId === 'left-1' && events.push('up'))
  )
  const down = await bus.watch(
    clientDisconnected,
    { sinceMs: 0 },
    ({ clientId, reason }) => void (clientId === 'left-1' && events.push(reason))
  )
  t.teardown(() => Promise.all([up.stop(), down.stop()]))
  persistent(t, 'left-1')
  await until(async () => (await online()).includes('left-1'), { what: 'the client' })
  await service.kill('SIGKILL')
  await service.restart()
  await until(() => events.length >= 3, { what: 'three events' })
  t.same(events, ['up', 'broker restarted', 'up'])
})

t.test('a known machine may come while the database is away', async (t) => {
  const before = await logIn(t, running, 'machine1', 'away-1')
  await until(async () => (await online()).includes('away-1'), { what: 'the row' })
  await before.endAsync()
  await until(async () => !(await online()).includes('away-1'), { what: 'the end of the row' })
  await parts.killEngine()
  const client = await logIn(t, running, 'machine1', 'away-1')
  await client.publishAsync(upTopic('away-1', 'report'), 'database away', q1)
  await until(() => stored.has('database away'), { what: 'the message in the stream' })
  await parts.startEngine()
  await until(async () => (await online()).includes('away-1'), { what: 'the row', deadlineMs: 30_000 })
  t.ok(client.connected)
})

t.test('ends in order when told to', async (t) => {
  const client = await logIn(t, running, 'machine1', 'end-1')
  await service.kill('SIGTERM')
  await until(() => !client.connected, { what: 'the end of the connection' })
  t.match(service.output(), /"shut down"/)
  await service.restart()
  t.notOk((await online()).includes('end-1'))
})

t.test('secrets and tokens are never logged', async (t) => {
  const output = service.output()
  t.match(output, /"MQTT user created"/, 'there is a log')
  t.notOk(output.includes(secret))
  t.notOk(output.includes('eyJ'), 'the start of every token')
})

async function online(): Promise<string[]> {
  const { clients } = await bus.request(listConnectedClients, { after: '', limit: 1000 })
  return clients.map(({ clientId }) => clientId)
}

/** A machine that comes back by itself. */
function persistent(t: Tap, clientId: string): MqttClient {
  const client = connect(running.mqttUrl, {
    username: 'machine1',
    password: secret,
    clientId,
    protocolVersion: 4,
    reconnectPeriod: 50
  })
  client.on('error', () => undefined)
  t.teardown(() => client.endAsync(true))
  return client
}

/** Sends until it is acknowledged: also once more where the connection went away in between. */
function send(client: MqttClient, clientId: string, text: string, acknowledged: Set<string>): Promise<void> {
  return new Promise((resolve) => {
    const attempt = () =>
      client.publish(upTopic(clientId, 'report'), text, q1, (error) => {
        if (error) return void attempt()
        acknowledged.add(text)
        resolve()
      })
    attempt()
  })
}

type Tap = Pick<typeof t, 'teardown'>
