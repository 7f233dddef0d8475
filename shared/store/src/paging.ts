import { createHash } from 'node:crypto'
import { serialize } from 'node:v8'
import type { Query, Require_id } from 'mongoose'
import { createMarks, type Marks } from './marks.js'
import { createTotals, type Totals } from './totals.js'

export interface Page {
  offset: number
  limit: number
}

export interface PageOf<T> {
  items: T[]
  /** How many there are in all, over every page; above 10,000 it may be some seconds old. */
  total: number
}

export interface PageOptions {
  /**
   * The field whose ascending order is the list's; no two of its rows have the same value, and all have one. With it deep
   * pages are reached from one nearby that was asked for in the last seconds. It has to be among the fields that are read.
   */
  by?: string
  /** The index to count by, where it is not the one that has the order. */
  countHint?: Record<string, 1 | -1> | undefined
  /** A total above this may be some seconds old; 10,000 where nothing is said. */
  exactUpTo?: number
}

/**
 * Runs a sorted find for one page; rows come lean. The count is asked for only where the page itself does not
 * tell it: a page that is not full is the last one.
 */
export async function pageOf<R, D, H, T>(
  query: Query<R[], D, H, T>,
  page: Page,
  { by, countHint, exactUpTo }: PageOptions = {}
): Promise<PageOf<Require_id<T>>> {
  const filter = query.getFilter()
  const hint = countHint ?? query.getOptions().hint
  const { totals, marks } = knownOf(query.model)
  const list = keyOf(filter)
  const count = () => query.model.countDocuments(filter, hint === undefined ? {} : { hint }).exec()
  const total = () => totals.of(list, count, exactUpTo)
  if (page.limit < 1) return { items: [], total: await total() }
  const mark = by === undefined ? undefined : marks.before(list, page.offset)
  // The count is of the whole list, so the query itself stays as it is.
  const rest = by !== undefined && mark ? query.clone().and([{ [by]: { $gte: mark.key } }] as never) : query
  const skip = page.offset - (mark?.offset ?? 0)
  const items = (await rest.skip(skip).limit(page.limit).lean().exec()) as Require_id<T>[]
  if (by !== undefined && items[0]) {
    marks.note(list, { offset: page.offset, key: (items[0] as Record<string, unknown>)[by], from: mark })
  }
  const isLast = items.length < page.limit && (items.length > 0 || page.offset === 0)
  return { items, total: isLast ? page.offset + items.length : await total() }
}

interface Known {
  totals: Totals
  marks: Marks
}

const knownOfModels = new WeakMap<object, Known>()

/** What is remembered of the lists of a model. */
function knownOf(model: object): Known {
  const known = knownOfModels.get(model) ?? { totals: createTotals(), marks: createMarks() }
  knownOfModels.set(model, known)
  return known
}

/** V8's own form of a value tells patterns, dates and numbers of all kinds apart, which JSON does not. */
function keyOf(filter: unknown): string {
  return createHash('sha256').update(serialize(filter)).digest('base64')
}
