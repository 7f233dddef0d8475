import type { Widget } from './dashboard.js'

/** Entities that widgets name. */
export interface Named {
  ids: Set<string>
  keys: Set<string>
}

const maxDepth = 20
const isId = /^[0-9]{1,19}$/
const idFields = new Set(['entityId', 'entity_id'])
const keyFields = new Set(['entityKey', 'entity_key'])

/**
 * What a widget's data names: in `entity` (one or a list) the id at `value`, as Beaver's web client writes it, and anywhere
 * fields called entityId and entityKey, in either spelling. The data is the client's own, so nothing else is known of it.
 */
export function namedBy({ data }: Pick<Widget, 'data'>): Named {
  const named: Named = { ids: new Set(), keys: new Set() }
  walk(data, named, 0)
  return named
}

/** Of several widgets together. */
export function namedByAll(widgets: readonly Pick<Widget, 'data'>[]): Named {
  const all = widgets.map(namedBy)
  return { ids: new Set(all.flatMap(({ ids }) => [...ids])), keys: new Set(all.flatMap(({ keys }) => [...keys])) }
}

function walk(value: unknown, named: Named, depth: number): void {
  if (typeof value !== 'object' || value === null || depth > maxDepth) return
  if (Array.isArray(value)) {
    for (const item of value) walk(item, named, depth + 1)
    return
  }
  for (const [field, inner] of Object.entries(value)) {
    if (keyFields.has(field) && typeof inner === 'string' && inner !== '') named.keys.add(inner)
    else if (idFields.has(field)) addId(inner, named)
    else {
      if (field === 'entity') for (const one of [inner].flat()) addId((one as { value?: unknown } | null)?.value, named)
      walk(inner, named, depth + 1)
    }
  }
}

function addId(value: unknown, { ids }: Named): void {
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text === 'string' && isId.test(text)) ids.add(text)
}
