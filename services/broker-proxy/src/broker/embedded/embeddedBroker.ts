import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '@fleetgate/contracts'
import { Aedes, type PublishPacket } from 'aedes'
import type { BrokerDriver, BrokerRules, InboundMessage, Message, Session } from '../brokerDriver.js'
import type { MaybeExtras } from '../brokerFacts.js'
import { type AdmissionLimits, createAdmission } from './admission.js'
import { type AedesClient, insideOf, type QueuedPacket } from './aedesParts.js'
import { agree, restoreBook, withBook } from './bookkeeping.js'
import { createCaster } from './caster.js'
import { type Connection, type Connections, createConnections, isReady, releaseHeld } from './connections.js'
import { directId, groupId, shapeDeliveries } from './deliveries.js'
import { createFollowed, type Followed } from './followed.js'
import { type ConnectFacts, createHooks, mountPoint, unmounted } from './hooks.js'
import { publishLeftWills } from './leftWills.js'
import { type ListenerOptions, type Listeners, openListeners, type Protocol } from './listeners.js'
import { type BrokerInside, countQueued, openInside } from './openInside.js'
import { createPace, type PaceLimits } from './pace.js'
import { guardPackets } from './packetGuard.js'
import { createRetained } from './retained.js'
import { createSessionBook } from './sessionBook.js'
import { createPersistence } from './sessions/aedesPersistence.js'
import { type KeptLimits, type KeptSessions, openKeptSessions } from './sessions/keptSessions.js'
import { type SlowLimits, watchSlowness } from './slowConsumers.js'
import { createVersionRefusal } from './versionRefusal.js'
import { meterWire } from './wireMeter.js'

export interface EmbeddedBrokerOptions {
  listeners: ListenerOptions
  maxPacketBytes: number
  /** Where kept sessions and retained messages lie. */
  dir: string
  sessions: KeptLimits
  limits: BrokerLimits
  log: Log
}

export interface BrokerLimits extends AdmissionLimits, PaceLimits, SlowLimits {
  /** Until the CONNECT has come, and until a TLS or WebSocket handshake is over. */
  connectMs: number
  /** A receiver whose socket takes nothing for this long is closed. */
  drainMs: number
  subscriptionsPerClient: number
}

const holdMs = 5_000
const maxHeld = 256

/** The extras are there when it is open. */
export type EmbeddedBroker = BrokerDriver & MaybeExtras

