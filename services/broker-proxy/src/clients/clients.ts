import type { Found, Range } from '@fleetgate/kit'
import type { Session } from '../broker/brokerDriver.js'
import type { Presence as Writer } from './presence.js'
import type { PresenceStore } from './presenceStore.js'
import type { Roster } from './roster.js'

/** What the API shows of a connection. */
export type ConnectedClient = Omit<Session, 'tenantId'>

/** Who is connected, as the API shows it. */
export interface Clients {
  readonly node: string
  /** Of this node, in order of client id. */
  list(tenantId: string, page: Range): Found<ConnectedClient>
  /** Of one node or of all. */
  find(tenantId: string, clientId: string, node?: string): Promise<ConnectedClient | undefined>
}

const settleMs = 500

export function createClients(parts: {
  node: string
  roster: Pick<Roster, 'page'>
  store: Pick<PresenceStore, 'find'>
  presence: Pick<Writer, 'settled'>
}): Clients {
  const { node, roster, store, presence } = parts

  return {
    node,
    list: roster.page,
    async find(tenantId, clientId, atNode) {
      await presence.settled(settleMs)
      return store.find(tenantId, clientId, atNode)
    }
  }
}
