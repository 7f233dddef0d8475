import { type Model, Schema } from 'mongoose'
import { isDuplicateKey } from './conflict.js'
import type { Store } from './store.js'

interface Counter {
  _id: string
  value: number
}

export interface Counters {
  /** The first of a block of `count` consecutive integers of this tenant and name; the very first is 1. */
  next(tenantId: string, name: string, count?: number): Promise<number>
}

const counterSchema = new Schema<Counter>({
  _id: { type: String, required: true },
  value: { type: Number, required: true }
})

/** Numbers for the dialects whose ids are integers. A number given out is never given out again. */
export function createCounters(store: Store): Counters {
  // Several resources of one service may count.
  const existing = store.connection.models.counters as Model<Counter> | undefined
  const model = existing ?? store.model<Counter>('counters', counterSchema)

  async function add(id: string, count: number): Promise<number> {
    const counter = await model
      .findOneAndUpdate({ _id: id }, { $inc: { value: count } }, { upsert: true, returnDocument: 'after' })
      .lean()
      .orFail()
    return counter.value
  }

  return {
    async next(tenantId, name, count = 1) {
      const id = `${tenantId}:${name}`
      // Two first callers may both try to insert; the one that loses finds the document on its second try.
      const last = await add(id, count).catch((error) =>
        isDuplicateKey(error) ? add(id, count) : Promise.reject(error)
      )
      return last - count + 1
    }
  }
}
