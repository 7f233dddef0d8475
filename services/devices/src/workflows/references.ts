/** What nodes put out, by the ids of the nodes. */
export type Outputs = ReadonlyMap<string, Readonly<Record<string, unknown>>>
export type Lookup = (nodeId: string, key: string) => unknown

export interface Reference {
  nodeId: string
  key: string
}

/** `#{properties.<nodeId>['<key>']}` as the editor writes it, `#{<nodeId>.<key>}` as people do. */
const source = String.raw`\s*(?:properties\.)?([A-Za-z0-9_:-]{1,128})(?:\['([^']{1,256})'\]|\["([^"]{1,256})"\]|\.([A-Za-z0-9_.$/-]{1,256}))\s*`
const one = new RegExp(`^#\\{${source}\\}$`)
const bare = new RegExp(`^${source}$`)

function every(): RegExp {
  return new RegExp(`#\\{${source}\\}`, 'g')
}

export function lookupIn(outputs: Outputs): Lookup {
  return (nodeId, key) => {
    const own = outputs.get(nodeId)
    return own && Object.hasOwn(own, key) ? own[key] : undefined
  }
}

/** A text that is a reference becomes the value itself, one within a text becomes text; what is not there is null. */
export function resolve(value: unknown, lookup: Lookup): unknown {
  if (typeof value === 'string') return resolveText(value, lookup)
  if (Array.isArray(value)) return value.map((item) => resolve(item, lookup))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, own]) => [key, resolve(own, lookup)]))
}

function resolveText(text: string, lookup: Lookup): unknown {
  const whole = toReference(one.exec(text))
  if (whole) return lookup(whole.nodeId, whole.key) ?? null
  return text.replace(every(), (...match) => {
    const { nodeId, key } = toReference(match as unknown as RegExpExecArray) as Reference
    return asText(lookup(nodeId, key))
  })
}

/** A reference with or without its braces, as the conditions of a choice write them. */
export function resolveKey(text: string, lookup: Lookup): unknown {
  const found = toReference(one.exec(text)) ?? toReference(bare.exec(text))
  return found ? (lookup(found.nodeId, found.key) ?? null) : text
}

export function referencesIn(value: unknown): Reference[] {
  if (typeof value === 'string') {
    return [...value.matchAll(every())].map((match) => toReference(match) as Reference)
  }
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(referencesIn)
}

export function asText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function toReference(match: RegExpExecArray | RegExpMatchArray | null): Reference | undefined {
  const [, nodeId, single, double, dotted] = match ?? []
  const key = single ?? double ?? dotted
  return nodeId === undefined || key === undefined ? undefined : { nodeId, key }
}
