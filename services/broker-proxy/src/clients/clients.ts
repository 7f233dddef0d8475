import { LRUCache } from 'lru-cache'
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
/** Above this a count is worth remembering for a moment: it walks the whole index range. */
const largeCount = 10_000
const countKeptMs = 2_000

export function createClients(parts: {
  node: string
  store: PresenceStore
  presence: Pick<Writer, 'settled'>
}): Clients {
  const { node, store, presence } = parts
  const counts = new LRUCache<string, number>({ max: 10_000, ttl: countKeptMs })

  async function count(place: Place): Promise<number> {
    const key = JSON.stringify([place.tenantId, place.node])
    const kept = counts.get(key)
    if (kept !== undefined) return kept
    const counted = await store.count(place)
    if (counted > largeCount) counts.set(key, counted)
    return counted
  }

  return {
    node,
    async list(place, page) {
      await presence.settled(settleMs)
      const [items, total] = await Promise.all([store.page(place, page), count(place)])
      return { items, total }
    },
    async find(tenantId, clientId, atNode) {
      await presence.settled(settleMs)
      return store.find(tenantId, clientId, atNode)
    }
  }
}
