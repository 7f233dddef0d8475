import type { StoredValue, ValueType } from './storedValue.js'

export const entityTypes = ['PROPERTY', 'EVENT', 'SERVICE'] as const
export type EntityType = (typeof entityTypes)[number]

/** Seen from the product: what may be read and what may be written. Properties only. */
export const accessMods = ['R', 'W', 'RW'] as const
export type AccessMod = (typeof accessMods)[number]

/** `min`, `enum`, `unit` and the like, as the client or the manifest wrote it; unknown keys are kept. */
export type Attribute = Record<string, unknown>

export interface Latest {
  value: StoredValue
  /** Epoch ms: when it was measured, not when it came. */
  at: number
}

export interface Entity {
  /** A 64-bit number in decimal. */
  id: string
  tenantId: string
  /** `{integration}.integration.{…}` or `{integration}.device.{device}.{…}`, unique in its tenant. */
  key: string
  name: string
  type: EntityType
  accessMod?: AccessMod | undefined
  valueType: ValueType
  attribute: Attribute
  integration: string
  deviceId?: string | undefined
  deviceName?: string | undefined
  parentKey?: string | undefined
  isVisible: boolean
  /** Made by a person and not by an integration. */
  isCustom: boolean
  description?: string | undefined
  tagIds: string[]
  /** Who made it, or its device. */
  userId?: string | undefined
  createdAt: number
  updatedAt: number
  latest?: Latest | undefined
}

/** An entity before it has an id. */
export type EntityDraft = Omit<Entity, 'id' | 'createdAt' | 'updatedAt' | 'latest' | 'tagIds'>

export function isWritable({ type, accessMod }: Pick<Entity, 'type' | 'accessMod'>): boolean {
  return type === 'PROPERTY' && accessMod !== 'R'
}
