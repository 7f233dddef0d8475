import { AppError } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'

/** A client id belongs to the tenant that first used it. */
export interface Owners {
  /**
   * Claims the id for the tenant and answers the time that names this connection: later than that of any earlier
   * connection of the id. `conflict` where the id is another tenant's.
   */
  claim(clientId: string, tenantId: string, now: number): Promise<number>
  /** The claim was lost to another process: the store says whose it is. */
  forget(clientId: string): void
}

export interface Owner {
  tenantId: string
  connectedAt: number
}

export type FindOwners = (clientIds: string[]) => Promise<Map<string, Owner>>

const maxKnown = 200_000
const gatherMs = 5
const maxBatch = 1000

interface Waiting {
  resolve(owner: Owner | undefined): void
  reject(error: unknown): void
}

/** Keeps the owners in memory; unknown ids are looked up together: a whole fleet may come at once. */
export function createOwners(find: FindOwners): Owners {
  const known = new LRUCache<string, Owner>({ max: maxKnown })
  let waiting = new Map<string, Waiting[]>()

  async function lookUp(): Promise<void> {
    const asked = waiting
    waiting = new Map()
    const ids = [...asked.keys()]
    for (let at = 0; at < ids.length; at += maxBatch) {
      const part = ids.slice(at, at + maxBatch)
      try {
        const found = await find(part)
        for (const id of part) for (const one of asked.get(id) ?? []) one.resolve(found.get(id))
      } catch (error) {
        for (const id of part) for (const one of asked.get(id) ?? []) one.reject(error)
      }
    }
  }

  function ask(clientId: string): Promise<Owner | undefined> {
    return new Promise((resolve, reject) => {
      if (waiting.size === 0) setTimeout(lookUp, gatherMs)
      const others = waiting.get(clientId) ?? []
      others.push({ resolve, reject })
      waiting.set(clientId, others)
    })
  }

  return {
    async claim(clientId, tenantId, now) {
      // Looked at again after the wait: of two that ask at once, the first one answered has claimed it by then.
      const stored = known.has(clientId) ? undefined : await ask(clientId)
      const owner = known.get(clientId) ?? stored
      if (owner && owner.tenantId !== tenantId) throw new AppError('conflict', 'the client id belongs to somebody else')
      const connectedAt = Math.max(now, (owner?.connectedAt ?? 0) + 1)
      known.set(clientId, { tenantId, connectedAt })
      return connectedAt
    },
    forget: (clientId) => known.delete(clientId)
  }
}
