import type { Aedes } from 'aedes'
import type { BrokerRules, BrokerWatch, Session } from '../brokerDriver.js'
import type { Persistence } from './aedesParts.js'
import type { Connection, Connections } from './connections.js'
import { unmounted } from './hooks.js'
import type { SessionBook } from './sessionBook.js'
import { type KeptSessions, sessionOf } from './sessions/keptSessions.js'
import type { SharedGroups } from './sharedGroups.js'

const refused = 128

/** Rules that also write down who comes and goes. */
export function withBook(
  rules: BrokerRules,
  { book, groups, kept }: { book: SessionBook; groups: () => SharedGroups; kept: () => KeptSessions }
): BrokerRules {
  const { watch } = rules
  return {
    ...rules,
    onConnected(session) {
      kept().connected(session)
      const { isNew, ended } = book.connected(session)
      if (ended) watch.sessionTerminated(ended, 'destroy')
      if (isNew) watch.sessionCreated(session)
      rules.onConnected(session)
    },
    onDisconnected(session, reason) {
      kept().disconnected(session)
      groups().leaveAll(session)
      book.disconnected(session, reason)
      agree(book, kept(), session.clientId)
      rules.onDisconnected(session, reason)
      if (session.clean) watch.sessionTerminated(session, reason)
    }
  }
}

/**
 * aedes says nothing of a filter whose client has gone before it was written down: of an absent client the book has what its
 * kept session has.
 */
export function agree(book: SessionBook, kept: Pick<KeptSessions, 'find'>, clientId: string): void {
  const [record, own] = [book.find(clientId), kept.find(clientId)]
  if (!record || record.connected || !own) return
  const { session, subscriptions } = record
  const filters = new Map([...own.filters].map(([mounted, qos]) => [unmounted(session, mounted) ?? mounted, qos]))
  for (const filter of [...subscriptions.keys()]) if (!filters.has(filter)) book.unsubscribed(session, filter)
  for (const [filter, qos] of filters) book.subscribed(session, filter, qos)
}

/** Enters the sessions of an earlier process. */
export function restoreBook(book: SessionBook, kept: KeptSessions): void {
  for (const { facts, filters } of kept.all()) {
    const session = sessionOf(facts)
    const own = [...filters].map(([mounted, qos]): [string, number] => [unmounted(session, mounted) ?? mounted, qos])
    book.restored(session, facts.createdAt, own)
  }
}

export interface BookParts {
  broker: Aedes
  connections: Connections
  book: SessionBook
  groups: SharedGroups
  watch: BrokerWatch
  persistence: Pick<Persistence, 'removeSubscriptions'>
  onFailed(error: unknown): void
}

/** Writes down what is subscribed to, as the broker tells it. */
export function keepBook({ broker, connections, book, groups, watch, persistence, onFailed }: BookParts): void {
  function subscribed(session: Session, mounted: string, qos: number): string | undefined {
    const filter = unmounted(session, mounted)
    if (filter === undefined) return undefined
    groups.join(session, filter, qos)
    book.subscribed(session, filter, qos)
    return filter
  }

  function tellSubscribed(session: Session, filter: string, qos: number): void {
    watch.subscribing(session, filter, qos)
    watch.subscribed(session, filter, qos)
  }

  function unsubscribed(session: Session, filter: string): void {
    const had = book.find(session.clientId)?.subscriptions.has(filter) ?? false
    groups.leave(session, filter)
    book.unsubscribed(session, filter)
    watch.unsubscribing(session, filter)
    if (had) watch.unsubscribed(session, filter)
  }

  /** A kept session's subscriptions come back without an event; those that are no longer allowed do not come back. */
  function restored({ client, session }: Connection): void {
    for (const [mounted, { qos }] of Object.entries(client.subscriptions)) subscribed(session, mounted, qos)
    const kept = [...(book.find(session.clientId)?.subscriptions.keys() ?? [])]
    const gone = kept.filter((filter) => !client.subscriptions[`${session.tenantId}/${filter}`])
    for (const filter of gone) book.unsubscribed(session, filter)
    if (gone.length === 0) return
    const mounted = gone.map((filter) => `${session.tenantId}/${filter}`)
    persistence.removeSubscriptions({ id: session.clientId }, mounted).catch(onFailed)
  }

  broker.on('clientReady', (client) => {
    const connection = connections.of(client)
    if (connection && !connection.ended) restored(connection)
  })
  broker.on('subscribe', (subscriptions, client) => {
    const connection = connections.of(client)
    if (!connection || connection.ended) return
    for (const { topic, qos } of subscriptions) {
      const filter = (qos as number) === refused ? undefined : subscribed(connection.session, topic, qos)
      if (filter !== undefined) tellSubscribed(connection.session, filter, qos)
    }
  })
  broker.on('unsubscribe', (filters, client) => {
    const connection = connections.of(client)
    if (!connection || client.closed) return
    const { session } = connection
    const ended = new Set(filters)
    connection.granted = connection.granted.filter((mounted) => !ended.has(mounted))
    for (const mounted of filters) {
      const filter = unmounted(session, mounted)
      if (filter !== undefined) unsubscribed(session, filter)
    }
  })
}
