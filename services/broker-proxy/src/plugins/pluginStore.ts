import type { Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

export interface PluginRow {
  tenantId: string
  name: string
  active: boolean
}

export interface PluginStore {
  /** False where it is so already. Plugins that nobody has switched are active. */
  set(row: PluginRow): Promise<boolean>
  /** Names that the tenant has switched off. */
  stopped(tenantId: string): Promise<string[]>
  allStopped(): AsyncIterable<PluginRow>
}

const fields = '-_id tenantId name active'

export function createPluginStore(store: Store): PluginStore {
  const schema = new Schema<PluginRow>({
    tenantId: { type: String, required: true },
    name: { type: String, required: true },
    active: { type: Boolean, required: true }
  })
    .index({ tenantId: 1, name: 1 }, { unique: true })
    .index({ active: 1 })
  const model = store.model<PluginRow>('plugins', schema)

  return {
    async set({ tenantId, name, active }) {
      await model.updateOne({ tenantId, name }, { $setOnInsert: { active: true } }, { upsert: true })
      const { matchedCount } = await model.updateOne({ tenantId, name, active: !active }, { $set: { active } })
      return matchedCount === 1
    },
    async stopped(tenantId) {
      const rows = await model.find({ tenantId, active: false }).select(fields).lean<PluginRow[]>()
      return rows.map(({ name }) => name)
    },
    allStopped: () =>
      model.find({ active: false }).select(fields).lean<PluginRow[]>().cursor() as AsyncIterable<PluginRow>
  }
}