/** aedes in this process. Topics of a tenant stand below its mount point inside the broker, so tenants never meet. */
export function createEmbeddedBroker(options: EmbeddedBrokerOptions): EmbeddedBroker {
  const { log, limits } = options
  const admission = createAdmission(limits)
  const counts = { connectionsRefused: 0, versionRefused: 0, slowDropped: 0, slowClosed: 0 }
  const slowCounts = {
    onDropped: () => {
      counts.slowDropped += 1
    },
    onClosed: () => {
      counts.slowClosed += 1
    }
  }
  const versions = createVersionRefusal({
    log,
    now: Date.now,
    onRefused: () => {
      counts.versionRefused += 1
    }
  })
  const book = createSessionBook()
  const facts = new WeakMap<object, ConnectFacts>()
  const sockets = new Set<Socket>()
  let connections: Connections | undefined
  let inner: BrokerInside | undefined
  let kept: KeptSessions | undefined
  let followed: Followed | undefined
  let broker: Aedes | undefined
  let listeners: Listeners | undefined
  let sent = 0

  function known(): Connections {
    if (!connections) throw new Error('the broker is not open')
    return connections
  }

  function opened(): BrokerInside {
    if (!inner) throw new Error('the broker is not open')
    return inner
  }

  function admit(socket: Socket): boolean {
    const address = socket.remoteAddress ?? ''
    if (!broker || !admission.enter(address, Date.now())) {
      counts.connectionsRefused += 1
      return false
    }
    sockets.add(socket)
    socket.on('close', () => {
      sockets.delete(socket)
      admission.left(address)
    })
    return true
  }

  function accept(stream: Duplex, protocol: Protocol): void {
    if (!broker || stream.destroyed) return void stream.destroy()
    const client = broker.handle(stream as Socket) as AedesClient
    versions.watch(client)
    const slowness = watchSlowness(client, limits, slowCounts)
    facts.set(client, {
      clientId: '',
      keepalive: 0,
      clean: true,
      guard: guardPackets(client, options.maxPacketBytes),
      deliver: shapeDeliveries(client, slowness),
      meter: meterWire(client),
      pace: createPace(limits, Date.now),
      protocol
    })
  }

  function publish(connection: Connection, message: Message, brokerId = directId): Promise<boolean> {
    // Past the kept session's queue: who sends to one connection asks again when there is another.
    const packet: QueuedPacket = {
      cmd: 'publish',
      ...message,
      topic: mountPoint(connection.session) + message.topic,
      dup: false,
      retain: false,
      brokerId,
      brokerCounter: ++sent
    }
    const { client } = connection
    return new Promise((resolve) => {
      const done = () => resolve(!connection.ended)
      if (packet.qos === 0) client.deliver0(packet, done)
      else client.deliverQoS(packet, done)
    })
  }

  /** Kept for absent clients first, as what clients publish. */
  async function publishMounted(message: InboundMessage): Promise<void> {
    await keptOf().accept(message)
    await new Promise<void>((resolve, reject) => {
      if (!broker) return reject(new Error('the broker is not open'))
      const packet = { cmd: 'publish', ...message, dup: false } as PublishPacket
      broker.publish(packet, (error) => (error ? reject(error) : resolve()))
    })
  }

  function keptOf(): KeptSessions {
    if (!kept) throw new Error('the broker is not open')
    return kept
  }

  function openConnection(clientId: string): Session | undefined {
    const connection = connections?.current(clientId)
    return connection && !connection.client.closed ? connection.session : undefined
  }

  return {
    name: 'embedded',
    isRemote: false,
    routes: [],
    counts,
    get facts() {
      return inner?.facts
    },
    get control() {
      return inner?.control
    },

    async open(given: BrokerRules) {
      const following = createFollowed(given.watch, unmounted)
      followed = following
      const rules = withBook(given, { book, groups: () => opened().groups, kept: keptOf })
      const retained = createRetained()
      const waiting = new WeakSet<Buffer>()
      kept = await openKeptSessions({
        dir: options.dir,
        limits: options.sessions,
        now: Date.now,
        log,
        retained,
        ...countQueued(book, waiting, given.watch)
      })
      restoreBook(book, kept)
      const persistence = createPersistence({
        kept: keptOf,
        createRetainedStream: retained.stream,
        sessionOf: (client) => connections?.of(client)?.session,
        current: openConnection,
        onFilters: (clientId) => agree(book, keptOf(), clientId),
        onAcked(client, { body: { topic, payload }, qos }) {
          const session = connections?.of(client)?.session
          if (session) following.acked(session, { topic, payload, qos: qos as 1 | 2 })
        }
      })
      const trafficOf = (tenantId: string) => book.of(tenantId).traffic
      const { hasReceived } = persistence
      const hooks = createHooks({
        rules,
        connections: known,
        facts,
        versions,
        trafficOf,
        onLoggedIn: book.cameBy,
        subscriptionsPerClient: limits.subscriptionsPerClient,
        kept: keptOf,
        hasReceived,
        followed: following
      })
      const timeouts = { drainTimeout: limits.drainMs, connectTimeout: limits.connectMs }
      // How long an id may be say our own rules, whatever the version.
      const maxClientsIdLength = Number.POSITIVE_INFINITY
      broker = await Aedes.createBroker({ ...hooks, ...timeouts, persistence, maxClientsIdLength })
      const inside = insideOf(broker)
      inside.on('error', (err) => log.error({ err }, 'broker failed'))
      connections = createConnections(rules, inside)
      inner = openInside({
        broker,
        rules,
        connections,
        book,
        publishOfGroup: (connection, message) => publish(connection, message, groupId),
        listeners: () => listenerFacts(listeners, options),
        kept,
        retained,
        persistence,
        waiting,
        log
      })
      watch(broker, connections, kept, log)
      void publishLeftWills(kept.wills(), {
        kept,
        rules,
        publish: publishMounted,
        onFailed: (err) => log.warn({ err }, 'will of an earlier connection not published')
      })
      listeners = await openListeners({ options: options.listeners, handshakeMs: limits.connectMs, admit, accept, log })
      return { port: listeners.ports.get('mqtt:tcp') ?? 0, ports: listeners.ports }
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

    publish(tenantId, message, from) {
      if (from) followed?.came(from, message.payload)
      return publishMounted({ ...message, topic: mountPoint({ tenantId }) + message.topic })
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
      if (!listeners || !broker) return
      const closed = listeners.close()
      for (const connection of known().all()) {
        connection.reason = 'broker stopped'
        // Wills stay where they are kept: the next start publishes them, to those who will be there then.
        connection.client.will = null
      }
      await new Promise<void>((resolve) => broker?.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
      await kept?.close()
    }
  }
}

function watch(broker: Aedes, connections: Connections, kept: KeptSessions, log: Log): void {
  broker.on('client', (client) => {
    const connection = connections.of(client)
    if (!connection) return
    connection.registered = true
  })
  broker.on('clientDisconnect', (client) => connections.repair(client.id, client))
  const release = (client: object) => {
    const connection = connections.of(client)
    if (connection && connection.held.length > 0) releaseHeld(connection)
  }
  broker.on('clientReady', (client) => {
    release(client)
    const connection = connections.of(client)
    if (connection && !connection.ended) kept.attach(connection.session, connection.deliver)
  })
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

function listenerFacts(open: Listeners | undefined, { listeners: { host }, limits }: EmbeddedBrokerOptions) {
  return [...(open?.ports ?? [])].map(([protocol, port]) => ({
    protocol,
    listen: `${host}:${port}`,
    acceptors: 1,
    maxClients: limits.connections
  }))
}
