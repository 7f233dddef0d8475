import type { Query, Require_id } from 'mongoose'

export interface Page {
  offset: number
  limit: number
}

export interface PageOf<T> {
  items: T[]
  /** How many there are in all, over every page. */
  total: number
}

/**
 * Runs a sorted find for one page; rows come lean. The count is asked for only where the page itself does not
 * tell it: a page that is not full is the last one.
 */
export async function pageOf<R, D, H, T>(query: Query<R[], D, H, T>, page: Page): Promise<PageOf<Require_id<T>>> {
  const filter = query.getFilter()
  if (page.limit < 1) return { items: [], total: await query.model.countDocuments(filter) }
  const items = (await query.skip(page.offset).limit(page.limit).lean().exec()) as Require_id<T>[]
  const isLast = items.length < page.limit && (items.length > 0 || page.offset === 0)
  const total = isLast ? page.offset + items.length : await query.model.countDocuments(filter)
  return { items, total }
}
