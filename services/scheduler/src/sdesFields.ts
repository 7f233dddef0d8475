import { oneOf, type Static, sdesPaging, type TSchema, Type } from '@fleetgate/kit'

/** The document's clients send null for what they do not know; it counts as absent. */
export function nullable<S extends TSchema>(schema: S) {
  const { type, enum: values } = schema as { type?: string; enum?: unknown[] }
  const wider = values ? { enum: [...values, null] } : {}
  return Type.Unsafe<Static<S> | null>({ ...schema, ...wider, type: [type, 'null'] })
}

export const Id = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })
export const Ids = Type.Array(Id, { maxItems: 100_000 })
export const Name = Type.String({ minLength: 1, maxLength: 256 })
export const Text = Type.String({ maxLength: 4096 })
export const MaybeTime = nullable(Type.Number())
export const Success = Type.Unsafe<string>({ type: 'string', enum: ['success'] })
/** The answer of the document's updates. */
export const Done = Type.Object({ desc: nullable(Type.String()) })

export const Count = Type.Object({ count: Type.Integer() })

/** Query words of a flag: a string in the document. */
export const Flag = oneOf(['true', 'false', '1', '0'])

export function toFlag(word: Static<typeof Flag> | undefined): boolean | undefined {
  return word === undefined ? undefined : word === 'true' || word === '1'
}

/**
 * Of several spellings of one field the one that is meant. Replies have them all, so who changes one of them sends the others back
 * as they were read: what differs from what is `stored` is the change, and of several that differ the first.
 */
export function meantOf<T>(spellings: readonly (T | null | undefined)[], stored?: T): T | undefined {
  const given = spellings.filter((one): one is T => one != null)
  return given.find((one) => one !== stored) ?? given[0]
}

const Time = Type.Optional(Type.Number())
export const createdQuery = { createAtGte: Time, createAtLte: Time }
export const editedQuery = {
  lastEditedAtGte: Time,
  lastEditedAtLte: Time,
  lastRunAtGte: Time,
  lastRunAtLte: Time,
  assignmentsChangedAtGte: Time,
  assignmentsChangedAtLte: Time,
  ...createdQuery
}
export { sdesPaging }

export interface TimeRange {
  from?: number | undefined
  to?: number | undefined
}

/** Ranges by the name of our own field: `{ createdAt: { from, to } }`. */
export type TimeRanges<F extends string> = Partial<Record<F, TimeRange>>

export function toRanges<F extends string>(query: Record<string, unknown>, words: Record<F, string>): TimeRanges<F> {
  const ranges: TimeRanges<F> = {}
  for (const [field, word] of Object.entries<string>(words)) {
    const from = query[`${word}Gte`] as number | undefined
    const to = query[`${word}Lte`] as number | undefined
    if (from !== undefined || to !== undefined) ranges[field as F] = { from, to }
  }
  return ranges
}

/** A filter of the database from ranges. */
export function rangeFilter<F extends string>(ranges: TimeRanges<F> | undefined): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries<TimeRange | undefined>(ranges ?? {}).map(([field, range]) => [
      field,
      {
        ...(range?.from === undefined ? {} : { $gte: range.from }),
        ...(range?.to === undefined ? {} : { $lte: range.to })
      }
    ])
  )
}
