import type { Socket } from 'node:net'
import type { AedesOptions, AuthenticateError } from 'aedes'
import { type BrokerRules, LogInRefused, type Refusal, type Session } from '../brokerDriver.js'
import type { Traffic } from '../brokerFacts.js'
import { createLane, type Lane } from '../lane.js'
import type { AedesClient, DeliverPacket, StoredPacket } from './aedesParts.js'
import type { Connection, Connections } from './connections.js'
import { grantedQoS } from './deliveries.js'
import type { Followed } from './followed.js'
import type { Pace } from './pace.js'
import { empty, type PacketGuard } from './packetGuard.js'
import type { KeptSessions } from './sessions/keptSessions.js'
import { queueId } from './sessions/pump.js'
import { takeId } from './unqueued.js'
import type { VersionRefusal } from './versionRefusal.js'
import type { WireMeter } from './wireMeter.js'

/** CONNACK return codes of MQTT 3.1.1. */
const returnCodes = { identifier: 2, unavailable: 3, credentials: 4, forbidden: 5 } satisfies Record<Refusal, number>

export interface ConnectFacts {
  clientId: string
  keepalive: number
  clean: boolean
  guard: PacketGuard
  meter: WireMeter
  /** How a kept session's queue is sent to this connection. */
  deliver: DeliverPacket
  protocol: string
  pace: Pace
}

/** Before a client's place in the tenants is known there is none: every hook refuses. */
const notLoggedIn = new Error('not logged in')

export function createHooks(parts: {
  rules: BrokerRules
  connections: () => Connections
  facts: WeakMap<object, ConnectFacts>
  versions: Pick<VersionRefusal, 'refuseMqtt5'>
  /** Where what a client sends and gets is counted. */
  trafficOf(tenantId: string): Traffic
  /** Before the connection counts as one. */
  onLoggedIn(session: Session, protocol: string): void
  subscriptionsPerClient: number
  kept: () => KeptSessions
  hasReceived(clientId: string, id: number): boolean
  followed: Followed
}): Pick<AedesOptions, 'preConnect' | 'authenticate' | 'authorizePublish' | 'authorizeSubscribe' | 'authorizeForward'> {
  const { rules, connections, facts, trafficOf, onLoggedIn, followed, kept } = parts
  const takeInTurn = inOrder(createTakeIn(parts))

  return {
    preConnect(client, packet, callback) {
      const known = facts.get(client)
      if (!known) return callback(notLoggedIn, false)
      if (packet.protocolVersion === 5) {
        const { clientId, properties } = packet
        const wish = { clientId, maxPacketBytes: properties?.maximumPacketSize }
        return void parts.versions.refuseMqtt5(client as AedesClient, wish).then((error) => callback(error, false))
      }
      Object.assign(known, { clientId: packet.clientId, keepalive: packet.keepalive ?? 0, clean: packet.clean ?? true })
      callback(null, true)
    },

    authenticate(client, username, password, done) {
      const known = facts.get(client)
      if (!known) return done(refused('forbidden'), false)
      const arrival = { rules, connections: connections(), client: client as AedesClient, known, trafficOf, onLoggedIn }
      logIn(arrival, username, password).then(
        (isIn) => {
          facts.delete(client)
          if (isIn) done(null, true)
        },
        (error) => done(refused(error instanceof LogInRefused ? error.refusal : 'unavailable'), false)
      )
    },

    /** Also asked for the will of a client that went without a word. */
    authorizePublish(client, packet, callback) {
      const connection = client ? connections().of(client) : undefined
      if (!connection) return callback(notLoggedIn)
      takeInTurn(connection, packet as Incoming).then(() => callback(null), callback)
    },

    /** The filter stands below the mount point already: see guardPackets. A kept session's filters come here again. */
    authorizeSubscribe(client, subscription, callback) {
      const connection = connections().of(client)
      if (!connection) return callback(notLoggedIn)
      const filter = unmounted(connection.session, subscription.topic)
      const isAllowed =
        filter !== undefined &&
        hasRoom(connection, subscription.topic, parts.subscriptionsPerClient) &&
        rules.maySubscribe(connection.session, filter)
      if (isAllowed && !connection.granted.includes(subscription.topic)) connection.granted.push(subscription.topic)
      // aedes stores all filters of a SUBSCRIBE together, with those that it was just told to refuse.
      if (!isAllowed) Object.assign(subscription, { refused: true })
      callback(null, isAllowed ? subscription : null)
    },

    authorizeForward(client, packet) {
      const connection = connections().of(client)
      if (!connection) return null
      const topic = unmounted(connection.session, packet.topic)
      if (topic === undefined || !rules.mayReceive(connection.session, topic)) return null
      // aedes looks the granted QoS up by topic, which finds no wildcard and nothing once the mount point is off.
      const granted = grantedQoS(connection.client, packet.topic)
      if (granted >= 0 && granted < packet.qos) packet.qos = granted as 0 | 1 | 2
      packet.topic = topic
      const onAcked = followed.leaves(connection.session, packet as StoredPacket)
      if (packet.qos > 0) packet.messageId = idOf(connection, packet as StoredPacket, { onAcked, kept })
      return packet
    }
  }
}

