import type { Found, Range } from '@fleetgate/kit'
import { isDuplicateKey, pageOf, type Store } from '@fleetgate/store'
import { type QueryFilter, Schema } from 'mongoose'
import { createUsage, indexUsage, type Usage, type Used } from '../usage.js'
import { type Registry, registryContext, registryNameTaken } from './registry.js'

type RegistryDoc = Omit<Registry, 'id'> & Used

const schema = new Schema<RegistryDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  userId: { type: String, required: true },
  name: { type: String, required: true },
  address: { type: String, required: true },
  secure: { type: Boolean, required: true },
  ca: String,
  username: String,
  sealedPassword: String,
  isSystem: { type: Boolean, required: true },
  isUsed: { type: Boolean, required: true },
  usedBy: { type: [String], required: true },
  createdAt: { type: Number, required: true }
})
schema.index({ tenantId: 1, userId: 1, name: 1 }, { unique: true })
schema.index({ tenantId: 1, createdAt: 1, _id: 1 })
indexUsage(schema)

export interface RegistryFilter {
  userId?: string | undefined
  sort: { field: 'name' | 'createdAt'; direction: 1 | -1 }
}

export type RegistryStore = ReturnType<typeof createRegistryStore>

export function createRegistryStore(store: Store) {
  const model = store.model<RegistryDoc>('registries', schema)
  store.declareSealed(model, {
    paths: ['sealedPassword'],
    textsOf: (doc) => [
      { path: 'sealedPassword', sealed: doc.sealedPassword, context: registryContext(String(doc._id)) }
    ]
  })
  const usage: Usage = createUsage(model)
  return {
    ...usage,
    async insert({ id, ...rest }: Registry): Promise<void> {
      await model.create({ _id: id, ...rest, usedBy: [] }).catch((error) => {
        throw isDuplicateKey(error) ? registryNameTaken() : error
      })
    },
    async find(tenantId: string, id: string): Promise<Registry | undefined> {
      const doc = await model.findOne({ _id: id, tenantId }).lean()
      return doc ? toRegistry(doc) : undefined
    },
    async findMany(tenantId: string, ids: readonly string[]): Promise<Registry[]> {
      const docs = await model.find({ _id: { $in: [...ids] }, tenantId }).lean()
      return docs.map(toRegistry).sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id))
    },
    async findByName(tenantId: string, userId: string, name: string): Promise<Registry | undefined> {
      const doc = await model.findOne({ tenantId, userId, name }).lean()
      return doc ? toRegistry(doc) : undefined
    },
    async list(tenantId: string, { userId, sort }: RegistryFilter, range: Range): Promise<Found<Registry>> {
      const filter: QueryFilter<RegistryDoc> = { tenantId, ...(userId === undefined ? {} : { userId }) }
      const found = await pageOf(model.find(filter).sort({ [sort.field]: sort.direction, _id: sort.direction }), range)
      return { items: found.items.map(toRegistry), total: found.total }
    },
    async removeUnused(tenantId: string, id: string): Promise<boolean> {
      return (await model.deleteOne({ _id: id, tenantId, isUsed: false })).deletedCount === 1
    }
  }
}

function toRegistry(doc: RegistryDoc): Registry {
  const { _id, tenantId, userId, name, address, secure, isSystem, isUsed, createdAt } = doc
  return {
    id: _id,
    tenantId,
    userId,
    name,
    address,
    secure,
    ca: doc.ca ?? '',
    username: doc.username ?? '',
    sealedPassword: doc.sealedPassword ?? '',
    isSystem,
    isUsed,
    createdAt
  }
}
