import type { Log } from '@fleetgate/contracts'
import type { Aedes } from 'aedes'
import type { BrokerRules, BrokerWatch, Message } from '../brokerDriver.js'
import type { BrokerExtras } from '../brokerFacts.js'
import { insideOf, type Persistence } from './aedesParts.js'
import { keepBook } from './bookkeeping.js'
import type { Connection, Connections } from './connections.js'
import { createEmbeddedControl } from './embeddedControl.js'
import { createEmbeddedFacts, type FactParts } from './embeddedFacts.js'
import type { RetainedMessages } from './retained.js'
import type { SessionBook, SessionRecord } from './sessionBook.js'
import type { KeptSessions } from './sessions/keptSessions.js'
import { createSharedGroups, type SharedGroups } from './sharedGroups.js'
import { watchUnheard } from './unheard.js'

/** What we keep beside aedes, as long as it runs. */
export interface BrokerInside extends BrokerExtras {
  groups: SharedGroups
}

export interface InsideParts {
  broker: Aedes
  rules: BrokerRules
  connections: Connections
  book: SessionBook
  publishOfGroup(connection: Connection, message: Message): Promise<boolean>
  listeners: FactParts['listeners']
  kept: KeptSessions
  retained: RetainedMessages
  persistence: Pick<Persistence, 'addSubscriptions' | 'removeSubscriptions'>
  /** Payloads that wait in a queue, which so are not lost where nobody is connected. */
  waiting: WeakSet<Buffer>
  log: Log
}

export function openInside(parts: InsideParts): BrokerInside {
  const { broker, rules, connections, book, publishOfGroup, listeners, kept, retained, persistence } = parts
  countUnheard(parts)
  const groups = createSharedGroups({
    broker,
    mayReceive: rules.mayReceive,
    isFree: ({ clientId }) => connections.current(clientId)?.client.conn.writableNeedDrain === false,
    async deliver(session, message) {
      const connection = connections.current(session.clientId)
      if (connection?.session === session) await publishOfGroup(connection, message)
    }
  })
  const onFailed = (err: unknown) => parts.log.error({ err }, 'subscription of a kept session not ended')
  keepBook({ broker, connections, book, groups, watch: rules.watch, persistence, onFailed })

  function connectionOf({ clientId, session }: SessionRecord): Connection | undefined {
    const connection = connections.current(clientId)
    return connection?.session === session ? connection : undefined
  }

  return {
    groups,
    facts: createEmbeddedFacts({
      book,
      queued: (clientId) => kept.find(clientId)?.queue.size ?? 0,
      retained,
      meterOf: (clientId) => connections.current(clientId)?.meter,
      awaitingRel: (clientId) => connections.current(clientId)?.client._inboundInflight.size ?? 0,
      listeners
    }),
    control: createEmbeddedControl({ book, rules, persistence, groups, retained, connectionOf })
  }
}

/** Counts what is lost for want of a receiver. */
function countUnheard({ broker, book, waiting }: InsideParts): void {
  watchUnheard(insideOf(broker), (packet) => {
    const tenantId = packet.topic.slice(0, packet.topic.indexOf('/'))
    const tenant = waiting.has(packet.payload) ? undefined : book.known(tenantId)
    if (tenant) tenant.traffic.dropped += 1
  })
}

/** Counts what waits for absent clients, and what finds no room there. */
export function countQueued(
  book: SessionBook,
  waiting: WeakSet<Buffer>,
  watch: Pick<BrokerWatch, 'sessionTerminated'>
) {
  return {
    onQueued(clientId: string, payload: Buffer): void {
      waiting.add(payload)
      const record = book.find(clientId)
      if (record) record.enqueued += 1
    },
    onDropped(clientId: string): void {
      const record = book.find(clientId)
      if (!record) return
      record.dropped += 1
      book.of(record.tenantId).traffic.dropped += 1
    },
    onForgotten(clientId: string): void {
      const record = book.find(clientId)
      book.forget(clientId)
      if (record && !book.find(clientId)) watch.sessionTerminated(record.session, 'expired')
    }
  }
}
