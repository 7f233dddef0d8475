import type { Page } from '@fleetgate/store'

/** A run and how many rows it has in a list. */
export interface Sized {
  rows: number
}

/** The rows of one run that belong to a page; of a whole run, all. */
export interface Part<R extends Sized> {
  run: R
  skip: number
  take: number
  isWhole: boolean
}

export interface Reading {
  /** Read at a time. */
  runsAtOnce: number
  /** Read at most. */
  maxRuns: number
}

/**
 * Which rows of which runs make up a page of a list that has the rows of one run after the other: what runs have is added up, so no
 * row is walked over. Nothing where so many runs do not lead to the page.
 */
export async function partsOf<R extends Sized>(
  read: (page: Page) => Promise<readonly R[]>,
  { offset, limit }: Page,
  { runsAtOnce, maxRuns }: Reading
): Promise<Part<R>[] | undefined> {
  const parts: Part<R>[] = []
  let before = 0
  for (let at = 0; at < maxRuns; at += runsAtOnce) {
    const runs = await read({ offset: at, limit: runsAtOnce })
    for (const run of runs) {
      const skip = Math.max(0, offset - before)
      const take = Math.min(run.rows, offset + limit - before) - skip
      if (take > 0) parts.push({ run, skip, take, isWhole: skip === 0 && take === run.rows })
      before += run.rows
      if (before >= offset + limit) return parts
    }
    if (runs.length < runsAtOnce) return parts
  }
  return undefined
}
