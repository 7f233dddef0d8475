import { type Page, type PageOf, pageOf, type QueryFilter, Schema, type Store, toConflict } from '@fleetgate/store'
import { defined } from '../entities/entityDoc.js'
import { type Credential, type CredentialType, secretContext } from './credential.js'

interface CredentialDoc extends Omit<Credential, 'id' | 'additionalData'> {
  _id: string
  /** JSON text: its keys are the client's own. */
  additionalData: string
}

const schema = new Schema<CredentialDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  userId: { type: String, required: true },
  type: { type: String, required: true },
  description: { type: String, default: '' },
  accessKey: { type: String, default: '' },
  sealedSecret: { type: String, required: true },
  additionalData: { type: String, required: true },
  isEditable: { type: Boolean, required: true },
  workflowId: String,
  isDefault: Boolean,
  createdAt: { type: Number, required: true },
  updatedAt: { type: Number, required: true }
})
schema.index({ tenantId: 1, isEditable: 1, createdAt: -1, _id: -1 })
// One of each type, whoever asks for it first.
schema.index({ tenantId: 1, type: 1 }, { unique: true, partialFilterExpression: { isDefault: true } })
schema.index({ workflowId: 1 }, { partialFilterExpression: { workflowId: { $exists: true } } })

export interface CredentialWish {
  tenantId: string
  type?: CredentialType | undefined
}

export type CredentialChanges = Partial<
  Pick<Credential, 'description' | 'accessKey' | 'sealedSecret' | 'additionalData'>
>

export type CredentialStore = ReturnType<typeof createCredentialStore>

export function createCredentialStore({ store, now }: { store: Store; now: () => number }) {
  const model = store.model<CredentialDoc>('credentials', schema)
  store.declareSealed(model, {
    paths: ['sealedSecret'],
    textsOf: ({ _id, tenantId, sealedSecret }) => [
      { path: 'sealedSecret', sealed: sealedSecret, context: secretContext(tenantId, _id) }
    ]
  })
  return {
    async insert({ id, additionalData, ...rest }: Credential): Promise<void> {
      const doc = { _id: id, ...defined(rest), additionalData: JSON.stringify(additionalData) }
      await model.create(doc).catch((error) => toConflict(error, 'there is a default credential of this type already'))
    },
    async find(tenantId: string, id: string): Promise<Credential | undefined> {
      const doc = await model.findOne({ _id: id, tenantId }).lean()
      return doc ? toCredential(doc as CredentialDoc) : undefined
    },
    async findDefault(tenantId: string, type: CredentialType): Promise<Credential | undefined> {
      const doc = await model.findOne({ tenantId, type, isDefault: true }).lean()
      return doc ? toCredential(doc as CredentialDoc) : undefined
    },
    count: (tenantId: string): Promise<number> => model.countDocuments({ tenantId }),
    /** Newest first. */
    async search({ tenantId, type }: CredentialWish, page: Page): Promise<PageOf<Credential>> {
      const filter: QueryFilter<CredentialDoc> = { tenantId, isEditable: true, ...(type ? { type } : {}) }
      const { items, total } = await pageOf(model.find(filter).sort({ createdAt: -1, _id: -1 }), page)
      return { items: items.map((doc) => toCredential(doc as CredentialDoc)), total }
    },
    async update(tenantId: string, id: string, { additionalData, ...change }: CredentialChanges): Promise<void> {
      const data = additionalData && JSON.stringify(additionalData)
      const set = { ...defined({ ...change, additionalData: data }), updatedAt: now() }
      await model.updateOne({ _id: id, tenantId }, { $set: set })
    },
    async remove(tenantId: string, ids: string[]): Promise<void> {
      await model.deleteMany({ tenantId, _id: { $in: ids }, isEditable: true, isDefault: { $ne: true } })
    },
    async removeKept(tenantId: string, workflowId: string): Promise<void> {
      await model.deleteMany({ tenantId, workflowId })
    },
    async existing(tenantId: string, ids: string[], type: CredentialType) {
      const docs = await model
        .find({ tenantId, _id: { $in: ids }, type })
        .select('isEditable workflowId')
        .lean()
      return docs.map(({ _id, isEditable, workflowId }) => ({ id: _id, isEditable, workflowId }))
    }
  }
}

function toCredential({ _id, additionalData, ...rest }: CredentialDoc): Credential {
  return { ...rest, id: _id, additionalData: JSON.parse(additionalData) as Credential['additionalData'] }
}
