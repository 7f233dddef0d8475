import type { Socket } from 'node:net'
import type { AedesOptions, AuthenticateError } from 'aedes'
import { type BrokerRules, LogInRefused, type Refusal } from '../brokerDriver.js'
import type { Traffic } from '../brokerFacts.js'
import type { AedesClient } from './aedesParts.js'
import type { Connections } from './connections.js'
import { empty, type PacketGuard } from './packetGuard.js'
import type { WireMeter } from './wireMeter.js'

/** CONNACK return codes of MQTT 3.1.1. */
const returnCodes = { identifier: 2, unavailable: 3, credentials: 4, forbidden: 5 } satisfies Record<Refusal, number>

export interface ConnectFacts {
  clientId: string
  keepalive: number
  clean: boolean
  guard: PacketGuard
  meter: WireMeter
}

/** Before a client's place in the tenants is known there is none: every hook refuses. */
const notLoggedIn = new Error('not logged in')

export function createHooks(parts: {
  rules: BrokerRules
  connections: () => Connections
  facts: WeakMap<object, ConnectFacts>
  /** Where what a client sends and gets is counted. */
  trafficOf(tenantId: string): Traffic
}): Pick<AedesOptions, 'preConnect' | 'authenticate' | 'authorizePublish' | 'authorizeSubscribe' | 'authorizeForward'> {
  const { rules, connections, facts, trafficOf } = parts

  return {
    preConnect(client, packet, callback) {
      const known = facts.get(client)
      if (!known) return callback(notLoggedIn, false)
      Object.assign(known, { clientId: packet.clientId, keepalive: packet.keepalive ?? 0, clean: packet.clean ?? true })
      callback(null, true)
    },

    authenticate(client, username, password, done) {
      const known = facts.get(client)
      if (!known) return done(refused('forbidden'), false)
      const arrival = { rules, connections: connections(), client: client as AedesClient, known, trafficOf }
      logIn(arrival, username, password).then(
        (isIn) => isIn && done(null, true),
        (error) => done(refused(error instanceof LogInRefused ? error.refusal : 'unavailable'), false)
      )
    },

    /** Also asked for the will of a client that went without a word. */
    authorizePublish(client, packet, callback) {
      const connection = client ? connections().of(client) : undefined
      if (!connection) return callback(notLoggedIn)
      const { topic, payload, qos, retain } = packet
      const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload
      rules.onMessage(connection.session, { topic, payload: bytes, qos, retain: retain ?? false }).then((verdict) => {
        if (verdict === 'forward') packet.topic = mountPoint(connection.session) + topic
        else empty(packet as Parameters<typeof empty>[0])
        callback(null)
      }, callback)
    },

    /** The filter stands below the mount point already: see guardPackets. A kept session's filters come here again. */
    authorizeSubscribe(client, subscription, callback) {
      const connection = connections().of(client)
      if (!connection) return callback(notLoggedIn)
      const filter = unmounted(connection.session, subscription.topic)
      callback(null, filter !== undefined && rules.maySubscribe(connection.session, filter) ? subscription : null)
    },

    authorizeForward(client, packet) {
      const connection = connections().of(client)
      if (!connection) return null
      const topic = unmounted(connection.session, packet.topic)
      if (topic === undefined || !rules.mayReceive(connection.session, topic)) return null
      // aedes looks the granted QoS up by topic, which no longer finds it once the mount point is off.
      const granted = connection.client.subscriptions[packet.topic]?.qos
      if (granted !== undefined && granted < packet.qos) packet.qos = granted as 0 | 1 | 2
      packet.topic = topic
      connection.session.packetsOut += 1
      return packet
    }
  }
}

interface Arrival {
  rules: BrokerRules
  trafficOf(tenantId: string): Traffic
  connections: Connections
  client: AedesClient
  known: ConnectFacts
}

/** False when the client went away meanwhile. */
async function logIn(arrival: Arrival, username: string | undefined, password: Buffer | undefined): Promise<boolean> {
  const { rules, connections, client, known, trafficOf } = arrival
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
  known.guard.mount(mountPoint(session), session)
  known.meter.join(trafficOf(session.tenantId))
  const connection = {
    client,
    session,
    meter: known.meter,
    registered: false,
    reason: 'closed',
    ended: false,
    held: []
  }
  connections.add(connection)
  client.conn.once('close', () => connections.end(connection))
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
