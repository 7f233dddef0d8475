import {
  type AnyBulkWriteOperation,
  containsPattern,
  type Page,
  type PageOf,
  pageOf,
  type Store,
  toConflict
} from '@fleetgate/store'
import { Schema } from 'mongoose'

/** A name under which people put things together: a group of devices, a tag of entities. */
export interface Label {
  /** A 64-bit number in decimal. */
  id: string
  tenantId: string
  name: string
  description: string
  color: string
  userId: string
  createdAt: number
  updatedAt: number
}

export type LabelText = Pick<Label, 'name' | 'description' | 'color'>

/** One that is gone, of which things may still carry the id. */
export interface RemovedLabel {
  id: string
  tenantId: string
  removedAt: number
}

interface LabelDoc extends Omit<Label, 'id'> {
  _id: string
  /** Once removed `tenantId` is empty, so that no query of a tenant finds what waits to be taken off everything. */
  formerTenantId?: string
  removedAt?: number
}

export type LabelStore = ReturnType<typeof createLabelStore>

/** `collection` is the kind of label; of one kind names are unique in a tenant. */
export function createLabelStore(store: Store, collection: 'deviceGroups' | 'entityTags') {
  const schema = new Schema<LabelDoc>({
    _id: String,
    tenantId: { type: String, required: true },
    name: { type: String, required: true },
    description: { type: String, default: '' },
    color: { type: String, default: '' },
    userId: { type: String, required: true },
    createdAt: { type: Number, required: true },
    updatedAt: { type: Number, required: true },
    formerTenantId: String,
    removedAt: Number
  })
    .index({ tenantId: 1, name: 1 }, { unique: true })
    .index({ tenantId: 1, createdAt: -1, _id: -1 })
  const model = store.model<LabelDoc>(collection, schema)

  return {
    async insert({ id, ...label }: Label): Promise<void> {
      await model.create({ _id: id, ...label }).catch(taken)
    },
    count: (tenantId: string): Promise<number> => model.countDocuments({ tenantId }),
    /** All of a tenant: their number is bounded. */
    async all(tenantId: string): Promise<Label[]> {
      return (await model.find({ tenantId }).lean()).map(toLabel)
    },
    async findNamed(tenantId: string, name: string): Promise<Label | undefined> {
      const doc = await model.findOne({ tenantId, name }).lean()
      return doc ? toLabel(doc as LabelDoc) : undefined
    },
    /** Newest first. */
    async search(tenantId: string, name: string | undefined, page: Page): Promise<PageOf<Label>> {
      const filter = { tenantId, ...(name ? { name: containsPattern(name) } : {}) }
      const { items, total } = await pageOf(model.find(filter).sort({ createdAt: -1, _id: -1 }), page)
      return { items: (items as LabelDoc[]).map(toLabel), total }
    },
    /** Those of the ids that are there. */
    async known(tenantId: string, ids: string[]): Promise<string[]> {
      return (await model.find({ tenantId, _id: { $in: ids } }, { _id: 1 }).lean()).map(({ _id }) => _id)
    },
    /** False where it is not there. */
    async update(tenantId: string, id: string, change: LabelText, now: number): Promise<boolean> {
      const result = await model.updateOne({ _id: id, tenantId }, { $set: { ...change, updatedAt: now } }).catch(taken)
      return result.matchedCount === 1
    },
    /** They are gone at once, and their names free; what is left of them goes with `listRemoved`. */
    async remove(tenantId: string, ids: string[], now: number): Promise<void> {
      const writes = ids.map((id): AnyBulkWriteOperation<LabelDoc> => {
        const gone = { tenantId: '', formerTenantId: tenantId, name: id, removedAt: now }
        return { updateOne: { filter: { _id: id, tenantId }, update: { $set: gone } } }
      })
      if (writes.length > 0) await model.bulkWrite(writes, { ordered: false })
    },
    async listRemoved(): Promise<RemovedLabel[]> {
      const docs = await model.find({ tenantId: '' }, { formerTenantId: 1, removedAt: 1 }).lean()
      return docs.map(({ _id, formerTenantId = '', removedAt = 0 }) => ({
        id: _id,
        tenantId: formerTenantId,
        removedAt
      }))
    },
    async purge(ids: string[]): Promise<void> {
      await model.deleteMany({ _id: { $in: ids }, tenantId: '' })
    }
  }
}

function taken(error: unknown): never {
  return toConflict(error, 'the name is taken', { field: 'name' })
}

function toLabel({ _id, formerTenantId, removedAt, ...label }: LabelDoc): Label {
  return { id: _id, ...label }
}
