import { setTimeout as delay } from 'node:timers/promises'
import { downFilter } from '@fleetgate/contracts/fleet'
import { connect, type IClientOptions, type IPublishPacket, type ISubscriptionGrant, type MqttClient } from 'mqtt'
import { writeToStream } from 'mqtt-packet'
import type { AgentConfig } from './config.js'
import type { Log } from './log.js'
import { createTidy } from './tidy.js'

/** What the agent needs of MQTT. */
export interface Connection {
  /** QoS 1; resolves when the broker has acknowledged, rejects when the connection ends before that. */
  publish(topic: string, payload: string | Buffer): Promise<void>
  /** QoS 0, for this connection alone; rejects when the broker refuses, or the connection ends before it answers. */
  subscribe(filter: string): Promise<void>
  unsubscribe(filter: string): Promise<void>
  isConnected(): boolean
  /** Called after each connect, subscribed already. */
  onConnect(handle: () => void): void
  /** The message is acknowledged, and the next one handed over, when the handler resolves. */
  onMessage(handle: (topic: string, payload: Buffer) => Promise<void>): void
  start(): void
  close(): Promise<void>
}

export interface ConnectionOptions {
  mqtt: AgentConfig['mqtt']
  clientId: string
  log: Log
  /** Milliseconds after which a broker that has not answered is left. */
  ackTimeoutMs?: number
  /** Milliseconds that a farewell may take. */
  farewellMs?: number
}

// A buffer made ahead for each number from 0 to 65535 is 6 MB of memory: much for one client that says little.
Object.assign(writeToStream, { cacheNumbers: false })

/** How this machine connects. */
export function connectOptions(mqtt: AgentConfig['mqtt'], clientId: string): IClientOptions {
  return {
    clientId,
    username: mqtt.username,
    ...mqtt.secrets(),
    clean: true,
    keepalive: 30,
    connectTimeout: 15_000,
    reconnectPeriod: 0,
    protocolVersion: 4,
    queueQoSZero: false,
    resubscribe: false
  } as IClientOptions
}

/** Whether the broker has refused a subscription. */
export function isRefused(grants: ISubscriptionGrant[]): boolean {
  return grants.some((grant) => grant.qos === 128)
}

/**
 * A chain of single connections, each with a client of its own: nothing is queued or sent again behind the agent's
 * back, the journal alone says what is still to be sent.
 */
export function createConnection(options: ConnectionOptions): Connection {
  const { mqtt, clientId, log, ackTimeoutMs = 60_000, farewellMs = 2000 } = options
  const onConnect: (() => void)[] = []
  const onMessage: ((topic: string, payload: Buffer) => Promise<void>)[] = []
  const waiting = new Set<(error: Error) => void>()
  const moved = createTidy()
  let client: MqttClient | undefined
  let isUp = false
  let isClosed = false
  let failures = 0
  let timer: NodeJS.Timeout | undefined

  function open(): void {
    const current = connect(mqtt.url, connectOptions(mqtt, clientId))
    client = current
    current.handleMessage = (packet, done) => void handle(packet).then(() => done())
    current.on('connect', () => void welcome(current))
    current.on('error', (error) => log.warn({ reason: error.message, clientId }, 'MQTT connection failed'))
    current.on('close', () => retire(current))
  }

  async function handle(packet: IPublishPacket): Promise<void> {
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
    moved(payload.length)
    try {
      for (const listener of onMessage) await listener(packet.topic, payload)
    } catch (error) {
      log.error({ err: error, topic: packet.topic }, 'message could not be handled')
    }
  }

  async function welcome(current: MqttClient): Promise<void> {
    try {
      // Pings alone would keep a connection on which nothing is ever heard.
      const silence = delay(ackTimeoutMs, undefined, { ref: false }).then(() => {
        throw new Error('the broker does not answer the subscription')
      })
      const grants = await Promise.race([current.subscribeAsync(downFilter(clientId), { qos: 1 }), silence])
      if (isRefused(grants)) throw new Error('the broker refused the subscription')
    } catch (error) {
      log.warn({ err: error, clientId }, 'subscription failed')
      return retire(current)
    }
    if (current !== client || isClosed) return
    failures = 0
    isUp = true
    log.info({ clientId }, 'connected')
    for (const listener of onConnect) listener()
  }

  function retire(current: MqttClient): void {
    if (current !== client) return
    if (isUp) log.info({ clientId }, 'disconnected')
    isUp = false
    client = undefined
    current.end(true)
    for (const reject of waiting) reject(new Error('the connection ended before the acknowledgement'))
    waiting.clear()
    if (isClosed) return
    failures += 1
    const longest = Math.min(5000, 1000 * 2 ** (failures - 1))
    timer = setTimeout(open, 500 + Math.random() * (longest - 500))
  }

  function publish(topic: string, payload: string | Buffer): Promise<void> {
    const current = client
    if (!current || !isUp) return Promise.reject(new Error('not connected'))
    moved(payload.length)
    return new Promise((resolve, reject) => {
      const silent = setTimeout(() => {
        log.warn({ topic }, 'the broker does not acknowledge; connecting anew')
        retire(current)
      }, ackTimeoutMs)
      const settle = (error?: Error | null) => {
        clearTimeout(silent)
        waiting.delete(settle)
        if (error) reject(error)
        else resolve()
      }
      waiting.add(settle)
      current.publish(topic, payload, { qos: 1 }, settle)
    })
  }

  async function subscribe(filter: string): Promise<void> {
    if (!client || !isUp) throw new Error('not connected')
    const grants = await client.subscribeAsync(filter, { qos: 0 })
    if (grants.some((grant) => grant.qos === 128)) throw new Error(`the broker refused ${filter}`)
  }

  return {
    publish,
    subscribe,
    unsubscribe: async (filter) => void (await client?.unsubscribeAsync(filter)),
    isConnected: () => isUp,
    onConnect: (handle) => void onConnect.push(handle),
    onMessage: (handle) => void onMessage.push(handle),
    start: open,
    close: async () => {
      isClosed = true
      clearTimeout(timer)
      const current = client
      if (!current) return
      // What is on its way is worth a moment; a broker that takes nothing must not hold the end up.
      await Promise.race([current.endAsync(), delay(farewellMs, undefined, { ref: false })])
      retire(current)
      // The client thinks that it is ending already.
      current.stream.destroy()
    }
  }
}
