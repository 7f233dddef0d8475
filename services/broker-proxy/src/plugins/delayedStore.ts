import type { Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

export interface DelayedMessage {
  id: string
  tenantId: string
  clientId: string
  username: string
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  retain: boolean
  /** Epoch ms; while a process sends it, when another one may. */
  dueAt: number
  /** Counts those that a process has taken in: many come in one millisecond. */
  seq: number
}

interface DelayedDoc extends Omit<DelayedMessage, 'id'> {
  _id: string
}

export interface DelayedStore {
  insert(message: DelayedMessage): Promise<void>
  count(tenantId: string): Promise<number>
  /** Those that are due, in the order of their time, for this process alone until the lease is over. */
  claimDue(now: number, leaseMs: number, limit: number): Promise<DelayedMessage[]>
  remove(id: string): Promise<void>
}

export function createDelayedStore(store: Store): DelayedStore {
  const schema = new Schema<DelayedDoc>({
    _id: { type: String, required: true },
    tenantId: { type: String, required: true },
    clientId: String,
    username: String,
    topic: { type: String, required: true },
    payload: Buffer,
    qos: Number,
    retain: Boolean,
    dueAt: { type: Number, required: true },
    seq: Number
  })
    .index({ dueAt: 1, seq: 1 })
    .index({ tenantId: 1 })
  const model = store.model<DelayedDoc>('delayed', schema)

  return {
    async insert({ id, ...message }) {
      await model.create({ _id: id, ...message })
    },
    count: (tenantId) => model.countDocuments({ tenantId }),
    async claimDue(now, leaseMs, limit) {
      const due = await model
        .find({ dueAt: { $lte: now } })
        .sort({ dueAt: 1, seq: 1 })
        .limit(limit)
        .lean<DelayedDoc[]>()
      const claims = due.map(async (doc) => {
        const mine = await model.updateOne({ _id: doc._id, dueAt: doc.dueAt }, { $set: { dueAt: now + leaseMs } })
        return mine.modifiedCount === 1 ? [toMessage(doc)] : []
      })
      return (await Promise.all(claims)).flat()
    },
    async remove(id) {
      await model.deleteOne({ _id: id })
    }
  }
}

function toMessage({ _id, payload, ...message }: DelayedDoc): DelayedMessage {
  // Lean rows carry the driver's own Binary.
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from((payload as { buffer: Uint8Array }).buffer)
  return { ...message, id: _id, payload: bytes }
}
