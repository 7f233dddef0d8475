import type { Store } from '@fleetgate/store'

export type Document = Record<string, unknown>

export interface Copies {
  collection: string
  count: number
  copy: (index: number) => Document
  atOnce: number
  /** Waits for each batch until the engine has it in its journal; else only until the engine has it. */
  isJournaled: boolean
}

/** Inserts so many documents, batch after batch over one connection. */
export async function insertCopies(store: Store, { collection, count, copy, atOnce, isJournaled }: Copies) {
  const target = store.connection.collection(collection)
  for (let start = 0; start < count; start += atOnce) {
    const size = Math.min(atOnce, count - start)
    await target.insertMany(
      Array.from({ length: size }, (_, index) => copy(start + index)),
      { ordered: false, writeConcern: { w: 1, j: isJournaled } }
    )
  }
}
