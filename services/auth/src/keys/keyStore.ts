import { isDuplicateKey, type Store } from '@fleetgate/store'
import { Schema } from 'mongoose'
import { privateContext, seedContext } from './newKey.js'

export interface StoredKey {
  kid: string
  generation: number
  publicPem: string
  sealedPrivatePem: string
  sealedRefreshSeed: string
  createdAt: number
}

type KeyDoc = Omit<StoredKey, 'kid'> & { _id: string }

const schema = new Schema<KeyDoc>({
  _id: String,
  generation: { type: Number, required: true, unique: true },
  publicPem: { type: String, required: true },
  sealedPrivatePem: { type: String, required: true },
  sealedRefreshSeed: { type: String, required: true },
  createdAt: { type: Number, required: true }
})

export type KeyStore = ReturnType<typeof createKeyStore>

export function createKeyStore(store: Store) {
  const model = store.model<KeyDoc>('signing_keys', schema)
  store.declareSealed(model, {
    paths: ['sealedPrivatePem', 'sealedRefreshSeed'],
    textsOf: ({ _id, sealedPrivatePem, sealedRefreshSeed }) => [
      { path: 'sealedPrivatePem', sealed: sealedPrivatePem, context: privateContext(_id) },
      { path: 'sealedRefreshSeed', sealed: sealedRefreshSeed, context: seedContext(_id) }
    ]
  })
  return {
    /** Newest first. */
    async list(): Promise<StoredKey[]> {
      const docs = await model.find().sort({ generation: -1 }).limit(20).lean()
      return docs.map(toStoredKey)
    },
    /** False when another replica was first: the generation is unique. */
    async insert({ kid, ...rest }: StoredKey): Promise<boolean> {
      try {
        await model.create({ _id: kid, ...rest })
        return true
      } catch (error) {
        if (isDuplicateKey(error)) return false
        throw error
      }
    },
    async remove(kids: string[]): Promise<void> {
      await model.deleteMany({ _id: { $in: kids } })
    }
  }
}

function toStoredKey(doc: KeyDoc): StoredKey {
  return {
    kid: doc._id,
    generation: doc.generation,
    publicPem: doc.publicPem,
    sealedPrivatePem: doc.sealedPrivatePem,
    sealedRefreshSeed: doc.sealedRefreshSeed,
    createdAt: doc.createdAt
  }
}
