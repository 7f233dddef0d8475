import { type Page, type PageOf, pageOf, type QueryFilter, Schema, type Store, toConflict } from '@fleetgate/store'
import { defined } from '../entities/entityDoc.js'
import { type Credential, type CredentialType, secretContext } from './credential.js'

interface CredentialDoc extends Omit<Credential, 'id' | 'additionalData'> {
  _id: string
  /** Set while the broker may not know it as it is. */
  unsettledSince?: number
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
  accounts: { type: [String], default: undefined },
  unsettledSince: Number,
  createdAt: { type: Number, required: true },
  updatedAt: { type: Number, required: true },
  revision: Number
})
schema.index({ tenantId: 1, isEditable: 1, createdAt: -1, _id: -1 })
// One of each type, whoever asks for it first.
schema.index({ tenantId: 1, type: 1 }, { unique: true, partialFilterExpression: { isDefault: true } })
// A name that waits to be dropped at the broker is nobody else's yet.
schema.index({ accounts: 1 }, { unique: true, partialFilterExpression: { accounts: { $exists: true } } })
schema.index({ type: 1, accounts: 1 })
schema.index({ unsettledSince: 1 }, { sparse: true })
schema.index({ workflowId: 1 }, { partialFilterExpression: { workflowId: { $exists: true } } })

export interface CredentialWish {
  tenantId: string
  type?: CredentialType | undefined
}

type Changeable = Pick<Credential, 'description' | 'accessKey' | 'sealedSecret' | 'additionalData' | 'accounts'>
export type CredentialChanges = { [K in keyof Changeable]?: Changeable[K] | undefined }

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
    /** One with an account waits for the broker to be told. */
    async insert({ id, additionalData, ...rest }: Credential): Promise<void> {
      const waiting = rest.accounts ? { unsettledSince: now(), revision: 0 } : {}
      const doc = { _id: id, ...defined(rest), ...waiting, additionalData: JSON.stringify(additionalData) }
      await model.create(doc).catch(taken)
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
    /** False where it has changed since it was read. */
    async update(
      { id, tenantId, revision }: Credential,
      { additionalData, ...change }: CredentialChanges
    ): Promise<boolean> {
      const data = additionalData && JSON.stringify(additionalData)
      const waiting = change.accounts ? { unsettledSince: now() } : {}
      const set = { ...defined({ ...change, additionalData: data }), ...waiting, updatedAt: now() }
      const update = { $set: set, $inc: { revision: 1 } }
      const asRead = { _id: id, tenantId, revision: revision ?? null }
      return (await model.updateOne(asRead, update).catch(taken)).matchedCount === 1
    },
    /** Those of the ids that may be deleted. */
    async removable(tenantId: string, ids: string[]): Promise<Credential[]> {
      const docs = await model.find({ tenantId, _id: { $in: ids }, isEditable: true, isDefault: { $ne: true } }).lean()
      return docs.map((doc) => toCredential(doc as CredentialDoc))
    },
    /** What the broker knows of it is not what it is; answers it as it stands then. */
    async unsettle(tenantId: string, id: string): Promise<Credential | undefined> {
      const update = { $set: { unsettledSince: now() }, $inc: { revision: 1 } }
      const doc = await model.findOneAndUpdate({ _id: id, tenantId }, update, { returnDocument: 'after' }).lean()
      return doc ? toCredential(doc as CredentialDoc) : undefined
    },
    /** False where it has changed since it was read. */
    async settled({ id, tenantId, revision, accessKey }: Credential): Promise<boolean> {
      const update = { $set: { accounts: [accessKey] }, $unset: { unsettledSince: 1 } as const }
      return (await model.updateOne({ _id: id, tenantId, revision: revision ?? null }, update)).matchedCount === 1
    },
    /** Those that wait since before then, the longest first. */
    async listUnsettled(before: number): Promise<Credential[]> {
      const found = model.find({ unsettledSince: { $lte: before } }).sort({ unsettledSince: 1 })
      return (await found.limit(sweptAtOnce).lean()).map((doc) => toCredential(doc as CredentialDoc))
    },
    /** Those of the type MQTT from before such were accounts. */
    async listWithoutAccount(): Promise<Credential[]> {
      const found = model.find({ type: 'MQTT', accounts: { $exists: false } })
      return (await found.limit(sweptAtOnce).lean()).map((doc) => toCredential(doc as CredentialDoc))
    },
    /** False where it has changed since it was read. */
    async remove({ tenantId, id, revision }: Credential): Promise<boolean> {
      return (await model.deleteOne({ _id: id, tenantId, revision: revision ?? null })).deletedCount === 1
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

const sweptAtOnce = 200

function taken(error: unknown): never {
  return toConflict(error, 'there is a credential of this access key, or a default one of this type, already', {
    field: 'access_key'
  })
}

function toCredential({ _id, additionalData, unsettledSince, ...rest }: CredentialDoc): Credential {
  return { ...rest, id: _id, additionalData: JSON.parse(additionalData) as Credential['additionalData'] }
}
