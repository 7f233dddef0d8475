import { connect, type Socket } from 'node:net'
import { until } from '@fleetgate/testkit'
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet'

/** MQTT on a bare socket: sends what it is told to and answers nothing by itself unless asked to. */
export interface RawClient {
  readonly packets: Packet[]
  readonly socket: Socket
  readonly isClosed: boolean
  send(packet: Packet): void
  /** Resolves with the first packet that fits, of those that came already too; each is given once. */
  next(cmd: Packet['cmd'], id?: number): Promise<Packet>
  close(): Promise<void>
}

export interface RawOptions {
  port: number
  clientId: string
  username: string
  password: string
  connect?: Partial<IConnectPacket>
  /** Called for each packet; what it answers is sent. */
  answer?: (packet: Packet) => Packet | undefined
}

/** Resolves with the CONNACK read, whatever its code. */
export async function rawClient(
  options: RawOptions
): Promise<RawClient & { returnCode: number; sessionPresent: boolean }> {
  const client = rawSocket(options.port, options.answer)
  const { clientId, username, password } = options
  client.send({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: false,
    clientId,
    keepalive: 0,
    username,
    password: Buffer.from(password),
    ...options.connect
  })
  const { returnCode = -1, sessionPresent } = (await client.next('connack')) as {
    returnCode?: number
    sessionPresent: boolean
  }
  return Object.assign(client, { returnCode, sessionPresent })
}

/** A socket that has not sent a CONNECT. */
export function rawSocket(port: number, answer?: RawOptions['answer']): RawClient {
  const incoming = parser({ protocolVersion: 4 })
  const packets: Packet[] = []
  const given = new Set<Packet>()
  const socket = connect({ host: '127.0.0.1', port, noDelay: true })
  let isClosed = false
  const wake: (() => void)[] = []
  const waken = () => {
    for (const one of wake.splice(0)) one()
  }
  incoming.on('packet', (packet) => {
    packets.push(packet)
    const reply = answer?.(packet)
    if (reply) socket.write(generate(reply))
    waken()
  })
  incoming.on('error', () => socket.destroy())
  socket.on('data', (bytes) => incoming.parse(bytes))
  socket.on('error', () => undefined)
  socket.on('close', () => {
    isClosed = true
    waken()
  })

  return {
    packets,
    socket,
    get isClosed() {
      return isClosed
    },
    send: (packet) => void socket.write(generate(packet)),
    async next(cmd, id) {
      const fits = (packet: Packet) =>
        packet.cmd === cmd && !given.has(packet) && (id === undefined || packet.messageId === id)
      for (;;) {
        const found = packets.find(fits)
        if (found) {
          given.add(found)
          return found
        }
        if (isClosed) throw new Error(`the connection ended before ${cmd}`)
        await new Promise<void>((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error(`no ${cmd} came`)), 30_000)
          wake.push(() => {
            clearTimeout(timer)
            resolve()
          })
        })
      }
    },
    async close() {
      socket.destroy()
      await until(() => isClosed, { what: 'the end of a socket' })
    }
  }
}

/** Acknowledges everything as a well-behaved receiver does. */
export function acknowledge(packet: Packet): Packet | undefined {
  const { messageId } = packet
  if (packet.cmd === 'publish' && packet.qos === 1) return { cmd: 'puback', messageId }
  if (packet.cmd === 'publish' && packet.qos === 2) return { cmd: 'pubrec', messageId }
  if (packet.cmd === 'pubrel') return { cmd: 'pubcomp', messageId }
  return undefined
}

export function message(
  topic: string,
  payload: string,
  fields: { qos: 0 | 1 | 2; messageId?: number; dup?: boolean; retain?: boolean }
): Packet {
  return { cmd: 'publish', topic, payload, dup: false, retain: false, ...fields }
}
