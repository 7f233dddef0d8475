import { createServer, type Server, type Socket } from 'node:net'
import type { Log } from '@fleetgate/contracts'
import { Aedes, type PublishPacket } from 'aedes'
import type { BrokerDriver, BrokerRules, Message, Session } from '../brokerDriver.js'
import type { MaybeExtras } from '../brokerFacts.js'
import { type AedesClient, insideOf } from './aedesParts.js'
import { withBook } from './bookkeeping.js'
import { createCaster } from './caster.js'
import { type Connection, type Connections, createConnections, isReady, releaseHeld } from './connections.js'
import { type ConnectFacts, createHooks, mountPoint } from './hooks.js'
import { type BrokerInside, openInside } from './openInside.js'
import { guardPackets } from './packetGuard.js'
import { createSessionBook } from './sessionBook.js'
import type { SessionLimits } from './sessionLimits.js'
import { meterWire } from './wireMeter.js'

export interface EmbeddedBrokerOptions {
  host: string
  /** 0 takes a free one. */
  port: number
  maxPacketBytes: number
  sessionExpiryMs: number
  log: Log
}

/** A receiver whose socket takes nothing for this long is closed: it would hold up the others. */
const drainTimeoutMs = 20_000
const connectTimeoutMs = 10_000
/** TCP's own question after a silence: a client with keepalive 0 that lost its power is found only so. */
const keepAliveMs = 60_000
/** As many as EMQ's listener takes by default. */
const maxConnections = 102_400
const holdMs = 5_000
const maxHeld = 256

/** The extras are there when it is open. */
export type EmbeddedBroker = BrokerDriver & MaybeExtras

/** aedes in this process. Topics of a tenant stand below its mount point inside the broker, so tenants never meet. */
export function createEmbeddedBroker(options: EmbeddedBrokerOptions): EmbeddedBroker {
  const { log } = options
  const book = createSessionBook()
  const facts = new WeakMap<object, ConnectFacts>()
  const sockets = new Set<Socket>()
  let connections: Connections | undefined
  let inner: BrokerInside | undefined
  let broker: Aedes | undefined
  let server: Server | undefined
  let sent = 0
  let boundPort = options.port

  function known(): Connections {
    if (!connections) throw new Error('the broker is not open')
    return connections
  }

  function opened(): BrokerInside {
    if (!inner) throw new Error('the broker is not open')
    return inner
  }

  function accept(socket: Socket): void {
    if (!broker) return void socket.destroy()
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    const client = broker.handle(socket) as AedesClient
    const guard = guardPackets(client, options.maxPacketBytes)
    facts.set(client, { clientId: '', keepalive: 0, clean: true, guard, meter: meterWire(client) })
  }

  function publish(connection: Connection, message: Message): Promise<boolean> {
    // A sender id of our own: aedes drops, as a duplicate, what overtakes a message of the same sender.
    const packet = {
      cmd: 'publish',
      ...message,
      topic: mountPoint(connection.session) + message.topic,
      dup: false,
      retain: false,
      brokerId: 'direct',
      brokerCounter: ++sent
    } as PublishPacket
    return new Promise((resolve) => {
      connection.client.publish(packet, (error) => resolve(!error && !connection.ended))
    })
  }

  return {
    name: 'embedded',
    isRemote: false,
    routes: [],
    get facts() {
      return inner?.facts
    },
    get control() {
      return inner?.control
    },

    async open(given: BrokerRules) {
      const rules = withBook(given, book, () => opened().groups)
      const trafficOf = (tenantId: string) => book.of(tenantId).traffic
      const hooks = createHooks({ rules, connections: known, facts, trafficOf })
      broker = await Aedes.createBroker({ ...hooks, drainTimeout: drainTimeoutMs, connectTimeout: connectTimeoutMs })
      const inside = insideOf(broker)
      inside.on('error', (err) => log.error({ err }, 'broker failed'))
      connections = createConnections(rules, inside)
      const listener = () => ({
        protocol: 'mqtt:tcp',
        listen: `${options.host}:${boundPort}`,
        acceptors: 1,
        maxClients: maxConnections
      })
      inner = openInside({ broker, rules, connections, book, publish, listener, options })
      watch(broker, connections, inner.limits, log)
      server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs }, accept)
      server.maxConnections = maxConnections
      boundPort = await listen(server, options)
      return { port: boundPort }
    },

    session: (clientId) => connections?.current(clientId)?.session,
    *sessions() {
      for (const { session } of connections?.all() ?? []) yield session
    },

    async send(session: Session, message: Message) {
      const connection = known().current(session.clientId)
      if (!connection || connection.session !== session) return false
      const topic = mountPoint(session) + message.topic
      if (isReady(connection, topic)) return publish(connection, message)
      return connection.held.length < maxHeld && (await held(connection, topic)) ? publish(connection, message) : false
    },

    cast: createCaster({ connections: known, publish }),

    publish(tenantId, message) {
      const packet = { cmd: 'publish', ...message, topic: mountPoint({ tenantId }) + message.topic, dup: false }
      return new Promise((resolve, reject) => {
        if (!broker) return reject(new Error('the broker is not open'))
        broker.publish(packet as PublishPacket, (error) => (error ? reject(error) : resolve()))
      })
    },

    disconnect(session, reason) {
      const connection = connections?.current(session.clientId)
      if (!connection || connection.session !== session) return
      connection.reason = reason
      connection.client.close()
    },

    // Permissions are asked for at each message.
    recheck() {},

    async close() {
      if (!server || !broker) return
      const closed = new Promise<void>((resolve) => server?.close(() => resolve()))
      for (const connection of known().all()) connection.reason = 'broker stopped'
      await new Promise<void>((resolve) => broker?.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
      inner?.limits.stop()
    }
  }
}

function watch(broker: Aedes, connections: Connections, limits: SessionLimits, log: Log): void {
  broker.on('client', (client) => {
    const connection = connections.of(client)
    if (!connection) return
    connection.registered = true
    limits.present(client.id)
  })
  broker.on('clientDisconnect', (client) => {
    connections.repair(client.id, client)
    if (!client.clean) limits.absent(client.id, Date.now())
  })
  const release = (client: object) => {
    const connection = connections.of(client)
    if (connection && connection.held.length > 0) releaseHeld(connection)
  }
  broker.on('clientReady', release)
  broker.on('subscribe', (_subscriptions, client) => release(client))
  broker.on('keepaliveTimeout', (client) => setReason(connections.of(client), 'keepalive timeout'))
  broker.on('clientError', (client, error) => setReason(connections.of(client), error.message))
  // Garbage from the network: nobody has to act.
  broker.on('connectionError', (_client, error) => log.debug({ err: error }, 'connection before log-in failed'))
}

/** The first reason is the true one; errors of a socket that is going down follow it. */
function setReason(connection: Connection | undefined, reason: string): void {
  if (connection && connection.reason === 'closed') connection.reason = reason.slice(0, 200)
}

function held(connection: Connection, topic: string): Promise<boolean> {
  return new Promise((resolve) => {
    const item = { topic, release: () => resolve(true) }
    connection.held.push(item)
    setTimeout(() => {
      connection.held = connection.held.filter((other) => other !== item)
      resolve(false)
    }, holdMs).unref()
  })
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: 4096 }, () => {
      server.off('error', reject)
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : port)
    })
  })
}
