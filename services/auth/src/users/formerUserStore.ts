import { isDuplicateKey, Schema, type Store } from '@fleetgate/store'
import type { User } from './user.js'

/** What is kept of a deleted user, for what the user created. */
export interface FormerUser {
  id: string
  nickname: string
  email: string
}

interface FormerUserDoc {
  _id: string
  tenantId: string
  nickname: string
  email: string
}

const schema = new Schema<FormerUserDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  nickname: String,
  email: String
})

export type FormerUserStore = ReturnType<typeof createFormerUserStore>

export function createFormerUserStore(store: Store) {
  const model = store.model<FormerUserDoc>('former_users', schema)
  return {
    /** Before they are deleted; while they live nobody asks for these. */
    async keep(users: User[]): Promise<void> {
      const updates = users.map(({ id, tenantId, nickname, email }) => ({
        updateOne: { filter: { _id: id }, update: { $set: { tenantId, nickname, email } }, upsert: true }
      }))
      try {
        await model.bulkWrite(updates, { ordered: false })
      } catch (error) {
        // Somebody deletes the same users and has written the same.
        if (!isDuplicateKey(error)) throw error
      }
    },
    async findMany(tenantId: string, ids: string[]): Promise<FormerUser[]> {
      const docs = await model.find({ _id: { $in: ids }, tenantId }).lean()
      return docs.map(({ _id, nickname, email }) => ({ id: _id, nickname, email }))
    }
  }
}
