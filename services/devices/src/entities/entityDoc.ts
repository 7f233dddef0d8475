import { type OutboxEntry, outboxField } from '@fleetgate/store'
import { Schema } from 'mongoose'
import type { Attribute, Entity } from './entity.js'
import { fromBson } from './storedValue.js'

/** An entity with its latest value. The attribute is JSON text: its keys are the client's own. */
export interface EntityDoc extends Omit<Entity, 'id' | 'attribute' | 'latest' | 'tagIds'> {
  _id: string
  tagIds?: string[]
  attribute: string
  latest?: { value: unknown; at: number; by?: number }
  /** Once removed `tenantId` is empty, so that no query of a tenant finds what waits for its history to go. */
  formerTenantId?: string
  removedAt?: number
  outbox?: OutboxEntry[]
}

export const entitySchema = new Schema<EntityDoc>({
  _id: String,
  tenantId: { type: String, default: '' },
  key: { type: String, required: true },
  name: { type: String, required: true },
  type: { type: String, required: true },
  accessMod: String,
  valueType: { type: String, required: true },
  attribute: { type: String, required: true },
  integration: { type: String, required: true },
  deviceId: String,
  deviceName: String,
  parentKey: String,
  isVisible: { type: Boolean, required: true },
  isCustom: { type: Boolean, required: true },
  description: String,
  tagIds: { type: [String], default: undefined },
  userId: String,
  createdAt: { type: Number, required: true },
  updatedAt: { type: Number, required: true },
  latest: { type: { _id: false, value: Schema.Types.Mixed, at: Number, by: Number }, default: undefined },
  formerTenantId: String,
  removedAt: Number,
  outbox: outboxField
})
entitySchema.index({ tenantId: 1, key: 1 }, { unique: true })
entitySchema.index({ tenantId: 1, createdAt: -1, _id: -1 })
entitySchema.index({ tenantId: 1, integration: 1, createdAt: -1, _id: -1 })
entitySchema.index({ tenantId: 1, deviceId: 1, createdAt: -1, _id: -1 })
entitySchema.index({ tenantId: 1, parentKey: 1, createdAt: 1, _id: 1 })
entitySchema.index({ tenantId: 1, userId: 1, createdAt: -1, _id: -1 })
entitySchema.index({ tenantId: 1, tagIds: 1, createdAt: -1, _id: -1 })

export function toEntity(doc: EntityDoc): Entity {
  return {
    id: doc._id,
    tenantId: doc.tenantId,
    key: doc.key,
    name: doc.name,
    type: doc.type,
    accessMod: doc.accessMod,
    valueType: doc.valueType,
    attribute: JSON.parse(doc.attribute) as Attribute,
    integration: doc.integration,
    deviceId: doc.deviceId,
    deviceName: doc.deviceName,
    parentKey: doc.parentKey,
    isVisible: doc.isVisible,
    isCustom: doc.isCustom,
    description: doc.description,
    tagIds: doc.tagIds ?? [],
    userId: doc.userId,
    createdAt: doc.createdAt,
    updatedAt: doc.updatedAt,
    latest: doc.latest ? { value: fromBson(doc.valueType, doc.latest.value), at: doc.latest.at } : undefined
  }
}

/** Without the fields that are undefined: an operator would write them as null. */
export function defined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
}
