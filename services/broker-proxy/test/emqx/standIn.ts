import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import type { Teardown } from '@fleetgate/testkit'
import { Aedes, type Client, type PublishPacket } from 'aedes'
import { type AedesClient, insideOf, type Persistence } from '../../src/broker/embedded/aedesParts.js'
import { empty } from '../../src/broker/embedded/packetGuard.js'
import { createAsking, type Rights } from './asking.js'
import { createGroups } from './groups.js'
import { createMemberQueues, type MemberQueues } from './memberQueues.js'
import { answerRest } from './restApi.js'
import { createSessions, type Sessions } from './sessions.js'

export interface StandInOptions {
  apiKey: string
  apiSecret: string
  authSecret: string
  /** The listener of machines has the mountpoint `${client_attrs.tenant}/`. */
  isMounted?: boolean
  /** 5.0 to 5.8, as a number. */
  version?: number
}

/** Faults that a test can switch on. */
export interface Faults {
  /** Answers every REST call so. */
  status?: number
  /** The REST API takes requests and says nothing. */
  isSilent?: boolean
  /** It answers so much later. */
  delayMs?: number
  /** No client events are published. */
  loseEvents?: boolean
}

export interface Connected {
  client: AedesClient
  rights: Rights
  username: string
  connectedAt: number
  /** Of one that waits for its client. */
  disconnectedAt?: number
  keepalive: number
  port: number
}

export interface StandIn extends Sessions {
  node: string
  version: number
  url: string
  mqttUrl: string
  /** Where the authenticator and authorizer are; set when the service is known. */
  authUrl: string
  faults: Faults
  clients: Map<string, Connected>
  /** Absent clients with durable sessions, which lists show from 5.6 on. */
  absent: string[]
  /** Paths that were asked for, with their method. */
  asked: string[]
  /** Counters since the start; those that a test does not set are counted here, or missing. */
  metrics: Record<string, number>
  /** What EMQX counts of a session, by client id. */
  counts: Map<string, object>
  /** Topics with a retained message. */
  retained: Set<string>
  alarms: object[]
  /** What a session holds of shared subscriptions. */
  queued: MemberQueues['counts']
  close(): Promise<void>
}

const node = 'emqx@127.0.0.1'

/**
 * As much of EMQX 5 as the driver meets: aedes with an HTTP authenticator and authorizer, shared subscriptions, client
 * events, the rule that names the sender, and the REST API. For tests only.
 */
