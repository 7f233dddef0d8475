import { pageOf, type Store, toConflict } from '@fleetgate/store'
import { Schema } from 'mongoose'
import { type MqttUser, secretContext } from './users.js'

export type StoredUser = Omit<MqttUser, 'secretKey'> & { sealedSecret: string; createdAt: number }
type Changeable = Omit<StoredUser, 'tenantId' | 'accessKey' | 'machine' | 'createdAt'>

type Rights = Omit<StoredUser, 'sealedSecret' | 'createdAt'>

export interface UserStore {
  /** A taken access key, of any tenant, is a conflict: the name alone says at log-in who it is. */
  insert(user: StoredUser): Promise<void>
  find(accessKey: string): Promise<StoredUser | undefined>
  list(tenantId: string, page: { offset: number; limit: number }): Promise<{ items: StoredUser[]; total: number }>
  /** Without those of machines. */
  count(tenantId: string): Promise<number>
  /** Answers the user as it is then; undefined where there is none. */
  update(tenantId: string, accessKey: string, fields: Partial<Changeable>): Promise<StoredUser | undefined>
  /** Gives a machine's user to another grant; false where it has changed since it was read. */
  takeOver(read: StoredUser, fields: Pick<StoredUser, 'machine' | 'sealedSecret'>): Promise<boolean>
  remove(tenantId: string, accessKey: string): Promise<boolean>
  /** In the order of `list`. */
  rights(tenantId: string): AsyncIterable<Rights>
  all(): AsyncIterable<StoredUser>
}

const grant = { _id: false, name: String, perm: String }
const rightFields =
  '-_id tenantId accessKey whiteRemoteAddress admin defaultTopicPerm defaultGroupPerm topicPerms groupPerms machine'
const fields = `${rightFields} sealedSecret createdAt`

function schemaOf(): Schema<StoredUser> {
  return new Schema<StoredUser>({
    tenantId: { type: String, required: true },
    accessKey: { type: String, required: true, unique: true },
    sealedSecret: { type: String, required: true },
    whiteRemoteAddress: { type: String, default: '' },
    admin: { type: Boolean, required: true },
    defaultTopicPerm: { type: String, required: true },
    defaultGroupPerm: { type: String, required: true },
    topicPerms: [grant],
    groupPerms: [grant],
    machine: { type: { _id: false, clientId: String, grant: String }, default: undefined },
    createdAt: { type: Number, required: true }
  })
    .index({ tenantId: 1, createdAt: 1, accessKey: 1 })
    .index({ tenantId: 1, 'machine.clientId': 1 })
}

export function createUserStore(store: Store): UserStore {
  const model = store.model<StoredUser>('mqttUsers', schemaOf())
  store.declareSealed(model, {
    paths: ['sealedSecret'],
    textsOf: (user) => [{ path: 'sealedSecret', sealed: user.sealedSecret, context: secretContext(user) }]
  })

  return {
    async insert(user) {
      await model.create(user).catch((error) => toConflict(error, `the name ${user.accessKey} is taken`))
    },
    async find(accessKey) {
      return (await model.findOne({ accessKey }).select(fields).lean<StoredUser>()) ?? undefined
    },
    async list(tenantId, page) {
      const query = model.find({ tenantId }).select(fields).sort({ createdAt: 1, accessKey: 1 })
      const { items, total } = await pageOf(query, page)
      return { items: items as StoredUser[], total }
    },
    count: (tenantId) => model.countDocuments({ tenantId, 'machine.clientId': null }),
    async update(tenantId, accessKey, changed) {
      const change = { $set: changed }
      const after = model.findOneAndUpdate({ tenantId, accessKey }, change, { returnDocument: 'after' })
      return (await after.select(fields).lean<StoredUser>()) ?? undefined
    },
    async takeOver({ tenantId, accessKey, sealedSecret }, fields) {
      const { matchedCount } = await model.updateOne({ tenantId, accessKey, sealedSecret }, { $set: fields })
      return matchedCount === 1
    },
    async remove(tenantId, accessKey) {
      const { deletedCount } = await model.deleteOne({ tenantId, accessKey })
      return deletedCount === 1
    },
    rights: (tenantId) =>
      model
        .find({ tenantId })
        .select(rightFields)
        .sort({ createdAt: 1, accessKey: 1 })
        .lean<Rights[]>()
        .cursor() as AsyncIterable<Rights>,
    all: () => model.find().select(fields).lean<StoredUser[]>().cursor() as AsyncIterable<StoredUser>
  }
}
