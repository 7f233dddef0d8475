import type { Store } from '@fleetgate/store'
import { Schema } from 'mongoose'
import type { AllSettings, SettingsPart } from './settings.js'

/** What a tenant has decided; the rest is default. One document per tenant. */
type Kept = { _id: string; tenantId: string } & { [P in SettingsPart]?: Partial<AllSettings[P]> }

const settingsSchema = new Schema<Kept>({
  _id: { type: String, required: true },
  tenantId: { type: String, required: true },
  general: Schema.Types.Mixed,
  jobs: Schema.Types.Mixed,
  tasks: Schema.Types.Mixed,
  clients: Schema.Types.Mixed
} as never)

export interface SettingsStore {
  find(tenantId: string): Promise<Kept | undefined>
  update(tenantId: string, part: SettingsPart, change: object): Promise<void>
}

export function createSettingsStore(store: Store): SettingsStore {
  const model = store.model<Kept>('settings', settingsSchema)

  return {
    find: async (tenantId) => (await model.findOne({ _id: tenantId, tenantId }).lean<Kept>()) ?? undefined,

    async update(tenantId, part, change) {
      const fields = Object.entries(change).map(([field, value]) => [`${part}.${field}`, value])
      if (fields.length === 0) return
      const wanted = { $set: Object.fromEntries(fields), $setOnInsert: { tenantId } }
      // By its _id alone: of two first writes at once the database itself then repeats the one that came second.
      await model.updateOne({ _id: tenantId }, wanted as never, { upsert: true })
    }
  }
}
