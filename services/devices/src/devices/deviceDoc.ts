import { type OutboxEntry, outboxField } from '@fleetgate/store'
import { Schema } from 'mongoose'
import type { Device } from './device.js'

export interface DeviceDoc extends Omit<Device, 'id' | 'additionalData'> {
  _id: string
  /** JSON text: its keys are the integration's own. */
  additionalData: string
  /** Set while its entities are not yet as the device says; a sweep settles what a crash left. */
  unsettledSince?: number
  /** JSON text of the entities that are still to be made. */
  blueprint?: string
  /** Of a machine: what its entities and values were last made from, as `digestOf` (fleet/machine.ts) has it. */
  madeFrom?: string
  /** Counts the changes. */
  revision: number
  /** Once removed `tenantId` is empty, so that no query of a tenant finds it. */
  formerTenantId?: string
  removedAt?: number
  outbox?: OutboxEntry[]
}

export const deviceSchema = new Schema<DeviceDoc>({
  _id: String,
  tenantId: { type: String, default: '' },
  key: { type: String, required: true },
  identifier: { type: String, required: true },
  name: { type: String, required: true },
  integration: { type: String, required: true },
  template: String,
  groupId: String,
  additionalData: { type: String, required: true },
  userId: { type: String, default: '' },
  createdAt: { type: Number, required: true },
  updatedAt: { type: Number, required: true },
  unsettledSince: Number,
  blueprint: String,
  madeFrom: String,
  revision: { type: Number, required: true },
  formerTenantId: String,
  removedAt: Number,
  outbox: outboxField
})
deviceSchema.index({ tenantId: 1, key: 1 }, { unique: true })
deviceSchema.index({ tenantId: 1, createdAt: -1, _id: -1 })
deviceSchema.index({ tenantId: 1, integration: 1, createdAt: -1, _id: -1 })
deviceSchema.index({ tenantId: 1, userId: 1, createdAt: -1, _id: -1 })
deviceSchema.index({ tenantId: 1, template: 1 }, { sparse: true })
deviceSchema.index({ tenantId: 1, groupId: 1, createdAt: -1, _id: -1 })
deviceSchema.index({ integration: 1, _id: 1 })
deviceSchema.index({ unsettledSince: 1 }, { sparse: true })

export function toDevice(doc: DeviceDoc): Device {
  return {
    id: doc._id,
    tenantId: doc.tenantId,
    key: doc.key,
    identifier: doc.identifier,
    name: doc.name,
    integration: doc.integration,
    template: doc.template,
    groupId: doc.groupId,
    additionalData: JSON.parse(doc.additionalData) as Record<string, unknown>,
    userId: doc.userId,
    createdAt: doc.createdAt,
    updatedAt: doc.updatedAt
  }
}
