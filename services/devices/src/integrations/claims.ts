import { type Log, newId } from '@fleetgate/kit'
import { Schema, type Store } from '@fleetgate/store'

/** What travels as JSON: no LONG of 64 bits. */
export type PlainValue = string | number | boolean

/** A value that an entity has while some work goes on. */
export interface Passing {
  /** Key of the entity. */
  key: string
  value: PlainValue
  /** What it has when no such work goes on (any more). */
  otherwise: PlainValue
}

/** Work that goes on in some process, which keeps `until` ahead of the clock. */
interface ClaimDoc {
  _id: string
  tenantId: string
  key: string
  /** JSON text. */
  otherwise: string
  /** Epoch ms; 0 once the work is done. */
  until: number
}

const schema = new Schema<ClaimDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  key: { type: String, required: true },
  otherwise: { type: String, required: true },
  until: { type: Number, required: true }
})
schema.index({ until: 1 })
schema.index({ tenantId: 1, key: 1, until: 1 })

export interface ClaimsOptions {
  store: Store
  report: (tenantId: string, key: string, value: PlainValue) => Promise<unknown>
  log: Log
  now: () => number
}

export type Claims = ReturnType<typeof createClaims>

const leaseMs = 10_000
const renewMs = 3_000
const sweptAtOnce = 100

/** Values that last as long as some work of any process does, and no longer: a sweep ends those of processes that died. */
export function createClaims({ store, report, log, now }: ClaimsOptions) {
  const model = store.model<ClaimDoc>('claims', schema)

  /** Of two that end at once both may say so. */
  async function end({ _id, tenantId, key, otherwise }: ClaimDoc): Promise<void> {
    await model.updateOne({ _id }, { $set: { until: 0 } })
    const isHeld = await model.exists({ tenantId, key, until: { $gt: now() } })
    if (!isHeld) await report(tenantId, key, JSON.parse(otherwise) as PlainValue)
    await model.deleteOne({ _id })
  }

  return {
    async during<T>(tenantId: string, { key, value, otherwise }: Passing, work: () => Promise<T>): Promise<T> {
      const claim = { _id: newId(now()), tenantId, key, otherwise: JSON.stringify(otherwise), until: now() + leaseMs }
      await model.create(claim)
      const renewing = setInterval(() => {
        model
          .updateOne({ _id: claim._id }, { $set: { until: now() + leaseMs } })
          .catch((err) => log.warn({ err, key }, 'work at hand not claimed anew, trying again'))
      }, renewMs)
      try {
        await report(tenantId, key, value)
        return await work()
      } finally {
        clearInterval(renewing)
        // What fails here does the sweep.
        await end(claim).catch((err) => log.warn({ err, key }, 'end of work not told, trying again later'))
      }
    },

    async sweep(): Promise<void> {
      const left = await model
        .find({ until: { $lte: now() } })
        .limit(sweptAtOnce)
        .lean<ClaimDoc[]>()
      for (const claim of left) await end(claim)
    }
  }
}
