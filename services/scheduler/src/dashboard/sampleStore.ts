import type { Store } from '@fleetgate/store'
import { Schema } from 'mongoose'
import type { ClientStore } from '../clients/clientStore.js'
import { passDuplicates } from '../executions/executionStore.js'

/** How many machines of a tenant were online at a moment. */
interface Sample {
  /** `<tenant>:<number of the interval>`: however many replicas sample, one is kept. */
  _id: string
  tenantId: string
  time: number
  count: number
  /** For the index that drops old samples. */
  at: Date
}

const keptDays = 31
const sampleSchema = new Schema<Sample>({
  _id: { type: String, required: true },
  tenantId: { type: String, required: true },
  time: { type: Number, required: true },
  count: { type: Number, required: true },
  at: { type: Date, required: true }
})
sampleSchema.index({ tenantId: 1, time: 1 })
sampleSchema.index({ at: 1 }, { expireAfterSeconds: keptDays * 86_400 })

export interface OnlinePoint {
  time: number
  count: number
}

export interface SampleStore {
  /** Counts the machines that are online now, of every tenant that has any machine. */
  take(time: number, everyMs: number): Promise<void>
  /** The mean of each interval that has samples, in order of time. */
  series(tenantId: string, of: { from: number; to: number; intervalMs: number }): Promise<OnlinePoint[]>
}

export function createSampleStore(store: Store, clients: Pick<ClientStore, 'model'>): SampleStore {
  const model = store.model<Sample>('onlineSamples', sampleSchema)

  return {
    async take(now, everyMs) {
      const number = Math.floor(now / everyMs)
      const tenants = await clients.model.distinct('tenantId')
      const samples: Sample[] = []
      for (const tenantId of tenants) {
        const count = await clients.model.countDocuments({ tenantId, status: 'ONLINE' })
        const time = number * everyMs
        samples.push({ _id: `${tenantId}:${number}`, tenantId, time, count, at: new Date(time) })
      }
      if (samples.length > 0) await model.insertMany(samples, { ordered: false }).catch(passDuplicates)
    },

    async series(tenantId, { from, to, intervalMs }) {
      const bucket = { $subtract: ['$time', { $mod: ['$time', intervalMs] }] }
      const found = await model.aggregate<{ _id: number; count: number }>([
        { $match: { tenantId, time: { $gte: from, $lte: to } } },
        { $group: { _id: bucket, count: { $avg: '$count' } } },
        { $sort: { _id: 1 } }
      ])
      return found.map(({ _id, count }) => ({ time: _id, count: Math.round(count) }))
    }
  }
}
