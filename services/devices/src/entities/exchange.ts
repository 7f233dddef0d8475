import type { Entity } from './entity.js'

/** Values by entity key, as Beaver's payloads carry them. */
export type Exchange = Record<string, unknown>

export interface Filled {
  entity: Entity
  value: unknown
}

/**
 * The entities that an exchange gives a value. An OBJECT has no value of its own: its children are named by their own keys,
 * or by their identifiers within it. What is not among `known` is passed over.
 */
export function expand(exchange: Exchange, known: Entity[]): Filled[] {
  const byKey = new Map(known.map((entity) => [entity.key, entity]))
  const found = new Map<string, Filled>()
  for (const [key, value] of Object.entries(exchange)) {
    const entity = byKey.get(key)
    if (!entity) continue
    if (entity.valueType !== 'OBJECT') found.set(key, { entity, value })
    else for (const filled of withinObject(entity, value, byKey)) found.set(filled.entity.key, filled)
  }
  return [...found.values()]
}

function withinObject(parent: Entity, value: unknown, byKey: Map<string, Entity>): Filled[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
  return Object.entries(value).flatMap(([identifier, own]) => {
    const entity = byKey.get(`${parent.key}.${identifier}`) ?? byKey.get(identifier)
    return entity && entity.parentKey === parent.key ? [{ entity, value: own }] : []
  })
}
