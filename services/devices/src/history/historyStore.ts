import {
  type AnyBulkWriteOperation,
  type Page,
  type PageOf,
  type PipelineStage,
  pageOf,
  type QueryFilter,
  Schema,
  type Store
} from '@fleetgate/store'
import { fromBson, type StoredValue, toBson, type ValueType } from '../entities/storedValue.js'

/** One value at one moment. */
export interface Sample {
  entityId: string
  valueType: ValueType
  value: StoredValue
  /** Epoch ms; fractions keep samples apart that came in the same one. */
  at: number
  /** When it was brought, where later ones take its place: see `replace`. A stamp, which no two have. */
  by?: number | undefined
}

interface SampleDoc {
  tenantId: string
  entityId: string
  at: number
  type: ValueType
  value: unknown
  by?: number
}

/** Newest first where nothing else is said. */
export interface SamplePage extends Page {
  isOldestFirst?: boolean
}

export interface Span {
  /** Both inclusive, epoch ms. */
  from: number
  to: number
}

const schema = new Schema<SampleDoc>({
  tenantId: { type: String, required: true },
  entityId: { type: String, required: true },
  at: { type: Number, required: true },
  type: { type: String, required: true },
  value: { type: Schema.Types.Mixed, required: true },
  by: Number
})
// One entity has one value at one moment: the same sample twice is one.
schema.index({ tenantId: 1, entityId: 1, at: -1 }, { unique: true })
schema.index({ at: 1 })

export type HistoryStore = ReturnType<typeof createHistoryStore>

const duplicateKey = 11000

export function createHistoryStore({ store }: { store: Store }) {
  const model = store.model<SampleDoc>('history', schema)

  return {
    /** Answers those of which there was a sample of the same moment already: that one stays. */
    async insert(tenantId: string, samples: Sample[], by?: number): Promise<Sample[]> {
      const brought = by === undefined ? {} : { by }
      const docs = samples.map(({ entityId, valueType, value, at }) => ({
        tenantId,
        entityId,
        at,
        type: valueType,
        value: toBson(valueType, value),
        ...brought
      }))
      try {
        await model.insertMany(docs, { ordered: false, lean: true })
        return []
      } catch (error) {
        return repeatsOf(error).flatMap((index) => samples[index] ?? [])
      }
    },
    /** Puts them where others of the same moment are that were brought earlier; answers how many had another value. May be repeated. */
    async replace(tenantId: string, samples: Sample[], by: number): Promise<number> {
      if (samples.length === 0) return 0
      const isEarlier = { by: { $not: { $gte: by } } }
      const places = samples.map(({ entityId, at }) => ({ tenantId, entityId, at, ...isEarlier }))
      const write = (updates: AnyBulkWriteOperation<SampleDoc>[]) => model.bulkWrite(updates, { ordered: false })
      const { modifiedCount } = await write(
        samples.map(({ valueType, value }, index) => {
          const told = toBson(valueType, value)
          const filter = { ...places[index], value: { $ne: told } }
          return { updateOne: { filter, update: { $set: { value: told, type: valueType, by } } } }
        })
      )
      // Those of the same value are from now on as late: what was brought between must not replace them.
      await write(places.map((filter) => ({ updateOne: { filter, update: { $set: { by } } } })))
      return modifiedCount
    },
    async findAt(tenantId: string, entityId: string, at: number): Promise<Sample | undefined> {
      const doc = await model.findOne({ tenantId, entityId, at }).lean()
      return doc ? toSample(doc) : undefined
    },
    /** By the time and by nothing else: so the index serves several entities as well, whatever they hold. */
    async search(
      tenantId: string,
      { entityIds, from, to }: Span & { entityIds: string[] },
      page: SamplePage
    ): Promise<PageOf<Sample>> {
      const filter = { ...filterOf(tenantId, entityIds), at: within({ from, to }) }
      const { items, total } = await pageOf(model.find(filter).sort({ at: page.isOldestFirst ? 1 : -1 }), page)
      return { items: items.map(toSample), total }
    },
    /** Newest first, one by one. */
    async *each(tenantId: string, entityId: string, span: Span): AsyncGenerator<Sample> {
      const found = model.find({ tenantId, entityId, at: within(span) }).sort({ at: -1 })
      for await (const doc of found.lean().cursor({ batchSize: 1000 })) yield toSample(doc)
    },
    async aggregate<T>(tenantId: string, entityId: string, span: Span, stages: PipelineStage[]): Promise<T[]> {
      const match = { tenantId, entityId, at: within(span) }
      return model.aggregate<T>([{ $match: match }, ...stages]).option({ allowDiskUse: true })
    },
    async removeOf(tenantId: string, entityId: string): Promise<void> {
      await model.deleteMany({ tenantId, entityId })
    },
    /** Removes some of what is older; answers how many. */
    async removeOlder(than: number, limit: number): Promise<number> {
      const old = await model
        .find({ at: { $lt: than } })
        .sort({ at: 1 })
        .limit(limit)
        .select('_id')
        .lean()
      if (old.length === 0) return 0
      const { deletedCount } = await model.deleteMany({ _id: { $in: old.map(({ _id }) => _id) } })
      return deletedCount
    }
  }
}

/** Samples that came within a millisecond stand apart by fractions of it: those of the last one belong to the span. */
function within({ from, to }: Span) {
  return { $gte: from, $lt: to + 1 }
}

function filterOf(tenantId: string, entityIds: string[]): QueryFilter<SampleDoc> {
  return { tenantId, entityId: entityIds.length === 1 ? entityIds[0] : { $in: entityIds } }
}

/** Places of the refused documents; any other reason than a repeat is thrown on. */
function repeatsOf(error: unknown): number[] {
  const { writeErrors } = error as { writeErrors?: { index: number; code: number }[] }
  // Without a single one it is the write as a whole that is not confirmed.
  if (!writeErrors?.length || writeErrors.some(({ code }) => code !== duplicateKey)) throw error
  return writeErrors.map(({ index }) => index)
}

function toSample({ entityId, type, value, at, by }: SampleDoc): Sample {
  return { entityId, valueType: type, value: fromBson(type, value), at, by }
}
