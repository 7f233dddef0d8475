import type { Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

/** A line of refresh tokens that began with one log-in; only its newest token counts. */
export interface Session {
  id: string
  tenantId: string
  userId: string
  /** The user's version at log-in: another one now means the session is over. */
  version: number
  currentHash: string
  previousHash?: string | undefined
  rotatedAt?: number | undefined
  expiresAt: number
  revokedAt?: number | undefined
}

type SessionDoc = Omit<Session, 'id'> & { _id: string }

const schema = new Schema<SessionDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  userId: { type: String, required: true },
  version: { type: Number, required: true },
  currentHash: { type: String, required: true },
  previousHash: String,
  rotatedAt: Number,
  expiresAt: { type: Number, required: true, index: true },
  revokedAt: Number
})

export type SessionStore = ReturnType<typeof createSessionStore>

export function createSessionStore(store: Store) {
  const model = store.model<SessionDoc>('sessions', schema)
  return {
    async insert({ id, ...rest }: Session): Promise<void> {
      await model.create({ _id: id, ...rest })
    },
    async find(id: string): Promise<Session | undefined> {
      const doc = await model.findById(id).lean()
      return doc ? toSession(doc) : undefined
    },
    /** False when `from` is no longer the newest token, or the session is over. */
    async rotate(id: string, change: { from: string; to: string; at: number; expiresAt: number }): Promise<boolean> {
      const { from, to, at, expiresAt } = change
      const result = await model.updateOne(
        { _id: id, currentHash: from, expiresAt: { $gt: at }, revokedAt: { $exists: false } },
        { $set: { currentHash: to, previousHash: from, rotatedAt: at, expiresAt } }
      )
      return result.matchedCount === 1
    },
    async revoke(id: string, at: number): Promise<void> {
      await model.updateOne({ _id: id }, { $set: { revokedAt: at } })
    },
    async purge(now: number): Promise<void> {
      await model.deleteMany({ expiresAt: { $lt: now } })
    }
  }
}

function toSession(doc: SessionDoc): Session {
  return {
    id: doc._id,
    tenantId: doc.tenantId,
    userId: doc.userId,
    version: doc.version,
    currentHash: doc.currentHash,
    previousHash: doc.previousHash,
    rotatedAt: doc.rotatedAt,
    expiresAt: doc.expiresAt,
    revokedAt: doc.revokedAt
  }
}
