import type { BrokerFacts, ListenerFacts, SessionFacts, SubscriptionFacts } from '../brokerFacts.js'
import type { RetainedMessages } from './retained.js'
import { countsOf, type SessionBook, type SessionRecord, subscriptionKey } from './sessionBook.js'
import type { WireMeter } from './wireMeter.js'

export interface FactParts {
  book: SessionBook
  /** Messages that wait for a client, those on their way to it included. */
  queued(clientId: string): number
  retained: RetainedMessages
  meterOf(clientId: string): WireMeter | undefined
  /** QoS 2 messages of a client that wait for their release. */
  awaitingRel(clientId: string): number
  listeners(): Omit<ListenerFacts, 'currentClients' | 'ended'>[]
}

/** Everything is kept as it changes, so no answer has to walk over the clients. */
export function createEmbeddedFacts(parts: FactParts): BrokerFacts {
  const { book, retained } = parts

  function find(tenantId: string, clientId: string): SessionRecord | undefined {
    const record = book.find(clientId)
    return record?.tenantId === tenantId ? record : undefined
  }

  function toFacts(record: SessionRecord): SessionFacts {
    const { clientId, createdAt, enqueued, dropped, connected } = record
    const meter = connected ? parts.meterOf(clientId) : undefined
    const [awaitingAck, awaitingComp] = [meter?.awaitingAck ?? 0, meter?.awaitingComp ?? 0]
    return {
      clientId,
      clean: record.session.clean,
      createdAt,
      subscriptions: record.subscriptions.size,
      maxInflight: 0,
      awaitingAck,
      awaitingComp,
      awaitingRel: connected ? parts.awaitingRel(clientId) : 0,
      // What is on its way stays in the queue until it is acknowledged.
      queued: Math.max(0, parts.queued(clientId) - awaitingAck - awaitingComp),
      dropped,
      delivered: meter?.delivered ?? 0,
      enqueued
    }
  }

  function toSubscription(key: string): SubscriptionFacts[] {
    const [clientId = '', filter = ''] = key.split('\0')
    const qos = book.find(clientId)?.subscriptions.get(filter)
    return qos === undefined ? [] : [{ clientId, filter, qos }]
  }

  return {
    async sessions(tenantId, { offset, limit }) {
      const { sessions } = book.of(tenantId)
      return { items: sessions.page(offset, limit).map(toFacts), total: sessions.size }
    },

    async session(tenantId, clientId) {
      const record = find(tenantId, clientId)
      return record && toFacts(record)
    },

    async subscriptions(tenantId, { offset, limit }) {
      const { subscriptions } = book.of(tenantId)
      return { items: subscriptions.page(offset, limit).flatMap(toSubscription), total: subscriptions.size }
    },

    async subscriptionsOf(tenantId, clientId) {
      const filters = [...(find(tenantId, clientId)?.subscriptions.keys() ?? [])].sort()
      return filters.flatMap((filter) => toSubscription(subscriptionKey(clientId, filter)))
    },

    async routes(tenantId, { offset, limit }) {
      const { routes } = book.of(tenantId)
      return { items: routes.page(offset, limit), total: routes.size }
    },

    hasRoute: async (tenantId, filter) => book.of(tenantId).routes.get(filter) !== undefined,

    async listeners(tenantId) {
      const { listeners } = book.of(tenantId)
      return parts.listeners().map((listener) => {
        const { current, ended } = countsOf(listeners, listener.protocol)
        return { ...listener, currentClients: current, ended: Object.fromEntries(ended) }
      })
    },

    traffic: async (tenantId) => book.of(tenantId).traffic,

    async stats(tenantId) {
      const { clients, sessions, subscribers, subscriptions, routes } = book.of(tenantId).gauges
      // Every filter is a route of this one node.
      const stats = { clients, sessions, subscribers, subscriptions, topics: routes, routes }
      return { ...stats, retained: retained.gauge(tenantId) }
    }
  }
}
