import {
  type AnyBulkWriteOperation,
  containsPattern,
  type Page,
  type PageOf,
  pageOf,
  Schema,
  type Store,
  toConflict
} from '@fleetgate/store'
import { defined } from '../entities/entityDoc.js'
import type { Template, TemplateDraft, TemplateEntity, Traffic } from './template.js'

interface TemplateDoc extends Omit<Template, 'id' | 'entities'> {
  _id: string
  /** JSON text: attributes have the client's own keys. */
  entities: string
}

/** What one batch adds to the figures of a template. */
export type TrafficOfBatch = Pick<Traffic, 'messages' | 'samples' | 'refused' | 'lastMessageAt' | 'lastError'>

const number = { type: Number, required: true } as const
const text = { type: String, required: true } as const
const schema = new Schema<TemplateDoc>({
  _id: String,
  tenantId: text,
  name: text,
  description: String,
  topic: text,
  downTopic: String,
  timestamp: { type: { _id: false, pointer: String, unit: String }, default: undefined },
  autoCreate: { type: Boolean, required: true },
  entities: text,
  createdAt: number,
  updatedAt: number,
  traffic: {
    messages: { type: Number, default: 0 },
    samples: { type: Number, default: 0 },
    refused: { type: Number, default: 0 },
    lastMessageAt: Number,
    lastError: { type: { _id: false, at: Number, topic: String, reason: String }, default: undefined }
  }
})
schema.index({ tenantId: 1, name: 1 }, { unique: true })
schema.index({ tenantId: 1, createdAt: -1, _id: -1 })

export type TemplateStore = ReturnType<typeof createTemplateStore>

export function createTemplateStore({ store }: { store: Store }) {
  const model = store.model<TemplateDoc>('deviceTemplates', schema)
  const taken = (error: unknown) => toConflict(error, 'there is a template of this name', { field: 'name' })

  return {
    count: (tenantId: string): Promise<number> => model.countDocuments({ tenantId }),
    async insert({ id, entities, ...rest }: Template): Promise<void> {
      await model.create({ _id: id, ...defined(rest), entities: JSON.stringify(entities) }).catch(taken)
    },
    async find(tenantId: string, id: string): Promise<Template | undefined> {
      const doc = await model.findOne({ _id: id, tenantId }).lean<TemplateDoc>()
      return doc ? toTemplate(doc) : undefined
    },
    /** All of a tenant, oldest first: their number is bounded. */
    async all(tenantId: string): Promise<Template[]> {
      const docs = await model.find({ tenantId }).sort({ createdAt: 1, _id: 1 }).lean<TemplateDoc[]>()
      return docs.map(toTemplate)
    },
    /** Newest first. */
    async search(tenantId: string, name: string | undefined, page: Page): Promise<PageOf<Template>> {
      const filter = { tenantId, ...(name ? { name: containsPattern(name) } : {}) }
      const { items, total } = await pageOf(model.find(filter).sort({ createdAt: -1, _id: -1 }), page)
      return { items: (items as TemplateDoc[]).map(toTemplate), total }
    },
    /** False where it is not there (any more). */
    async update(tenantId: string, id: string, draft: TemplateDraft, now: number): Promise<boolean> {
      const { entities, description, downTopic, timestamp, ...own } = draft
      const optional = { description, downTopic, timestamp }
      const gone = Object.entries(optional).filter(([, value]) => value === undefined)
      const $set = { ...own, ...defined(optional), entities: JSON.stringify(entities), updatedAt: now }
      const $unset = Object.fromEntries(gone.map(([key]) => [key, 1 as const]))
      const result = await model.updateOne({ _id: id, tenantId }, { $set, $unset }).catch(taken)
      return result.matchedCount === 1
    },
    async remove(tenantId: string, id: string): Promise<void> {
      await model.deleteOne({ _id: id, tenantId })
    },
    async addTraffic(tenantId: string, ofTemplates: ReadonlyMap<string, TrafficOfBatch>): Promise<void> {
      const writes = [...ofTemplates].map(([id, traffic]): AnyBulkWriteOperation<TemplateDoc> => {
        const { messages, samples, refused, lastMessageAt, lastError } = traffic
        const counts = { messages, samples, refused }
        const $inc = Object.fromEntries(Object.entries(counts).map(([key, by]) => [`traffic.${key}`, by]))
        const $max = lastMessageAt === undefined ? {} : { 'traffic.lastMessageAt': lastMessageAt }
        const $set = lastError ? { 'traffic.lastError': lastError } : {}
        return { updateOne: { filter: { _id: id, tenantId }, update: { $inc, $max, $set } } }
      })
      if (writes.length > 0) await model.bulkWrite(writes, { ordered: false })
    }
  }
}

function toTemplate({ _id, entities, ...doc }: TemplateDoc): Template {
  return {
    id: _id,
    tenantId: doc.tenantId,
    name: doc.name,
    description: doc.description,
    topic: doc.topic,
    downTopic: doc.downTopic,
    timestamp: doc.timestamp && { pointer: doc.timestamp.pointer, unit: doc.timestamp.unit },
    autoCreate: doc.autoCreate,
    entities: JSON.parse(entities) as TemplateEntity[],
    createdAt: doc.createdAt,
    updatedAt: doc.updatedAt,
    traffic: doc.traffic
  }
}