export async function startStandIn(t: Teardown, options: StandInOptions): Promise<StandIn> {
  const { version = 5.8 } = options
  const state = {
    authUrl: '',
    faults: {} as Faults,
    clients: new Map<string, Connected>(),
    absent: [] as string[],
    asked: [] as string[],
    metrics: {} as Record<string, number>,
    counts: new Map<string, object>(),
    retained: new Set<string>(),
    alarms: [] as object[]
  }
  /** Of absent clients, in memory as EMQX keeps them by default. */
  const kept = new Map<string, Connected>()
  /** Subscriptions that are made over the REST API: nobody is asked about them. */
  const granted = new Set<string>()
  const asking = createAsking(() => state.authUrl, options.authSecret, version)
  const groups = createGroups()
  const arriving = new WeakMap<object, Omit<Connected, 'client' | 'connectedAt' | 'port'>>()
  const keepalives = new WeakMap<object, number>()

  const broker = await Aedes.createBroker({
    preConnect(client, packet, callback) {
      keepalives.set(client, packet.keepalive ?? 0)
      callback(null, true)
    },
    authenticate(client, username = '', password, done) {
      const peer = (client as AedesClient).conn
      const question = { clientid: client.id, username, password: String(password ?? ''), peerhost: peer.remoteAddress }
      asking.logIn(question).then((rights) => {
        if (!rights) return done(Object.assign(new Error('not authorized'), { returnCode: 5 }), false)
        // What was kept under this id ends.
        if ((client as AedesClient).clean) queues.end(client.id, false)
        arriving.set(client, { rights, username, keepalive: keepalives.get(client) ?? 0 })
        done(null, true)
      })
    },
    authorizePublish(client, packet, callback) {
      const rights = client ? arriving.get(client)?.rights : undefined
      if (!client || !rights) return callback(new Error('not logged in'))
      const question = { clientid: client.id, username: usernameOf(client), action: 'publish', topic: packet.topic }
      asking.mayUse(rights, question).then((isAllowed) => {
        // deny_action = ignore
        if (!isAllowed) {
          empty(packet as Parameters<typeof empty>[0])
          return callback(null)
        }
        packet.topic = rewritten(mountOf(rights) + packet.topic)
        if (packet.retain && packet.payload.length > 0) state.retained.add(packet.topic)
        else if (packet.retain) state.retained.delete(packet.topic)
        count(`messages.qos${packet.qos}.received`)
        route(client, packet, rights)
        callback(null)
      }, callback)
    },
    authorizeSubscribe(client, subscription, callback) {
      const rights = arriving.get(client)?.rights
      if (!rights) return callback(new Error('not logged in'))
      if (granted.delete(`${client.id} ${subscription.topic}`)) return callback(null, subscription)
      const filter = (groups.of(subscription.topic)?.filter ?? subscription.topic).slice(mountOf(rights).length)
      const question = { clientid: client.id, username: usernameOf(client), action: 'subscribe', topic: filter }
      asking.mayUse(rights, question).then(
        (isAllowed) => {
          if (!isAllowed) groups.leave(subscription.topic)
          callback(null, isAllowed ? subscription : null)
        },
        (error) => callback(error)
      )
    },
    authorizeForward(client, packet) {
      const rights = arriving.get(client)?.rights
      packet.topic = packet.topic.slice(rights ? mountOf(rights).length : 0)
      return packet
    }
  })
  insideOf(broker).on('error', () => undefined)
  const queues = createMemberQueues({
    groups,
    clientOf: (clientId) => state.clients.get(clientId)?.client,
    mountOf: (client) => {
      const rights = arriving.get(client)?.rights
      return rights ? mountOf(rights) : ''
    }
  })

  /** Our own service comes by a listener without one. */
  function mountOf({ isSuperuser, tenant }: Rights): string {
    return options.isMounted && !isSuperuser ? `${tenant}/` : ''
  }

  function usernameOf(client: object): string {
    return arriving.get(client)?.username ?? ''
  }

  /** Before the PUBACK, as EMQX routes before it answers. */
  function route(client: Client, packet: PublishPacket, rights: Rights): void {
    const { topic, payload, qos, retain } = packet
    dispatch(client.id, topic, payload, qos)
    const isReport = /^([^/]+\/)?fleet\/(group\/)?[^/]+\/(up|down)\//.test(topic)
    if (rights.isSuperuser || isReport) return
    // What a rule sends counts as received, too.
    count(`messages.qos${qos}.received`)
    dispatch(client.id, `$fleetgate/from/${client.id}/${qos}/${retain}/${topic}`, payload, qos)
  }

  /** The topic rewriting of the README for mountpoints. */
  function rewritten(topic: string): string {
    return topic.replace(/^([^/]+)\/\$delayed\/([^/]+)\/(.+)$/s, '$delayed/$2/$1/$3')
  }

  function dispatch(sender: string, topic: string, payload: Buffer | string, qos: 0 | 1 | 2): void {
    for (const member of groups.chosen(sender, topic)) queues.put(member, { topic, payload, qos })
  }

  function publish(topic: string, payload: Buffer | string, qos: 0 | 1 | 2): Promise<void> {
    const packet = { cmd: 'publish' as const, topic, payload, qos, retain: false, dup: false }
    return new Promise((resolve, reject) => {
      broker.publish(packet as PublishPacket, (error) => (error ? reject(error) : resolve()))
    })
  }

  function count(metric: string): void {
    state.metrics[metric] = (state.metrics[metric] ?? 0) + 1
  }

  function tell(event: 'connected' | 'disconnected', one: Connected, more: object): void {
    const { client, username, connectedAt } = one
    const facts = { clientid: client.id, username, ipaddress: '127.0.0.1', proto_ver: client.version, sockport: 1883 }
    say(client.id, event, { ...facts, connected_at: connectedAt, ...more })
  }

  function say(clientId: string, event: string, facts: object): void {
    if (state.faults.loseEvents) return
    const topic = `$SYS/brokers/${node}/clients/${clientId}/${event}`
    const payload = JSON.stringify({ ...facts, ts: Date.now() })
    dispatch('emqx_sys', topic, payload, 1)
    // At its end the broker takes nothing any more.
    publish(topic, payload, 1).catch(() => undefined)
  }

  /** With `client_subscribed` and `client_unsubscribed` switched on; EMQX fails at those of shared subscriptions. */
  function sayFilter(client: Client, event: 'subscribed' | 'unsubscribed', topic: string, more: object): void {
    if (topic.startsWith('$q/')) return
    say(client.id, event, { clientid: client.id, username: usernameOf(client), protocol: 'mqtt', topic, ...more })
  }
  broker.on('subscribe', (filters, client) => {
    for (const { topic, qos } of filters)
      sayFilter(client, 'subscribed', topic, { subopts: { qos, nl: 0, rap: 0, rh: 0 } })
  })
  broker.on('unsubscribe', (filters, client) => {
    // Ends of connections too, of which EMQX says nothing.
    if (client.closed) return
    for (const topic of filters) {
      groups.leave(topic)
      sayFilter(client, 'unsubscribed', topic, {})
    }
  })

  let lastAt = 0
  broker.on('clientReady', (client) => {
    const known = arriving.get(client)
    if (!known) return
    lastAt = Math.max(Date.now(), lastAt + 1)
    const { remotePort = 0 } = (client as AedesClient).conn
    const one = { ...known, client: client as AedesClient, connectedAt: lastAt, port: remotePort }
    const older = state.clients.get(client.id)
    state.clients.set(client.id, one)
    kept.delete(client.id)
    queues.resume(one.client)
    count('packets.connect.received')
    tell('connected', one, { keepalive: one.keepalive, clean_start: client.clean })
    // In the wrong order, as it happens there.
    if (older) tell('disconnected', older, { reason: 'takenover', disconnected_at: Date.now() })
  })
  const kicked = new WeakSet<object>()
  const saidGoodbye = new WeakSet<object>()
  broker.on('clientDisconnect', (client) => {
    const one = state.clients.get(client.id)
    if (one?.client !== client) return
    state.clients.delete(client.id)
    if (client.clean) queues.end(client.id, kicked.has(client))
    if (!client.clean && !kicked.has(client)) kept.set(client.id, { ...one, disconnectedAt: Date.now() })
    const reason = kicked.has(client) ? 'kicked' : saidGoodbye.has(client) ? 'normal' : 'tcp_closed'
    tell('disconnected', one, { reason, disconnected_at: Date.now() })
  })

  const server = createServer((socket) => {
    const client = broker.handle(socket) as AedesClient
    client._parser.prependListener('packet', (packet) => {
      const rights = arriving.get(client)?.rights
      if (packet.cmd === 'disconnect') saidGoodbye.add(client)
      if (packet.cmd === 'puback') queues.acknowledged(client.id, packet.messageId ?? 0)
      for (const one of packet.subscriptions ?? [])
        one.topic = groups.join(client.id, one, rights ? mountOf(rights) : '')
      const ended = packet.unsubscriptions ?? []
      ended.forEach((filter, index) => {
        ended[index] = groups.placeOf(client.id, filter, rights ? mountOf(rights) : '')
      })
    })
  })
  const rest = createHttpServer((request, response) => void answerRest(standIn, options, request, response))
  const [mqttPort, restPort] = await Promise.all([portOf(server), portOf(rest)])

  const { persistence } = broker as unknown as { persistence: Persistence }
  const sessions = createSessions({
    clients: state.clients,
    kept,
    kicked,
    granted,
    groups,
    queues,
    persistence,
    mountOf
  })

  const standIn: StandIn = Object.assign(state, {
    node,
    version,
    url: `http://127.0.0.1:${restPort}`,
    mqttUrl: `mqtt://127.0.0.1:${mqttPort}`,
    ...sessions,
    queued: queues.counts,
    async close() {
      await new Promise<void>((resolve) => broker.close(() => resolve()))
      rest.closeAllConnections()
      await Promise.all([server, rest].map((one) => new Promise((resolve) => one.close(resolve))))
    }
  })
  t.teardown(() => standIn.close())
  return standIn
}

function portOf(server: { listen(port: number, host: string, done: () => void): unknown; address(): unknown }) {
  return new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  )
}
