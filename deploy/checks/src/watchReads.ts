export interface Watched<T> {
  value: T
  /** Paths of the fields that nobody has looked at, in objects of which some field was. */
  unread(): string[]
}

/**
 * A view of plain data that notes which fields are read. A validator reads every field that its schema names and no other,
 * so what stays unread is a field that the schema does not know; an object of any shape is not read at all.
 */
export function watchReads<T extends object>(root: T): Watched<T> {
  const read = new Map<object, Set<string>>()
  const views = new Map<object, object>()

  function view<V>(value: V): V {
    if (typeof value !== 'object' || value === null) return value
    const known = views.get(value) ?? new Proxy(value, { get })
    views.set(value, known)
    return known as V
  }

  function get(target: object, key: string | symbol): unknown {
    if (typeof key === 'string') read.set(target, (read.get(target) ?? new Set()).add(key))
    return view(Reflect.get(target, key))
  }

  function unreadIn(value: unknown, path: string): string[] {
    if (typeof value !== 'object' || value === null) return []
    if (Array.isArray(value)) return value.flatMap((item, index) => unreadIn(item, `${path}[${index}]`))
    const seen = read.get(value)
    return Object.entries(value).flatMap(([key, inner]) => {
      const place = path ? `${path}.${key}` : key
      return seen && !seen.has(key) ? [place] : unreadIn(inner, place)
    })
  }

  return { value: view(root), unread: () => unreadIn(root, '') }
}
