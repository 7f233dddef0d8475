import { isDuplicateKey, type Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

/** One content in one cast: whoever's row it is gathers and sends, of all replicas. */
export interface CastKey {
  tenantId: string
  castId: string
  sha256: string
}

interface CastRow extends CastKey {
  owner: string
  /** Until then nobody else begins it; epoch ms. Moved on while it is at work. */
  takenUntil: number
  expireAt: Date
}

export interface CastStore {
  /** False where another one, or an earlier cast that has just ended, has it. */
  claim(key: CastKey, owner: string, times: { now: number; takenUntil: number }): Promise<boolean>
  keep(key: CastKey, owner: string, takenUntil: number): Promise<void>
}

const keptMs = 60 * 60 * 1000

function schemaOf(): Schema<CastRow> {
  return new Schema<CastRow>({
    tenantId: { type: String, required: true },
    castId: { type: String, required: true },
    sha256: { type: String, required: true },
    owner: { type: String, required: true },
    takenUntil: { type: Number, required: true },
    expireAt: { type: Date, required: true, index: { expireAfterSeconds: 0 } }
  }).index({ tenantId: 1, castId: 1, sha256: 1 }, { unique: true })
}

export function createCastStore(store: Store): CastStore {
  const model = store.model<CastRow>('casts', schemaOf())
  const facts = (takenUntil: number) => ({ takenUntil, expireAt: new Date(takenUntil + keptMs) })

  return {
    async claim({ tenantId, castId, sha256 }, owner, { now, takenUntil }) {
      const free = { tenantId, castId, sha256, takenUntil: { $lt: now } }
      try {
        // A row that is taken does not match, so the insert meets the unique key: the database decides the race.
        await model.updateOne(free, { $set: { owner, ...facts(takenUntil) } }, { upsert: true })
        return true
      } catch (error) {
        if (isDuplicateKey(error)) return false
        throw error
      }
    },
    async keep({ tenantId, castId, sha256 }, owner, takenUntil) {
      await model.updateOne({ tenantId, castId, sha256, owner }, { $set: facts(takenUntil) })
    }
  }
}
