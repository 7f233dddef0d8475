import type { Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

/** A mail that is decided on and may not have been handed over yet. */
export interface PendingMail {
  messageId: string
  to: string[]
  subject: string
  text: string
  alertIds: string[]
}

/** When a tenant may get its next mail of alerts. One document per tenant. */
export interface Digest {
  _id: string
  tenantId: string
  /** Counts the mails: of two replicas that decide on one at the same time, one wins. */
  count: number
  nextAt: number
  pending?: PendingMail
}

const schema = new Schema<Digest>({
  _id: { type: String, required: true },
  tenantId: { type: String, required: true },
  count: { type: Number, required: true },
  nextAt: { type: Number, required: true },
  pending: Schema.Types.Mixed
} as never)
schema.index({ tenantId: 1 }, { name: 'pending', partialFilterExpression: { 'pending.messageId': { $exists: true } } })

export interface DigestStore {
  find(tenantId: string): Promise<Digest>
  pending(limit: number): Promise<Digest[]>
  /** False where another replica decided first. */
  decide(before: Digest, pending: PendingMail, nextAt: number): Promise<boolean>
  done(tenantId: string, messageId: string): Promise<void>
}

export function createDigestStore(store: Store): DigestStore {
  const model = store.model<Digest>('alert_digests', schema)

  return {
    async find(tenantId) {
      const none = { tenantId, count: 0, nextAt: 0 }
      const update = { $setOnInsert: none }
      await model.updateOne({ _id: tenantId }, update, { upsert: true })
      return (await model.findById(tenantId).lean<Digest>()) ?? { _id: tenantId, ...none }
    },

    pending: (limit) =>
      model
        .find({ 'pending.messageId': { $exists: true } })
        .limit(limit)
        .lean<Digest[]>()
        .exec(),

    async decide({ _id, tenantId, count }, pending, nextAt) {
      const filter = { _id, tenantId, count, pending: { $exists: false } }
      const result = await model.updateOne(filter, { $set: { pending, nextAt }, $inc: { count: 1 } })
      return result.modifiedCount === 1
    },

    async done(tenantId, messageId) {
      await model.updateOne({ _id: tenantId, tenantId, 'pending.messageId': messageId }, { $unset: { pending: 1 } })
    }
  }
}
