import type { Store } from '@fleetgate/store'
import { isDuplicateKey } from '@fleetgate/store'
import { Schema } from 'mongoose'

interface AttemptDoc {
  _id: string
  failures: number
  /** Epoch ms. */
  blockedUntil: number
  expiresAt: number
  /** What became of the last attempt: it was refused, and not counted. */
  wasBlocked: boolean
  /** What `expiresAt` was before it. */
  expiresBefore?: number
}

const schema = new Schema<AttemptDoc>({
  _id: String,
  failures: Number,
  blockedUntil: Number,
  expiresAt: { type: Number, index: true },
  wasBlocked: Boolean,
  expiresBefore: Number
})

export interface AttemptRule {
  /** Attempts without a wait. */
  free: number
  /** The longest wait, ms. */
  maxWaitMs: number
  /** Attempts are forgotten when none came for this long after the wait, ms. */
  windowMs: number
}

/** What became of an attempt at one key. */
export interface Taken {
  key: string
  isRefused: boolean
  /** Until when further attempts are refused, epoch ms, or 0. */
  blockedUntil: number
  /** When it is forgotten that there were attempts, and when it would have been without this one. */
  expiresAt: number
  expiresBefore: number
}

export type AttemptStore = ReturnType<typeof createAttemptStore>

export function createAttemptStore(store: Store) {
  const model = store.model<AttemptDoc>('login_attempts', schema)

  /**
   * Counts one attempt before it is tried, so that attempts at the same moment cannot pass together. While the key is
   * blocked it is refused and not counted.
   */
  async function take(key: string, rule: AttemptRule, now: number): Promise<Taken> {
    const update = () =>
      model
        .findOneAndUpdate({ _id: key }, countOne(rule, now), {
          upsert: true,
          returnDocument: 'after',
          updatePipeline: true
        })
        .lean()
        .orFail()
    // Two first attempts may both try to insert; the loser finds the document when it asks again.
    const after = await update().catch((error) => (isDuplicateKey(error) ? update() : Promise.reject(error)))
    const { wasBlocked, blockedUntil, expiresAt, expiresBefore = expiresAt } = after
    return { key, isRefused: wasBlocked, blockedUntil, expiresAt, expiresBefore }
  }

  return {
    take,
    async forget(key: string): Promise<void> {
      await model.deleteOne({ _id: key })
    },
    /** Takes one counted attempt back, the wait that it led to, and that it was no quiet. */
    async giveBack({ key, blockedUntil, expiresAt, expiresBefore }: Taken): Promise<void> {
      const update = {
        failures: { $subtract: ['$failures', 1] },
        blockedUntil: { $cond: [{ $eq: ['$blockedUntil', blockedUntil] }, 0, '$blockedUntil'] },
        expiresAt: { $cond: [{ $eq: ['$expiresAt', expiresAt] }, expiresBefore, '$expiresAt'] }
      }
      await model.updateOne({ _id: key, failures: { $gt: 0 } }, [{ $set: update }], { updatePipeline: true })
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
    { $set: { wasBlocked: blocked, expiresBefore: '$expiresAt' } },
    { $set: { failures: { $cond: ['$wasBlocked', '$failures', counted] } } },
    {
      $set: {
        blockedUntil: {
          $cond: ['$wasBlocked', '$blockedUntil', { $cond: [{ $gte: ['$failures', free] }, { $add: [now, wait] }, 0] }]
        }
      }
    },
    // From the end of the wait on: a longer one than the window would be forgotten before it, and never doubled again.
    { $set: { expiresAt: { $add: [{ $max: [now, '$blockedUntil'] }, windowMs] } } }
  ]
}
