import type { Sample } from '../history/historyStore.js'
import type { Entity } from './entity.js'
import { checkValue } from './valueRules.js'

/** A checked value. Only properties have a latest one; events and calls are history. */
export interface Measurement extends Sample {
  key: string
  /** Of the OBJECT that it belongs to. */
  parentKey?: string | undefined
  hasLatest: boolean
}

type Spec = Pick<Entity, 'id' | 'key' | 'parentKey' | 'type' | 'valueType' | 'attribute'>

/** Nothing for an optional value that is null; the reason where the entity does not take it. */
export function measurementOf(entity: Spec, value: unknown, at: number): Measurement | { reason: string } | undefined {
  const checked = checkValue(entity, value)
  if ('reason' in checked) return checked
  if (checked.value === undefined) return undefined
  const { id, key, parentKey, valueType, type } = entity
  return { entityId: id, key, parentKey, valueType, value: checked.value, at, hasLatest: type === 'PROPERTY' }
}
