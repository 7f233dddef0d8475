/** RFC 6901. The empty pointer is the whole. */
export const pointerPattern = '^(/([^~]|~[01])*)?$'

export function segmentsOf(pointer: string): string[] {
  if (pointer === '') return []
  return pointer
    .slice(1)
    .split('/')
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** Undefined where there is nothing. */
export function valueAt(document: unknown, segments: readonly string[]): unknown {
  let value = document
  for (const segment of segments) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, segment)) return undefined
    value = (value as Record<string, unknown>)[segment]
  }
  return value
}

/** A document with these values at their pointers. No pointer may lead through the value of another. */
export function documentOf(values: readonly { pointer: string; value: unknown }[]): unknown {
  const root: Record<string, unknown> = Object.create(null)
  for (const { pointer, value } of values) {
    const segments = segmentsOf(pointer)
    const last = segments.pop()
    if (last === undefined) return value
    let place = root
    for (const segment of segments) {
      place[segment] ??= Object.create(null)
      place = place[segment] as Record<string, unknown>
    }
    place[last] = value
  }
  return root
}

/** True where one of them leads to the other or through it. */
export function overlap(one: string, other: string): boolean {
  return one === other || other.startsWith(`${one}/`) || one.startsWith(`${other}/`)
}