/** Undefined for what gets its id where it is written down as sent, and where nobody minds which one. */
function idOf(
  { client, session }: Connection,
  { brokerId, messageId }: StoredPacket,
  { onAcked, kept }: { onAcked: (() => void) | undefined; kept: () => KeptSessions }
): number | undefined {
  if (brokerId === queueId) return messageId
  const queued = session.clean ? undefined : kept().find(session.clientId)?.byId
  return queued || onAcked ? takeId(client, queued, onAcked) : undefined
}

function hasRoom({ granted }: Connection, filter: string, most: number): boolean {
  return granted.length < most || granted.includes(filter)
}

interface Incoming {
  topic: string
  payload: Buffer | string
  qos: 0 | 1 | 2
  retain?: boolean
  messageId?: number
}

interface TakeInParts {
  rules: Pick<BrokerRules, 'onMessage' | 'rewrite'>
  kept: () => KeptSessions
  hasReceived(clientId: string, id: number): boolean
  followed: Pick<Followed, 'came'>
}

/**
 * Resolves when a message may be acknowledged: when the rules have dealt with it and every kept session's copy is on
 * the disk. aedes would queue it behind the PUBACK. A QoS 2 message that comes again is only acknowledged again.
 */
function createTakeIn({ rules, kept, hasReceived, followed }: TakeInParts) {
  const underWay = new WeakMap<Connection, Map<number, Promise<void>>>()

  async function take({ session, client, pace }: Connection, packet: Incoming): Promise<void> {
    const { qos, retain = false, messageId } = packet
    const topic = rules.rewrite(session, packet.topic)
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
    const turn = pace.pass(payload.length + topic.length)
    if (turn) await turn
    const verdict = await rules.onMessage(session, { topic, payload, qos, retain })
    const from = qos === 2 && messageId !== undefined ? { clientId: session.clientId, id: messageId } : undefined
    if (verdict === 'forward') {
      packet.topic = mountPoint(session) + topic
      followed.came(session, payload)
      const stored = kept().accept({ topic: packet.topic, payload, qos, retain }, from)
      // Nothing is promised for QoS 0.
      if (qos === 0) stored.catch(() => undefined)
      else await stored
    } else {
      empty(packet as Parameters<typeof empty>[0])
      const sender = from && kept().find(from.clientId)
      if (sender) await kept().step('received', sender, { id: from.id })
    }
    if (from) client.fresh = (client.fresh ?? new Set()).add(from.id)
  }

  return async (connection: Connection, packet: Incoming): Promise<void> => {
    const { messageId } = packet
    if (packet.qos !== 2 || messageId === undefined) return take(connection, packet)
    const others = underWay.get(connection) ?? new Map<number, Promise<void>>()
    const first = others.get(messageId)
    if (first) return first
    if (hasReceived(connection.session.clientId, messageId)) return
    const work = take(connection, packet).finally(() => others.delete(messageId))
    underWay.set(connection, others.set(messageId, work))
    return work
  }
}

/**
 * MQTT-4.6.0-2 and -3: PUBACK and PUBREC come in the order of the messages, though what is refused or is a file's takes
 * another time than what goes into the stream. QoS 0 has neither.
 */
function inOrder(takeIn: (connection: Connection, packet: Incoming) => Promise<void>): typeof takeIn {
  const lanes = new WeakMap<Connection, Lane>()
  return (connection, packet) => {
    if (packet.qos === 0) return takeIn(connection, packet)
    const lane = lanes.get(connection) ?? createLane(Number.POSITIVE_INFINITY)
    lanes.set(connection, lane)
    return lane.run(() => takeIn(connection, packet))
  }
}

interface Arrival {
  rules: BrokerRules
  trafficOf(tenantId: string): Traffic
  onLoggedIn(session: Session, protocol: string): void
  connections: Connections
  client: AedesClient
  known: ConnectFacts
}

/** False when the client went away meanwhile. */
async function logIn(arrival: Arrival, username: string | undefined, password: Buffer | undefined): Promise<boolean> {
  const { rules, connections, client, known, trafficOf, onLoggedIn } = arrival
  const session = await rules.logIn({
    clientId: known.clientId,
    username,
    password,
    ...addressOf(client.conn),
    keepalive: known.keepalive,
    protoVer: client.version,
    clean: known.clean
  })
  if (client.closed || client.conn.destroyed) return false
  known.guard.mount(mountPoint(session), (filter) => rules.rewrite(session, filter))
  known.meter.join(trafficOf(session.tenantId))
  const connection: Connection = {
    client,
    session,
    meter: known.meter,
    deliver: known.deliver,
    pace: known.pace,
    granted: [],
    registered: false,
    reason: 'closed',
    ended: false,
    held: []
  }
  onLoggedIn(session, known.protocol)
  connections.add(connection)
  client.conn.on('close', () => connections.end(connection))
  return true
}

export function mountPoint(session: { tenantId: string }): string {
  return `${session.tenantId}/`
}

export function unmounted(session: { tenantId: string }, topic: string): string | undefined {
  const prefix = mountPoint(session)
  return topic.startsWith(prefix) ? topic.slice(prefix.length) : undefined
}

function refused(refusal: Refusal): AuthenticateError {
  return Object.assign(new Error(refusal), { returnCode: returnCodes[refusal] })
}

function addressOf(conn: Socket): { ip: string; port: number } {
  return { ip: (conn.remoteAddress ?? '').replace(/^::ffff:/, ''), port: conn.remotePort ?? 0 }
}
