import type { Found, Range } from '@fleetgate/kit'
import { containsPattern, isDuplicateKey, pageOf, type Store } from '@fleetgate/store'
import { type QueryFilter, Schema } from 'mongoose'
import { createUsage, indexUsage, type Usage, type Used } from '../usage.js'
import { nameTaken, type Pubkey, privateKeyContext } from './pubkey.js'

type PubkeyDoc = Omit<Pubkey, 'id'> &
  Used & {
    /** The private key of a generated pair, until it is downloaded. Never part of a list. */
    sealedPrivateKey?: string
  }

const schema = new Schema<PubkeyDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  userId: { type: String, required: true },
  owner: { type: String, required: true },
  name: { type: String, required: true },
  value: { type: String, required: true },
  isUsed: { type: Boolean, required: true },
  usedBy: { type: [String], default: undefined },
  createdAt: { type: Number, required: true },
  updatedAt: { type: Number, required: true },
  sealedPrivateKey: { type: String, select: false }
})
schema.index({ tenantId: 1, userId: 1, name: 1 }, { unique: true })
schema.index({ tenantId: 1, createdAt: 1, _id: 1 })
indexUsage(schema)

export const sortFields = ['name', 'createdAt', 'updatedAt'] as const

export interface PubkeyFilter {
  /** Part of the name, whatever its case. */
  name?: string | undefined
  userId?: string | undefined
  sort: { field: (typeof sortFields)[number]; direction: 1 | -1 }
}

interface Owner {
  tenantId: string
  userId: string
}

export interface SealedKey {
  id: string
  sealed: string
}

export type PubkeyStore = ReturnType<typeof createPubkeyStore>

export function createPubkeyStore(store: Store) {
  const model = store.model<PubkeyDoc>('pubkeys', schema)
  store.declareSealed(model, {
    paths: ['sealedPrivateKey'],
    textsOf: (doc) => [
      { path: 'sealedPrivateKey', sealed: doc.sealedPrivateKey ?? '', context: privateKeyContext(String(doc._id)) }
    ]
  })
  const usage: Usage = createUsage(model)
  return {
    ...usage,
    async findMany(tenantId: string, ids: readonly string[]): Promise<Pubkey[]> {
      const docs = await model.find({ _id: { $in: [...ids] }, tenantId }).lean()
      return docs.map(toPubkey).sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id))
    },
    async insert({ id, ...rest }: Pubkey, sealedPrivateKey?: string): Promise<void> {
      try {
        await model.create({ _id: id, ...rest, ...(sealedPrivateKey ? { sealedPrivateKey } : {}) })
      } catch (error) {
        throw isDuplicateKey(error) ? nameTaken() : error
      }
    },
    /** A look before the costly making of a pair; the index has the last word. */
    async isTaken({ tenantId, userId }: Owner, name: string): Promise<boolean> {
      return (await model.exists({ tenantId, userId, name })) !== null
    },
    async find(tenantId: string, id: string): Promise<Pubkey | undefined> {
      const doc = await model.findOne({ _id: id, tenantId }).lean()
      return doc ? toPubkey(doc) : undefined
    },
    async list(tenantId: string, { name, userId, sort }: PubkeyFilter, range: Range): Promise<Found<Pubkey>> {
      const filter: QueryFilter<PubkeyDoc> = { tenantId }
      if (name !== undefined) filter.name = containsPattern(name)
      if (userId !== undefined) filter.userId = userId
      const found = await pageOf(model.find(filter).sort({ [sort.field]: sort.direction, _id: sort.direction }), range)
      return { items: found.items.map(toPubkey), total: found.total }
    },
    /** The newest pair that was not downloaded yet, of this name where one is given. */
    async findSealed({ tenantId, userId }: Owner, name: string | undefined): Promise<SealedKey | undefined> {
      const doc = await model
        .findOne({ tenantId, userId, sealedPrivateKey: { $exists: true }, ...(name === undefined ? {} : { name }) })
        .sort({ createdAt: -1, _id: -1 })
        .select('+sealedPrivateKey')
        .lean()
      return doc?.sealedPrivateKey ? { id: doc._id, sealed: doc.sealedPrivateKey } : undefined
    },
    /** True for one caller only. */
    async takeSealed({ tenantId, userId }: Owner, { id, sealed }: SealedKey): Promise<boolean> {
      const result = await model.updateOne(
        { _id: id, tenantId, userId, sealedPrivateKey: sealed },
        { $unset: { sealedPrivateKey: 1 } }
      )
      return result.modifiedCount === 1
    },
    async removeUnused(tenantId: string, id: string): Promise<boolean> {
      return (await model.deleteOne({ _id: id, tenantId, isUsed: false })).deletedCount === 1
    }
  }
}

function toPubkey(doc: PubkeyDoc): Pubkey {
  return {
    id: doc._id,
    tenantId: doc.tenantId,
    userId: doc.userId,
    owner: doc.owner,
    name: doc.name,
    value: doc.value,
    isUsed: doc.isUsed,
    createdAt: doc.createdAt,
    updatedAt: doc.updatedAt
  }
}
