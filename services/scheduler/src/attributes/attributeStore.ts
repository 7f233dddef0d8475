import { type Counters, type Page, type PageOf, pageOf, type Store, toConflict } from '@fleetgate/store'
import { Schema } from 'mongoose'
import type { Attribute, AttributeDraft } from './attribute.js'

const attributeSchema = new Schema<Attribute>({
  _id: { type: String, required: true },
  tenantId: { type: String, required: true },
  attributeId: { type: Number, required: true },
  attributeName: { type: String, required: true },
  type: { type: Number, required: true },
  defaultValue: String,
  display: { type: Boolean, required: true },
  readOnly: { type: Boolean, required: true }
})
attributeSchema.index({ tenantId: 1, attributeId: 1 }, { unique: true })
attributeSchema.index({ tenantId: 1, attributeName: 1 }, { unique: true })

export interface AttributeStore {
  insert(tenantId: string, draft: AttributeDraft): Promise<Attribute>
  find(tenantId: string, attributeId: number): Promise<Attribute | undefined>
  all(tenantId: string): Promise<Attribute[]>
  list(tenantId: string, page: Page): Promise<PageOf<Attribute>>
  count(tenantId: string): Promise<number>
  remove(tenantId: string, attributeId: number): Promise<boolean>
  /** Default values by name, of those that have one. */
  defaultsOf(tenantId: string, names: readonly string[]): Promise<Map<string, string>>
}

/** More are not kept: each can stand on every client. */
export const maxAttributes = 1000

export function createAttributeStore(store: Store, counters: Counters): AttributeStore {
  const model = store.model<Attribute>('attributes', attributeSchema)
  const taken = 'an attribute with this name exists'

  return {
    async insert(tenantId, draft) {
      const attributeId = await counters.next(tenantId, 'attribute')
      const attribute: Attribute = { _id: `${tenantId}:${attributeId}`, tenantId, attributeId, ...draft }
      await model.create(attribute).catch((error) => toConflict(error, taken, { field: 'attributeName' }))
      return attribute
    },

    find: async (tenantId, attributeId) =>
      (await model.findOne({ tenantId, attributeId }).lean<Attribute>()) ?? undefined,
    all: (tenantId) => model.find({ tenantId }).sort('attributeId').limit(maxAttributes).lean<Attribute[]>().exec(),
    list: (tenantId, page) => pageOf(model.find({ tenantId }).sort('attributeId'), page) as Promise<PageOf<Attribute>>,
    count: (tenantId) => model.countDocuments({ tenantId }),

    async remove(tenantId, attributeId) {
      return (await model.deleteOne({ tenantId, attributeId })).deletedCount > 0
    },

    async defaultsOf(tenantId, names) {
      if (names.length === 0) return new Map()
      const filter = { tenantId, attributeName: { $in: [...new Set(names)] }, defaultValue: { $ne: '' } }
      const found = await model.find(filter, { _id: 0, attributeName: 1, defaultValue: 1 }).lean<Attribute[]>()
      return new Map(found.map(({ attributeName, defaultValue }) => [attributeName, defaultValue]))
    }
  }
}
