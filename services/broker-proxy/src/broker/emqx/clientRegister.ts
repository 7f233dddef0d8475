import { LRUCache } from 'lru-cache'
import type { BrokerRules, Session } from '../brokerDriver.js'

/** Who is connected, from events that may come late, twice, in the wrong order or not at all. */
export interface ClientRegister {
  of(clientId: string): Session | undefined
  all(): Iterable<Session>
  readonly size: number
  /** Known from an earlier process: nobody has to be told. */
  takeOver(session: Session): void
  connected(session: Session): void
  disconnected(end: ConnectionEnd): void
}

export interface ConnectionEnd {
  clientId: string
  /** Names the connection; older versions leave it out. */
  connectedAt?: number | undefined
  at: number
  reason: string
}

/** A newer connection has taken the place: its own event says so, and these come before or after it as they like. */
const replaced = new Set(['takenover', 'takeovered', 'discarded'])
const maxEnded = 100_000

/** EMQX does not order the events of a client (its issue 12954): the time of the connection decides. */
export function createClientRegister(rules: Pick<BrokerRules, 'onConnected' | 'onDisconnected'>): ClientRegister {
  const byId = new Map<string, Session>()
  /** The latest connection of a client that is known to have ended. */
  const ended = new LRUCache<string, number>({ max: maxEnded })

  function end(session: Session, reason: string): void {
    byId.delete(session.clientId)
    rules.onDisconnected(session, reason)
  }

  return {
    of: (clientId) => byId.get(clientId),
    all: () => byId.values(),
    get size() {
      return byId.size
    },
    takeOver: (session) => void byId.set(session.clientId, session),

    connected(session) {
      const { clientId, connectedAt } = session
      if ((ended.get(clientId) ?? 0) >= connectedAt) return
      const current = byId.get(clientId)
      if (current && current.connectedAt >= connectedAt) return
      if (current) end(current, 'taken over')
      byId.set(clientId, session)
      rules.onConnected(session)
    },

    disconnected({ clientId, connectedAt, at, reason }) {
      if (replaced.has(reason)) return
      const current = byId.get(clientId)
      const until = connectedAt ?? (current && at >= current.connectedAt ? current.connectedAt : 0)
      if (until > (ended.get(clientId) ?? 0)) ended.set(clientId, until)
      if (current && current.connectedAt <= until) end(current, reason)
    }
  }
}
