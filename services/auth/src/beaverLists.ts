import { beaverPaging, beaverRange, type Found, Type, toBeaverPage } from '@fleetgate/kit'

export { beaverRange }

/** Beaver takes 64-bit ids as strings and as numbers; a number has already lost digits beyond 2^53. */
export const NumericId = Type.Unsafe<string | number>({
  type: ['string', 'integer'],
  pattern: '^[0-9]{1,19}$',
  minimum: 0
})
export const ById = Type.Object({ id: Type.String({ pattern: '^[0-9]{1,19}$' }) })
/** A number, or the name of an integration; as a JSON number too. */
export const ResourceId = Type.Unsafe<string | number>({
  type: ['string', 'integer'],
  minLength: 1,
  maxLength: 128,
  pattern: '^[A-Za-z0-9_.:@-]+$',
  minimum: 0
})
/** NUL ends a pattern for the database. */
export const Keyword = Type.String({ maxLength: 256, pattern: '^[^\\u0000]*$', default: '' })
export const ListQuery = Type.Object({ keyword: Keyword, ...beaverPaging })

type Order<K extends string> = [K, 1 | -1][]

/** What a list is to be sorted by: wire names to ours, `snake_case` or `camelCase`; unknown ones are passed over. */
export function sortOf<K extends string>(
  keys: Readonly<Record<string, K>>,
  { sorts = [] }: { sorts?: readonly { direction: 'ASC' | 'DESC'; property: string }[] | undefined }
): Order<K> {
  return sorts.flatMap(({ direction, property }) => {
    const key = Object.hasOwn(keys, property) ? keys[property] : undefined
    return key ? [[key, direction === 'ASC' ? 1 : -1] as [K, 1 | -1]] : []
  })
}

type Asked = Parameters<typeof toBeaverPage>[0]

/** Where nothing is found the real system answers the empty page of its framework, whatever was asked. */
export function pageReply<T>(asked: Asked, found: Found<T>) {
  if (found.total === 0) return { page_size: 0, page_number: 1, total: 0, content: [] as T[] }
  return toBeaverPage(asked, found)
}

/** The same for lists that begin anew behind their end: `offset` is where the page really begins. */
export function wrappedPageReply<T>(asked: Asked, found: Found<T> & { offset: number }) {
  const isFirst = found.offset === 0
  return pageReply(isFirst ? { ...asked, page_number: 1 } : asked, found)
}
