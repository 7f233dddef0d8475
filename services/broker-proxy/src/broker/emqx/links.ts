import { createHash } from 'node:crypto'
import { AppError, type Log } from '@fleetgate/contracts'
import { connect, type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import type { InboundMessage } from '../brokerDriver.js'
import type { EmqxSettings } from './settings.js'

/** Client ids of our own connections; no machine may log in with one. */
export const ownIdPrefix = '$fleetgate:'

const reconnectMs = 500
const connectWithinMs = 10_000
const keepaliveS = 60
const endWithinMs = 2_000

export interface LinkOptions {
  settings: EmqxSettings
  log: Log
}

function open(name: string, { settings, log }: LinkOptions, options: IClientOptions): MqttClient {
  const { clientId = `${ownIdPrefix}${settings.replica}:${name}` } = options
  const client = connect(settings.mqttUrl, {
    clientId,
    username: settings.username,
    password: settings.password,
    protocolVersion: 4,
    reconnectPeriod: reconnectMs,
    connectTimeout: connectWithinMs,
    keepalive: keepaliveS,
    // Our authenticator may not be there yet when EMQX asks it about us.
    reconnectOnConnackError: true,
    ...options
  })
  client.on('connect', () => log.info({ clientId }, 'connected to EMQX'))
  client.on('error', (err) => log.warn({ err, clientId }, 'connection to EMQX failed, trying again'))
  return client
}

export interface Publishers {
  /** Resolves when the broker has acknowledged it (QoS 0: when it is on its way). `unavailable` or `timeout` otherwise. */
  publish(message: InboundMessage): Promise<void>
  close(): Promise<void>
}

/** A pool of connections; messages of one topic go through the same one and so keep their order. */
export function openPublishers(options: LinkOptions): Publishers {
  const { connections, timeoutMs } = options.settings
  const clients = Array.from({ length: connections }, (_, index) => open(`down-${index}`, options, { clean: true }))

  function choose(topic: string): MqttClient {
    const client = clients[createHash('sha1').update(topic).digest().readUInt32BE() % clients.length]
    // Without a connection mqtt.js would gather messages without bound.
    if (!client?.connected) throw new AppError('unavailable', 'not connected to EMQX')
    return client
  }

  return {
    publish({ topic, payload, qos, retain }) {
      return new Promise((resolve, reject) => {
        const client = choose(topic)
        const timer = setTimeout(
          () => reject(new AppError('timeout', `EMQX did not acknowledge within ${timeoutMs} ms`)),
          timeoutMs
        )
        client.publish(topic, payload, { qos, retain }, (cause) => {
          clearTimeout(timer)
          if (cause) reject(new AppError('unavailable', 'EMQX did not take the message', {}, { cause }))
          else resolve()
        })
      })
    },
    close: async () => void (await Promise.all(clients.map(endGently)))
  }
}

/** What is on its way may still be acknowledged; a broker that is away must not hold us up. */
async function endGently(client: MqttClient): Promise<void> {
  const limit = new Promise((resolve) => setTimeout(resolve, endWithinMs).unref())
  await Promise.race([client.endAsync(), limit])
  await client.endAsync(true)
}

export interface Link {
  close(): Promise<void>
}

export interface Receivers extends Link {
  /** Whether somebody gets what machines send: EMQX acknowledges it to them in any case. */
  isListening(): boolean
}

export interface ReceiverOptions extends LinkOptions {
  filters: readonly string[]
  /** Acknowledged when this answers true. False: it could not be kept before its connection ended; EMQX sends it again. */
  onMessage(topic: string, payload: Buffer, isStale: () => boolean): Promise<boolean>
}

const shared = (filter: string) => `$share/fleetgate/${filter}`

/**
 * Shared subscriptions with kept sessions: while this process is away, EMQX keeps what comes, or gives it to the other
 * replicas. Each connection has one message at work, so acknowledgements keep the order and the rest waits in EMQX.
 */
export function openReceivers(options: ReceiverOptions): Receivers {
  const { settings, log, filters } = options
  const listening = new Set<MqttClient>()
  const clients = Array.from({ length: settings.connections }, (_, index) => {
    const client = open(`up-${index}`, options, { clean: false, resubscribe: false })
    receive(client, options)
    client.on('connect', () => {
      subscribe(client, filters.map(shared), log, () => listening.add(client))
    })
    client.on('close', () => listening.delete(client))
    return client
  })
  return {
    isListening: () => listening.size > 0,
    close: async () => void (await Promise.all(clients.map((client) => client.endAsync(true))))
  }
}

/**
 * Takes the session of a receiver over whose replica is gone: EMQX goes on giving it a part of what comes. It gets nothing new
 * from now on, and what it has is taken in. Should its replica come back, this connection ends and the session is its own again.
 */
export function openHeir(options: ReceiverOptions & { clientId: string; onEnd(): void }): Heir {
  const { clientId, filters, log, onEnd } = options
  let heardAt = Date.now()
  // 0 ms: it does not come back when it is thrown out.
  const client = open('', options, { clientId, clean: false, resubscribe: false, reconnectPeriod: 0 })
  receive(client, options)
  client.on('packetreceive', ({ cmd }) => {
    if (cmd === 'publish' || cmd === 'connack') heardAt = Date.now()
  })
  client.on('connect', () => {
    client.unsubscribe(
      filters.map(shared),
      (err) => err && log.warn({ err, clientId }, 'session of a replica not taken over')
    )
  })
  client.on('close', onEnd)
  return { quietMs: () => Date.now() - heardAt, close: () => client.endAsync(true) }
}

export interface Heir extends Link {
  /** For how long nothing has come. */
  quietMs(): number
}

/** The client ids of this replica's receivers. */
export function ownReceivers({ replica, connections }: EmqxSettings): string[] {
  return Array.from({ length: connections }, (_, index) => `${ownIdPrefix}${replica}:up-${index}`)
}

/** Of a receiver, whichever replica's it is. */
export function isReceiver(clientId: string): boolean {
  return clientId.startsWith(ownIdPrefix) && /:up-\d+$/.test(clientId)
}

/** mqtt.js writes the PUBACK when the callback of `handleMessage` is called, and reads nothing more before that. */
function receive(client: MqttClient, { onMessage }: ReceiverOptions): void {
  let connection = 0
  client.on('close', () => {
    connection += 1
  })
  client.handleMessage = (packet: IPublishPacket, callback) => {
    const mine = connection
    const isStale = () => mine !== connection || client.disconnecting
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
    void onMessage(packet.topic, payload, isStale).then((isKept) => isKept && callback())
  }
}

/** A SUBSCRIBE that is refused leaves us deaf: that is an error a person must see, and it is tried again. */
function subscribe(client: MqttClient, filters: readonly string[], log: Log, onDone = () => {}): void {
  client.subscribe([...filters], { qos: 1 }, (err) => {
    if (!client.connected) return
    if (!err) return onDone()
    log.error({ err, filters }, 'EMQX refuses our subscription: is our user a superuser there?')
    setTimeout(() => client.connected && subscribe(client, filters, log, onDone), subscribeAgainMs).unref()
  })
}

const subscribeAgainMs = 10_000

/** A connection for what is only seen by who is there: nothing is kept while it is away. */
export function openWatcher(
  options: LinkOptions & {
    name: string
    filters: readonly string[]
    /** Nothing is missed from now on. */
    onOpen?(): void
    onMessage(topic: string, payload: Buffer): void
  }
): Link {
  const client = open(options.name, options, { clean: true, resubscribe: false })
  client.on('connect', () => subscribe(client, options.filters, options.log, () => options.onOpen?.()))
  client.on('message', (topic, payload) => options.onMessage(topic, payload))
  return { close: () => client.endAsync(true) }
}
