import type { Found, Range } from '@fleetgate/kit'
import { isDuplicateKey, pageOf, type Store } from '@fleetgate/store'
import { type QueryFilter, Schema } from 'mongoose'
import { createUsage, indexUsage, type Usage, type Used } from '../usage.js'
import { type ProviderType, providerTypes } from './driver.js'
import { type Provider, providerContext, providerNameTaken } from './provider.js'

type ProviderDoc = Omit<Provider, 'id'> & Used

const schema = new Schema<ProviderDoc>(
  {
    _id: String,
    tenantId: { type: String, required: true },
    userId: { type: String, required: true },
    name: { type: String, required: true },
    type: { type: String, enum: providerTypes, required: true },
    sshUser: String,
    sshPort: { type: Number, required: true },
    settings: { type: Schema.Types.Mixed, required: true } as never,
    sealedSecret: String,
    isUsed: { type: Boolean, required: true },
    usedBy: { type: [String], required: true },
    revision: { type: Number, required: true },
    createdAt: { type: Number, required: true },
    updatedAt: { type: Number, required: true }
  },
  { minimize: false }
)
schema.index({ tenantId: 1, userId: 1, name: 1 }, { unique: true })
schema.index({ tenantId: 1, createdAt: 1, _id: 1 })
indexUsage(schema)

export interface ProviderFilter {
  type?: ProviderType | undefined
  userId?: string | undefined
  sort: { field: 'name' | 'type' | 'createdAt' | 'updatedAt'; direction: 1 | -1 }
}

export type ProviderStore = ReturnType<typeof createProviderStore>

export function createProviderStore(store: Store) {
  const model = store.model<ProviderDoc>('providers', schema)
  store.declareSealed(model, {
    paths: ['sealedSecret'],
    textsOf: (doc) => [{ path: 'sealedSecret', sealed: doc.sealedSecret, context: providerContext(String(doc._id)) }]
  })
  const usage: Usage = createUsage(model)
  return {
    ...usage,
    async insert({ id, ...rest }: Provider): Promise<void> {
      await model.create({ _id: id, ...rest, usedBy: [] }).catch(taken)
    },
    async find(tenantId: string, id: string): Promise<Provider | undefined> {
      const doc = await model.findOne({ _id: id, tenantId }).lean()
      return doc ? toProvider(doc) : undefined
    },
    async isNameTaken(tenantId: string, userId: string, name: string): Promise<boolean> {
      return (await model.exists({ tenantId, userId, name })) !== null
    },
    async list(tenantId: string, { type, userId, sort }: ProviderFilter, range: Range): Promise<Found<Provider>> {
      const filter: QueryFilter<ProviderDoc> = { tenantId }
      if (type !== undefined) filter.type = type
      if (userId !== undefined) filter.userId = userId
      const found = await pageOf(model.find(filter).sort({ [sort.field]: sort.direction, _id: sort.direction }), range)
      return { items: found.items.map(toProvider), total: found.total }
    },
    /** False where it is gone, was changed since, or, where `unused` is asked for, a cluster has machines of it. */
    async replace(
      { id, tenantId, name, type, sshUser, sshPort, settings, sealedSecret, revision, updatedAt }: Provider,
      wanted: { revision: number; unused: boolean }
    ): Promise<boolean> {
      const filter = { _id: id, tenantId, revision: wanted.revision, ...(wanted.unused ? { isUsed: false } : {}) }
      const set = { name, type, sshUser, sshPort, settings, sealedSecret, revision, updatedAt }
      return (await model.updateOne(filter, { $set: set }).catch(taken)).matchedCount === 1
    },
    async removeUnused(tenantId: string, id: string): Promise<boolean> {
      return (await model.deleteOne({ _id: id, tenantId, isUsed: false })).deletedCount === 1
    }
  }
}

function taken(error: unknown): never {
  throw isDuplicateKey(error) ? providerNameTaken() : error
}

function toProvider(doc: ProviderDoc): Provider {
  const { _id, tenantId, userId, name, type, sshPort, settings, isUsed, revision, createdAt, updatedAt } = doc
  const [sshUser, sealedSecret] = [doc.sshUser ?? '', doc.sealedSecret ?? '']
  return {
    id: _id,
    tenantId,
    userId,
    name,
    type,
    sshUser,
    sshPort,
    settings,
    sealedSecret,
    isUsed,
    revision,
    createdAt,
    updatedAt
  }
}
