import { createHash } from 'node:crypto'
import { serialize } from 'node:v8'
import type { Query, Require_id } from 'mongoose'
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

/**
 * Runs a sorted find for one page; rows come lean. The count is asked for only where the page itself does not
 * tell it: a page that is not full is the last one.
 */
export async function pageOf<R, D, H, T>(query: Query<R[], D, H, T>, page: Page): Promise<PageOf<Require_id<T>>> {
  const filter = query.getFilter()
  const { hint } = query.getOptions()
  const count = () => query.model.countDocuments(filter, hint === undefined ? {} : { hint }).exec()
  const total = () => totalsOfModel(query.model).of(keyOf(filter), count)
  if (page.limit < 1) return { items: [], total: await total() }
  const items = (await query.skip(page.offset).limit(page.limit).lean().exec()) as Require_id<T>[]
  const isLast = items.length < page.limit && (items.length > 0 || page.offset === 0)
  return { items, total: isLast ? page.offset + items.length : await total() }
}

const totalsOf = new WeakMap<object, Totals>()

function totalsOfModel(model: object): Totals {
  const known = totalsOf.get(model) ?? createTotals()
  totalsOf.set(model, known)
  return known
}

/** V8's own form of a value tells patterns, dates and numbers of all kinds apart, which JSON does not. */
function keyOf(filter: unknown): string {
  return createHash('sha256').update(serialize(filter)).digest('base64')
}
