import { type Found, Type, toBeaverPage } from '@fleetgate/kit'

/** Beaver takes 64-bit ids as strings and as numbers; a number has already lost digits beyond 2^53. */
export const NumericId = Type.Unsafe<string | number>({
  type: ['string', 'integer'],
  pattern: '^[0-9]{1,19}$',
  minimum: 0
})
export const ById = Type.Object({ id: Type.String({ pattern: '^[0-9]{1,19}$' }) })

/** Leaving out and null are the same: the web client sends either. */
export function orNull<T>(schema: { type: string } & Record<string, unknown>) {
  return Type.Optional(Type.Unsafe<T | null>({ ...schema, type: [schema.type, 'null'] }))
}

interface Sort {
  direction: 'ASC' | 'DESC'
  property: string
}

/** The first that the list knows, by the names that clients use; others are passed over. */
export function wishedOrder<F extends string>(sorts: Sort[] | undefined, names: Readonly<Record<string, F>>) {
  for (const { property, direction } of sorts ?? []) {
    const field = Object.hasOwn(names, property) ? names[property] : undefined
    if (field !== undefined) return { field, direction: direction === 'ASC' ? (1 as const) : (-1 as const) }
  }
  return undefined
}

const times = { id: 'createdAt', created_at: 'createdAt', createdAt: 'createdAt' } as const
const keys = { key: 'key', entity_key: 'key', entityKey: 'key', entity_created_at: 'createdAt' } as const
/** Of devices and of entities. */
export const thingOrders = { ...times, ...keys }

type Asked = Parameters<typeof toBeaverPage>[0]

/** Where nothing is found the real system answers the empty page of its framework, whatever was asked. */
export function pageReply<T>(asked: Asked, found: Found<T>, most?: number) {
  if (found.total === 0) return { page_size: 0, page_number: 1, total: 0, content: [] as T[] }
  return toBeaverPage(asked, found, most)
}
