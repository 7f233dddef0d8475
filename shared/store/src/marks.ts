import { LRUCache } from 'lru-cache'

/** The row that stood at this place of a list. */
export interface Mark {
  offset: number
  key: unknown
  /** When it stood there. */
  at: number
}

export interface Marks {
  /** The nearest place at or before this one that is known; nothing where the list's beginning is as near. */
  before(list: string, offset: number): Mark | undefined
  /** `from`: the mark it was found from, which makes it no younger than that. */
  note(list: string, found: { offset: number; key: unknown; from?: Mark | undefined }): void
}

/** Up to here walking from the beginning costs a few milliseconds. */
const deepFrom = 2_000
const usableMs = 10_000
const marksOfList = 100
const lists = 1_000

/**
 * Where pages of long lists begin: the database passes over the rows before a page one by one, 50 ms for 50,000, so each deep
 * page that was found is a place from which the next ones are reached. For some seconds what is added or removed before it does
 * not move a page.
 */
export function createMarks(now: () => number = Date.now): Marks {
  const known = new LRUCache<string, Mark[]>({ max: lists })
  const usable = (list: string) => (known.get(list) ?? []).filter(({ at }) => now() - at <= usableMs)

  return {
    before(list, offset) {
      if (offset < deepFrom) return undefined
      const earlier = usable(list).filter((mark) => mark.offset <= offset)
      return earlier.reduce<Mark | undefined>(
        (best, mark) => (best && best.offset > mark.offset ? best : mark),
        undefined
      )
    },

    note(list, { offset, key, from }) {
      if (offset < deepFrom) return
      const marks = usable(list)
      // The first to find a place names it until it is old: a list that is in use is looked up anew from time to time.
      if (marks.some((mark) => mark.offset === offset)) return
      known.set(list, [...marks.slice(1 - marksOfList), { offset, key, at: from?.at ?? now() }])
    }
  }
}
