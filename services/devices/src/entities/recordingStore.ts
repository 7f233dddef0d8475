import { newId } from '@fleetgate/kit'
import { Schema, type Store } from '@fleetgate/store'
import type { Measurement } from './measurement.js'
import { toWire } from './storedValue.js'

/** Values that somebody has begun to keep, in several writes that a crash may part. */
export interface Recording {
  tenantId: string
  samples: Measurement[]
  /** See `Sample`. */
  by?: number | undefined
}

interface RecordingDoc {
  _id: string
  tenantId: string
  /** When it was begun, epoch ms. */
  at: number
  /** As JSON text: LONG as text, as it travels. */
  samples: string
  by?: number
}

const schema = new Schema<RecordingDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  at: { type: Number, required: true },
  samples: { type: String, required: true },
  by: Number
})
schema.index({ at: 1 })

export type RecordingStore = ReturnType<typeof createRecordingStore>

export function createRecordingStore({ store }: { store: Store }) {
  const model = store.model<RecordingDoc>('recordings', schema)
  return {
    async insert({ tenantId, samples, by }: Recording, at: number): Promise<string> {
      const _id = newId(at)
      const text = JSON.stringify(samples.map((sample) => ({ ...sample, value: toWire(sample.value) })))
      await model.create({ _id, tenantId, at, samples: text, ...(by === undefined ? {} : { by }) })
      return _id
    },
    async remove(id: string): Promise<void> {
      await model.deleteOne({ _id: id })
    },
    /** Begun before then, oldest first. */
    async listBegun(before: number, limit: number): Promise<(Recording & { id: string })[]> {
      const docs = await model
        .find({ at: { $lt: before } })
        .sort({ at: 1 })
        .limit(limit)
        .lean()
      return docs.map(({ _id, tenantId, samples, by }) => ({ id: _id, tenantId, by, samples: fromText(samples) }))
    }
  }
}

function fromText(text: string): Measurement[] {
  const samples = JSON.parse(text) as Measurement[]
  return samples.map((one) => (one.valueType === 'LONG' ? { ...one, value: BigInt(one.value) } : one))
}
