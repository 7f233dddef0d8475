import type { Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

/** How a user has laid out the list of dashboards. */
export interface Desk {
  homeId?: string | undefined
  /** Dashboards that the user has put in an order; the others follow them. */
  order: string[]
}

interface DeskDoc {
  _id: string
  tenantId: string
  userId: string
  homeId?: string
  order: string[]
}

export type DeskStore = ReturnType<typeof createDeskStore>

/** One document for each user. Dashboards in it may be gone since. */
export function createDeskStore({ store }: { store: Store }) {
  const schema = new Schema<DeskDoc>({
    _id: String,
    tenantId: { type: String, required: true },
    userId: { type: String, required: true },
    homeId: String,
    order: { type: [String], default: [] }
  })
  const model = store.model<DeskDoc>('dashboardDesks', schema)
  const write = async (tenantId: string, userId: string, change: object) => {
    await model.updateOne(
      { _id: `${tenantId}:${userId}` },
      { ...change, $setOnInsert: { tenantId, userId } },
      { upsert: true }
    )
  }

  return {
    async find(tenantId: string, userId: string): Promise<Desk> {
      const doc = await model.findOne({ _id: `${tenantId}:${userId}`, tenantId }).lean()
      return { homeId: doc?.homeId, order: doc?.order ?? [] }
    },
    setHome: (tenantId: string, userId: string, homeId: string) => write(tenantId, userId, { $set: { homeId } }),
    /** Does nothing where another one is the home. */
    async clearHome(tenantId: string, userId: string, homeId: string): Promise<void> {
      await model.updateOne({ _id: `${tenantId}:${userId}`, tenantId, homeId }, { $unset: { homeId: 1 } })
    },
    setOrder: (tenantId: string, userId: string, order: string[]) => write(tenantId, userId, { $set: { order } })
  }
}
