import type { Log } from '@fleetgate/contracts'
import type { Aedes } from 'aedes'
import type { BrokerRules, Message } from '../brokerDriver.js'
import type { BrokerExtras } from '../brokerFacts.js'
import { insideOf, type StoredPacket } from './aedesParts.js'
import { keepBook } from './bookkeeping.js'
import type { Connection, Connections } from './connections.js'
import { createEmbeddedControl } from './embeddedControl.js'
import { createEmbeddedFacts, type FactParts } from './embeddedFacts.js'
import { keepRetainedByTenant } from './retained.js'
import type { SessionBook, SessionRecord } from './sessionBook.js'
import { limitSessions, type SessionLimits } from './sessionLimits.js'
import { createSharedGroups, type SharedGroups } from './sharedGroups.js'
import { watchUnheard } from './unheard.js'

/** What we keep beside aedes, as long as it runs. */
export interface BrokerInside extends BrokerExtras {
  groups: SharedGroups
  limits: SessionLimits
}

export interface InsideParts {
  broker: Aedes
  rules: BrokerRules
  connections: Connections
  book: SessionBook
  publish(connection: Connection, message: Message): Promise<boolean>
  listener: FactParts['listener']
  options: { sessionExpiryMs: number; log: Log }
}

export function openInside(parts: InsideParts): BrokerInside {
  const { broker, rules, connections, book, publish, listener, options } = parts
  const inside = insideOf(broker)
  const { persistence } = inside
  const retained = keepRetainedByTenant(persistence)
  const limits = limitSessions(persistence, options.sessionExpiryMs, countQueued(book, inside))
  const groups = createSharedGroups({
    broker,
    mayReceive: rules.mayReceive,
    isFree: ({ clientId }) => connections.current(clientId)?.client.conn.writableNeedDrain === false,
    async deliver(session, message) {
      const connection = connections.current(session.clientId)
      if (connection?.session === session) await publish(connection, message)
    }
  })
  const onFailed = (err: unknown) => options.log.error({ err }, 'subscription of a kept session not ended')
  keepBook({ broker, connections, book, groups, persistence, onFailed })

  function connectionOf({ clientId, session }: SessionRecord): Connection | undefined {
    const connection = connections.current(clientId)
    return connection?.session === session ? connection : undefined
  }

  return {
    groups,
    limits,
    facts: createEmbeddedFacts({
      book,
      limits,
      retained,
      meterOf: (clientId) => connections.current(clientId)?.meter,
      awaitingRel: (clientId) => connections.current(clientId)?.client._inboundInflight.size ?? 0,
      listener
    }),
    control: createEmbeddedControl({ book, rules, persistence, groups, retained, connectionOf })
  }
}

/** Counts what waits for absent clients, and what is lost: for want of a receiver or of room. */
function countQueued(book: SessionBook, inside: ReturnType<typeof insideOf>): Parameters<typeof limitSessions>[2] {
  const waiting = new WeakSet<StoredPacket>()

  watchUnheard(inside, (packet) => {
    const tenantId = packet.topic.slice(0, packet.topic.indexOf('/'))
    const tenant = waiting.has(packet) ? undefined : book.known(tenantId)
    if (tenant) tenant.traffic.dropped += 1
  })

  return {
    onQueued(clientId, packet) {
      waiting.add(packet)
      const record = book.find(clientId)
      if (record) record.enqueued += 1
    },
    onDropped(clientId) {
      const record = book.find(clientId)
      if (!record) return
      record.dropped += 1
      book.of(record.tenantId).traffic.dropped += 1
    },
    onForgotten: book.forget
  }
}
