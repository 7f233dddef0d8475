/** Unique keys that can be read by page in their order. */
export interface OrderedKeys {
  readonly size: number
  has(key: string): boolean
  add(key: string): void
  delete(key: string): void
  page(offset: number, limit: number): string[]
}

/**
 * Changes cost a set operation; the order is mended at the next reading, by one pass over the keys. So a page costs the
 * same wherever it lies, and a fleet that connects at once pays nothing for lists that nobody reads.
 */
export function createOrderedKeys(): OrderedKeys {
  const live = new Set<string>()
  let sorted: string[] = []
  let added = new Set<string>()
  let isStale = false

  function mend(): void {
    if (!isStale) return
    const fresh = [...added].sort()
    const kept = sorted.filter((key) => live.has(key) && !added.has(key))
    sorted = merge(kept, fresh)
    added = new Set()
    isStale = false
  }

  return {
    get size() {
      return live.size
    },
    has: (key) => live.has(key),
    add(key) {
      if (live.has(key)) return
      live.add(key)
      added.add(key)
      isStale = true
    },
    delete(key) {
      if (!live.delete(key)) return
      added.delete(key)
      isStale = true
    },
    page(offset, limit) {
      mend()
      return sorted.slice(offset, offset + limit)
    }
  }
}

function merge(left: string[], right: string[]): string[] {
  if (right.length === 0) return left
  const merged: string[] = []
  let at = 0
  for (const key of left) {
    for (let next = right[at]; next !== undefined && next < key; next = right[++at]) merged.push(next)
    merged.push(key)
  }
  return merged.concat(right.slice(at))
}
