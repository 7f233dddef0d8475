import type { Presence as Writer } from './presence.js'
import type { Presence, PresenceStore } from './presenceStore.js'

export interface Place {
  tenantId: string
  node: string
}

/** Who is connected, as the API shows it. */
export interface Clients {
  readonly node: string
  list(place: Place, page: { offset: number; limit: number }): Promise<{ items: Presence[]; total: number }>
  find(tenantId: string, clientId: string, node?: string): Promise<Presence | undefined>
}

const settleMs = 500

export function createClients(parts: {
  node: string
  store: PresenceStore
  presence: Pick<Writer, 'settled'>
}): Clients {
  const { node, store, presence } = parts

  return {
    node,
    async list(place, page) {
      await presence.settled(settleMs)
      return store.page(place, page)
    },
    async find(tenantId, clientId, atNode) {
      await presence.settled(settleMs)
      return store.find(tenantId, clientId, atNode)
    }
  }
}
