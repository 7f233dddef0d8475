import type { Store } from '@fleetgate/store'
import { isDuplicateKey } from '@fleetgate/store'
import { Schema } from 'mongoose'

interface AttemptDoc {
  _id: string
  failures: number
  /** Epoch ms. */
  blockedUntil: number
  expiresAt: number
}

const schema = new Schema<AttemptDoc>({
  _id: String,
  failures: Number,
  blockedUntil: Number,
  expiresAt: { type: Number, index: true }
})

export interface AttemptRule {
  /** Attempts without a wait. */
  free: number
  /** The longest wait, ms. */
  maxWaitMs: number
  /** Attempts are forgotten when none came for this long, ms. */
  windowMs: number
}

export type AttemptStore = ReturnType<typeof createAttemptStore>

export function createAttemptStore(store: Store) {
  const model = store.model<AttemptDoc>('login_attempts', schema)

  /**
   * Counts one attempt before it is tried, so that attempts at the same moment cannot pass together. Answers until
   * when the key is blocked (epoch ms; the attempt is then not counted), or 0.
   */
  async function take(key: string, rule: AttemptRule, now: number): Promise<number> {
    const update = () =>
      model
        .findOneAndUpdate({ _id: key }, countOne(rule, now), {
          upsert: true,
          returnDocument: 'before',
          updatePipeline: true
        })
        .lean()
    // Two first attempts may both try to insert; the loser finds the document when it asks again.
    const before = await update().catch((error) => (isDuplicateKey(error) ? update() : Promise.reject(error)))
    return before && before.blockedUntil > now ? before.blockedUntil : 0
  }

  return {
    take,
    async forget(key: string): Promise<void> {
      await model.deleteOne({ _id: key })
    },
    /** Takes one counted attempt back. */
    async giveBack(key: string): Promise<void> {
      await model.updateOne({ _id: key, failures: { $gt: 0 } }, { $inc: { failures: -1 } })
    },
    async purge(now: number): Promise<void> {
      await model.deleteMany({ expiresAt: { $lt: now } })
    }
  }
}

/** After the free attempts each one doubles the wait: 1 s, 2 s, 4 s … */
function countOne({ free, maxWaitMs, windowMs }: AttemptRule, now: number) {
  const blocked = { $gt: [{ $ifNull: ['$blockedUntil', 0] }, now] }
  const fresh = { $lt: [{ $ifNull: ['$expiresAt', 0] }, now] }
  const counted = { $add: [{ $cond: [fresh, 0, '$failures'] }, 1] }
  const wait = {
    $min: [maxWaitMs, { $multiply: [1000, { $pow: [2, { $min: [30, { $subtract: ['$failures', free] }] }] }] }]
  }
  return [
    { $set: { wasBlocked: blocked } },
    { $set: { failures: { $cond: ['$wasBlocked', '$failures', counted] } } },
    {
      $set: {
        blockedUntil: {
          $cond: ['$wasBlocked', '$blockedUntil', { $cond: [{ $gte: ['$failures', free] }, { $add: [now, wait] }, 0] }]
        },
        expiresAt: now + windowMs
      }
    },
    { $unset: 'wasBlocked' }
  ]
}
