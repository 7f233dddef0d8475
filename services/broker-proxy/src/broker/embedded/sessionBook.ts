import type { Session } from '../brokerDriver.js'
import { createGauge, type Gauge, type Traffic } from '../brokerFacts.js'
import { createOrderedList, type OrderedList } from '../orderedList.js'
import { createTraffic } from './traffic.js'

/** A session of the broker: that of a connected client, or one kept for its return. */
export interface SessionRecord {
  readonly clientId: string
  readonly tenantId: string
  /** The connection, or the last one. */
  session: Session
  connected: boolean
  readonly createdAt: number
  readonly subscriptions: Map<string, number>
  enqueued: number
  dropped: number
}

export interface ListenerCounts {
  current: number
  /** Ended connections by reason. */
  readonly ended: Map<string, number>
}

/** What is known of one tenant's sessions, in the order in which it is listed. */
export interface TenantBook {
  readonly sessions: OrderedList<SessionRecord>
  /** Keys of `subscriptionKey`. */
  readonly subscriptions: OrderedList<string>
  readonly routes: OrderedList<string>
  readonly traffic: Traffic
  /** By protocol. */
  readonly listeners: Map<string, ListenerCounts>
  readonly gauges: Record<'clients' | 'sessions' | 'subscribers' | 'subscriptions' | 'routes', Gauge>
}

export interface SessionBook {
  of(tenantId: string): TenantBook
  known(tenantId: string): TenantBook | undefined
  find(clientId: string): SessionRecord | undefined
  /** Of connections of an MQTT user, or whose last one was. */
  ofUser(username: string): SessionRecord[]
  /** Which listener a connection comes from; before `connected`. */
  cameBy(session: Session, protocol: string): void
  /** Whether a session begins, and the kept one that has ended with it. */
  connected(session: Session): { isNew: boolean; ended: Session | undefined }
  disconnected(session: Session, reason: string): void
  /** A session of an earlier process that waits for its client. */
  restored(session: Session, createdAt: number, filters: Iterable<[filter: string, qos: number]>): void
  /** Ignored where the client has another connection by now. */
  subscribed(session: Session, filter: string, qos: number): void
  unsubscribed(session: Session, filter: string): void
  /** A kept session has ended. */
  forget(clientId: string): void
}

/** Filters hold no NUL. */
export function subscriptionKey(clientId: string, filter: string): string {
  return `${clientId}\0${filter}`
}

export function createSessionBook(): SessionBook {
  const records = new Map<string, SessionRecord>()
  const byUser = new Map<string, Set<SessionRecord>>()
  const tenants = new Map<string, OpenBook>()
  const protocols = new WeakMap<Session, string>()
  const protocolOf = (session: Session) => protocols.get(session) ?? 'mqtt:tcp'

  function of(tenantId: string): OpenBook {
    const found = tenants.get(tenantId)
    if (found) return found
    const made = createTenantBook()
    tenants.set(tenantId, made)
    return made
  }

  function join(record: SessionRecord, session: Session): void {
    part(record)
    record.session = session
    const { username } = session
    byUser.set(username, (byUser.get(username) ?? new Set()).add(record))
    records.set(record.clientId, record)
  }

  function part(record: SessionRecord): void {
    const { username } = record.session
    const others = byUser.get(username)
    others?.delete(record)
    if (others?.size === 0) byUser.delete(username)
  }

  function drop(record: SessionRecord): void {
    const book = of(record.tenantId)
    for (const filter of [...record.subscriptions.keys()]) book.unsubscribe(record, filter)
    book.leave(record)
    part(record)
    records.delete(record.clientId)
  }

  /** The record of this very connection. */
  function current(session: Session): SessionRecord | undefined {
    const record = records.get(session.clientId)
    return record?.session === session ? record : undefined
  }

  return {
    of,
    known: (tenantId) => tenants.get(tenantId),
    find: (clientId) => records.get(clientId),
    ofUser: (username) => [...(byUser.get(username) ?? [])],

    cameBy: (session, protocol) => void protocols.set(session, protocol),

    connected(session) {
      const { clientId, tenantId } = session
      const kept = records.get(clientId)
      const ended = kept && (session.clean || kept.tenantId !== tenantId) ? kept.session : undefined
      if (kept && ended) drop(kept)
      const record = records.get(clientId) ?? newRecord(session)
      const isNew = !records.has(clientId)
      join(record, session)
      record.connected = true
      of(tenantId).enter(record, protocolOf(session))
      return { isNew, ended }
    },

    disconnected(session, reason) {
      const record = current(session)
      if (!record) return
      record.connected = false
      of(session.tenantId).part(reason, protocolOf(session))
      if (session.clean) drop(record)
    },

    restored(session, createdAt, filters) {
      const record = { ...newRecord(session), connected: false, createdAt }
      join(record, session)
      const book = of(session.tenantId)
      book.keep(record)
      for (const [filter, qos] of filters) book.subscribe(record, filter, qos)
    },

    subscribed(session, filter, qos) {
      const record = current(session)
      if (record) of(session.tenantId).subscribe(record, filter, qos)
    },

    unsubscribed(session, filter) {
      const record = current(session)
      if (record) of(session.tenantId).unsubscribe(record, filter)
    },

    forget(clientId) {
      const record = records.get(clientId)
      if (record && !record.connected) drop(record)
    }
  }
}

