import type { Found, Range } from '@fleetgate/kit'
import type { Session } from '../broker/brokerDriver.js'
import { createOrderedList, type OrderedList } from '../broker/orderedList.js'
import type { Presence } from './presence.js'

/** Who is connected, by tenant and in the order of the client ids: any page costs the same. */
export interface Roster {
  connected(session: Session): void
  /** Ignored where the client has another connection by now. */
  disconnected(session: Session): void
  page(tenantId: string, page: Range): Found<Session>
}

export function createRoster(): Roster {
  const tenants = new Map<string, OrderedList<Session>>()

  return {
    connected(session) {
      const list = tenants.get(session.tenantId) ?? createOrderedList<Session>(({ clientId }) => clientId)
      tenants.set(session.tenantId, list)
      list.put(session)
    },

    disconnected({ tenantId, clientId, connectedAt }) {
      const list = tenants.get(tenantId)
      if (list?.get(clientId)?.connectedAt !== connectedAt) return
      list.delete(clientId)
      if (list.size === 0) tenants.delete(tenantId)
    },

    page(tenantId, { offset, limit }) {
      const list = tenants.get(tenantId)
      return { items: list?.page(offset, limit) ?? [], total: list?.size ?? 0 }
    }
  }
}

/** Notes in the roster what is noted as presence. */
export function withRoster(roster: Roster, presence: Presence): Presence {
  return {
    ...presence,
    connected(session) {
      roster.connected(session)
      presence.connected(session)
    },
    disconnected(session, reason) {
      roster.disconnected(session)
      presence.disconnected(session, reason)
    },
    async takeOver() {
      const sessions = await presence.takeOver()
      for (const session of sessions) roster.connected(session)
      return sessions
    }
  }
}
