/** Items with unique keys that can be read by page in the order of their keys. */
export interface OrderedList<T> {
  readonly size: number
  get(key: string): T | undefined
  /** In the place of the one with the same key. */
  put(item: T): void
  delete(key: string): void
  page(offset: number, limit: number): T[]
}

const maxChunk = 512

/**
 * Chunks of some hundred items each. A page costs a walk over their lengths wherever it lies, a change moves the items of one
 * chunk, and the list needs no more memory than its references.
 */
export function createOrderedList<T>(keyOf: (item: T) => string): OrderedList<T> {
  const chunks: T[][] = []
  let size = 0

  /** The last chunk that begins at or before the key; 0 where the key comes before all. */
  function chunkOf(key: string): number {
    return Math.max(0, firstWhere(chunks.length, (at) => keyOf(chunks[at]?.[0] as T) > key) - 1)
  }

  function placeOf(key: string): { chunk: T[]; at: number; index: number; found: T | undefined } {
    const index = chunkOf(key)
    const chunk = chunks[index] ?? []
    const at = firstWhere(chunk.length, (one) => keyOf(chunk[one] as T) >= key)
    const item = chunk[at]
    return { chunk, at, index, found: item !== undefined && keyOf(item) === key ? item : undefined }
  }

  function shrink(index: number): void {
    const [chunk = [], next] = chunks.slice(index, index + 2)
    if (chunk.length === 0) chunks.splice(index, 1)
    // Chunks that have lost most of theirs would make the walk over them long.
    else if (next && chunk.length + next.length < maxChunk / 2) chunks.splice(index, 2, [...chunk, ...next])
  }

  return {
    get size() {
      return size
    },
    get: (key) => placeOf(key).found,

    put(item) {
      const { chunk, at, index, found } = placeOf(keyOf(item))
      chunk.splice(at, found === undefined ? 0 : 1, item)
      if (found !== undefined) return
      size += 1
      if (chunks.length === 0) chunks.push(chunk)
      if (chunk.length > maxChunk) chunks.splice(index + 1, 0, chunk.splice(maxChunk / 2))
    },

    delete(key) {
      const { chunk, at, index, found } = placeOf(key)
      if (found === undefined) return
      chunk.splice(at, 1)
      size -= 1
      shrink(index)
    },

    page(offset, limit) {
      const items: T[] = []
      let skip = offset
      for (const chunk of chunks) {
        if (items.length >= limit) break
        if (skip < chunk.length) items.push(...chunk.slice(skip, skip + limit - items.length))
        skip = Math.max(0, skip - chunk.length)
      }
      return items
    }
  }
}

/** The first of so many places for which it holds, where it holds for all that come after one. */
function firstWhere(count: number, holds: (place: number) => boolean): number {
  let [low, high] = [0, count]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}
