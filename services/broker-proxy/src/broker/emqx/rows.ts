import { AppError, compile, type Static, type TSchema, Type } from '@fleetgate/contracts'
import type { Rest } from './rest.js'

/** The most that every version takes: 1000 until 5.4, 10,000 from 5.5. */
const pageSize = 1000
/** A broker that always says "there is more" must not keep us for ever. */
const maxPages = 10_000

/**
 * Every row of one of EMQX's lists, page by page; what comes or goes meanwhile may be missing or come twice. `meta.count` is not
 * looked at: it is left out for some filters, and for the subscriptions of durable sessions.
 */
export function createRows<S extends TSchema>(rest: Rest, schema: S) {
  const Page = Type.Object({
    data: Type.Array(schema),
    meta: Type.Object({ hasnext: Type.Optional(Type.Boolean()) })
  })
  const read = compile(Page)

  return async function* rows(path: string, query: Record<string, string> = {}): AsyncIterable<Static<S>> {
    for (let page = 1; page <= maxPages; page++) {
      const asked = new URLSearchParams({ ...query, page: String(page), limit: String(pageSize) })
      const { data, meta } = understood(read, await rest.call('GET', `${path}?${asked}`)) as Static<typeof Page>
      yield* data as Static<S>[]
      if (!(meta.hasnext ?? data.length === pageSize)) return
    }
  }
}

export function understood<T>(read: (value: unknown) => T, value: unknown): T {
  try {
    return read(value)
  } catch (cause) {
    throw new AppError('unavailable', 'EMQX answered something unexpected', {}, { cause })
  }
}

/** RFC 3339 with milliseconds and offset, or epoch ms. */
export function epochMs(value: string | number | null | undefined): number {
  const ms = typeof value === 'number' ? value : Date.parse(value ?? '')
  return Number.isFinite(ms) ? Math.trunc(ms) : 0
}
