import { LRUCache } from 'lru-cache'

export interface Totals {
  /** How many there are in all, by a count that may be remembered: small ones, up to `exactUpTo`, never are. */
  of(key: string, count: () => Promise<number>, exactUpTo?: number): Promise<number>
}

/** Above this a count is worth remembering: it walks the whole range of the index, half a second for a million. */
const large = 10_000
const freshMs = 2_000
/** So old a total still answers while one new count is made. */
const usableMs = 10_000
const remembered = 1_000

interface Known {
  total: number
  at: number
}

/**
 * Totals of long lists for callers who page through them or look again and again: at most one count of a list runs at a
 * time, and a total above 10,000 may be some seconds old.
 */
export function createTotals(now: () => number = Date.now): Totals {
  const known = new LRUCache<string, Known>({ max: remembered })
  const counting = new Map<string, Promise<number>>()

  async function renew(key: string, count: () => Promise<number>, exactUpTo: number): Promise<number> {
    const total = await count()
    if (total > exactUpTo) known.set(key, { total, at: now() })
    else known.delete(key)
    return total
  }

  function recount(key: string, count: () => Promise<number>, exactUpTo: number): Promise<number> {
    const running = counting.get(key)
    if (running) return running
    const started = renew(key, count, exactUpTo).finally(() => counting.delete(key))
    counting.set(key, started)
    return started
  }

  return {
    async of(key, count, exactUpTo = large) {
      const last = known.get(key)
      // Without a large total in mind a count that runs already may be older than what its asker has just changed.
      if (!last) return renew(key, count, exactUpTo)
      const age = now() - last.at
      if (age <= freshMs) return last.total
      const fresh = recount(key, count, exactUpTo)
      if (age > usableMs) return fresh
      // Whoever needs it next finds it or asks again; this answer does not depend on it.
      fresh.catch(() => undefined)
      return last.total
    }
  }
}