const itself = (key: string) => key

function newRecord(session: Session): SessionRecord {
  const { clientId, tenantId, connectedAt } = session
  const counts = { enqueued: 0, dropped: 0 }
  return { clientId, tenantId, session, connected: true, createdAt: connectedAt, subscriptions: new Map(), ...counts }
}

interface OpenBook extends TenantBook {
  keep(record: SessionRecord): void
  enter(record: SessionRecord, protocol: string): void
  part(reason: string, protocol: string): void
  leave(record: SessionRecord): void
  subscribe(record: SessionRecord, filter: string, qos: number): void
  unsubscribe(record: SessionRecord, filter: string): void
}

function createTenantBook(): OpenBook {
  const sessions = createOrderedList<SessionRecord>(({ clientId }) => clientId)
  const [subscriptions, routes] = [createOrderedList<string>(itself), createOrderedList<string>(itself)]
  const listeners = new Map<string, ListenerCounts>()
  /** How many sessions have subscribed to a filter. */
  const holders = new Map<string, number>()
  const gauges = {
    clients: createGauge(),
    sessions: createGauge(),
    subscribers: createGauge(),
    subscriptions: createGauge(),
    routes: createGauge()
  }

  function hold(filter: string, by: 1 | -1): void {
    const now = (holders.get(filter) ?? 0) + by
    if (now > 0) holders.set(filter, now)
    else holders.delete(filter)
    if (now > 0) routes.put(filter)
    else routes.delete(filter)
    gauges.routes.set(routes.size)
    gauges.subscriptions.set(subscriptions.size)
  }

  function keep(record: SessionRecord): void {
    sessions.put(record)
    gauges.sessions.set(sessions.size)
  }

  return {
    sessions,
    subscriptions,
    routes,
    traffic: createTraffic(),
    listeners,
    gauges,
    keep,
    enter(record, protocol) {
      countsOf(listeners, protocol).current += 1
      gauges.clients.set(gauges.clients.count + 1)
      keep(record)
    },
    part(reason, protocol) {
      const word = endings[reason] ?? 'error'
      const counts = countsOf(listeners, protocol)
      counts.current -= 1
      const { ended } = counts
      ended.set(word, (ended.get(word) ?? 0) + 1)
      gauges.clients.set(gauges.clients.count - 1)
    },
    leave(record) {
      sessions.delete(record.clientId)
      gauges.sessions.set(sessions.size)
    },
    subscribe(record, filter, qos) {
      const isNew = !record.subscriptions.has(filter)
      record.subscriptions.set(filter, qos)
      if (!isNew) return
      if (record.subscriptions.size === 1) gauges.subscribers.set(gauges.subscribers.count + 1)
      subscriptions.put(subscriptionKey(record.clientId, filter))
      hold(filter, 1)
    },
    unsubscribe(record, filter) {
      if (!record.subscriptions.delete(filter)) return
      if (record.subscriptions.size === 0) gauges.subscribers.set(gauges.subscribers.count - 1)
      subscriptions.delete(subscriptionKey(record.clientId, filter))
      hold(filter, -1)
    }
  }
}

export function countsOf(listeners: Map<string, ListenerCounts>, protocol: string): ListenerCounts {
  const found = listeners.get(protocol) ?? { current: 0, ended: new Map() }
  listeners.set(protocol, found)
  return found
}

/** Reasons by the words of emqttd's `shutdown_count`; what is not named here is a failure of the connection. */
const endings: Partial<Record<string, string>> = {
  closed: 'closed',
  kicked: 'kick',
  'taken over': 'conflict',
  'keepalive timeout': 'keepalive_timeout',
  'broker stopped': 'stopped',
  'user changed': 'user_changed',
  'user deleted': 'user_deleted',
  'address no longer listed': 'address_not_listed'
}
