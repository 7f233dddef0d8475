import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { generate, type Packet, parser } from 'mqtt-packet'

/** An MQTT 3.1.1 client on a bare socket that keeps nothing and costs little, so that the broker is what is measured. */
export interface BareClient {
  /** Resolves with the CONNACK. */
  connect(): Promise<void>
  /** QoS 1; resolves with the SUBACK. */
  subscribe(filter: string): Promise<void>
  /** QoS 1 resolves with the PUBACK, QoS 0 when the socket takes more. */
  publish(topic: string, payload: string, qos?: 0 | 1): Promise<void>
  ping(): void
  close(): void
}

export interface BareClientOptions {
  clientId: string
  host: string
  port: number
  username?: string
  password?: string
  /** Hears of every message, whose acknowledgement is on its way then. */
  onMessage?: (topic: string, payload: Buffer) => void
  /** Refused, or the connection ended without `close`. */
  onLost: (reason: string) => void
}

const keepalive = 120
const subscribeId = 65_535

export function createBareClient(options: BareClientOptions): BareClient {
  const { clientId, host, port, username, password, onMessage, onLost } = options
  const waiting = new Map<string, () => void>()
  const incoming = parser({ protocolVersion: 4 })
  const socket: { open?: Socket } = {}
  let nextId = 1
  let isClosed = false

  const send = (packet: Packet) => socket.open?.write(generate(packet)) ?? false
  const answered = (name: string) => new Promise<void>((resolve) => waiting.set(name, resolve))

  incoming.on('packet', (packet) => {
    if (packet.cmd === 'publish') {
      if (packet.qos === 1) send({ cmd: 'puback', messageId: packet.messageId ?? 0 })
      onMessage?.(packet.topic, packet.payload as Buffer)
    } else if (packet.cmd === 'connack' && packet.returnCode !== 0) onLost(`refused with ${packet.returnCode}`)
    else if (packet.cmd === 'suback' && packet.granted[0] === 128) onLost('a subscription was refused')
    else settle(`${packet.cmd} ${packet.messageId ?? ''}`)
  })

  function settle(name: string): void {
    waiting.get(name)?.()
    waiting.delete(name)
  }

  function open(): void {
    const opened = connect({ host, port, noDelay: true })
    opened.on('data', (bytes) => incoming.parse(bytes))
    opened.on('error', (error) => onLost(error.message))
    opened.on('close', () => isClosed || onLost('closed'))
    socket.open = opened
  }

  return {
    async connect() {
      open()
      const login = username === undefined ? {} : { username, password: Buffer.from(password ?? '') }
      const protocol = { protocolId: 'MQTT', protocolVersion: 4 } as const
      send({ cmd: 'connect', ...protocol, clean: true, clientId, keepalive, ...login })
      await answered('connack ')
    },

    async subscribe(filter) {
      send({ cmd: 'subscribe', messageId: subscribeId, subscriptions: [{ topic: filter, qos: 1 }] })
      await answered(`suback ${subscribeId}`)
    },

    async publish(topic, payload, qos = 1) {
      const message = { cmd: 'publish', topic, payload, dup: false, retain: false } as const
      if (qos === 0) {
        if (!send({ ...message, qos }) && socket.open) await once(socket.open, 'drain')
        return
      }
      const messageId = nextId
      nextId = (nextId % 65_535) + 1
      send({ ...message, qos, messageId })
      await answered(`puback ${messageId}`)
    },

    ping: () => void send({ cmd: 'pingreq' }),

    close() {
      isClosed = true
      socket.open?.destroy()
    }
  }
}
