import type { Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

/** A link by which anybody may look at a dashboard for a while. */
export interface Share {
  id: string
  tenantId: string
  dashboardId: string
  /** Who made it: nothing is shown that this user may not see (any more). */
  userId: string
  createdAt: number
  /** Epoch ms. */
  expiresAt: number
}

interface ShareDoc extends Omit<Share, 'id'> {
  _id: string
  /** SHA-256 of the token, which is kept nowhere. */
  tokenHash: string
}

export type ShareStore = ReturnType<typeof createShareStore>

export function createShareStore({ store }: { store: Store }) {
  const schema = new Schema<ShareDoc>({
    _id: String,
    tenantId: { type: String, required: true },
    dashboardId: { type: String, required: true },
    userId: { type: String, required: true },
    tokenHash: { type: String, required: true, unique: true },
    createdAt: { type: Number, required: true },
    expiresAt: { type: Number, required: true }
  })
    .index({ tenantId: 1, dashboardId: 1, createdAt: 1 })
    .index({ expiresAt: 1 })
  const model = store.model<ShareDoc>('dashboardShares', schema)

  return {
    async insert({ id, ...share }: Share, tokenHash: string): Promise<void> {
      await model.create({ _id: id, ...share, tokenHash })
    },
    count: (tenantId: string, dashboardId: string): Promise<number> => model.countDocuments({ tenantId, dashboardId }),
    /** In order of creation. */
    async list(tenantId: string, dashboardId: string): Promise<Share[]> {
      const docs = await model.find({ tenantId, dashboardId }).sort({ createdAt: 1 }).lean()
      return docs.map(toShare)
    },
    async findByToken(tokenHash: string): Promise<Share | undefined> {
      const doc = await model.findOne({ tokenHash }).lean()
      return doc ? toShare(doc) : undefined
    },
    async remove(tenantId: string, dashboardId: string, id: string): Promise<boolean> {
      return (await model.deleteOne({ _id: id, tenantId, dashboardId })).deletedCount === 1
    },
    async removeOf(tenantId: string, dashboardId: string): Promise<void> {
      await model.deleteMany({ tenantId, dashboardId })
    },
    async removeExpired(now: number): Promise<void> {
      await model.deleteMany({ expiresAt: { $lte: now } })
    }
  }
}

function toShare({ _id, tenantId, dashboardId, userId, createdAt, expiresAt }: ShareDoc): Share {
  return { id: _id, tenantId, dashboardId, userId, createdAt, expiresAt }
}
