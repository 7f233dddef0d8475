import type { Secrets, Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

/** How a tenant has set a plugin. */
export interface PluginState {
  tenantId: string
  name: string
  active: boolean
  settings: ReadonlyMap<string, string>
  /** Counts the changes of the settings. */
  revision: number
}

interface PluginDoc {
  tenantId: string
  name: string
  active: boolean
  /** Sealed JSON. */
  settings?: string
  revision?: number
}

export interface PluginStore {
  /** False where it is so already; `byDefault` is what holds while nobody has switched it. */
  set(row: Pick<PluginState, 'tenantId' | 'name' | 'active'>, byDefault: boolean): Promise<boolean>
  /** False where somebody else has changed the settings since they were read: `revision` is that of the reading, 0 for none. */
  configure(row: Omit<PluginState, 'active'>, byDefault: boolean): Promise<boolean>
  find(tenantId: string, name: string): Promise<PluginState | undefined>
  of(tenantId: string): Promise<PluginState[]>
  all(): AsyncIterable<PluginState>
}

const fields = '-_id tenantId name active settings revision'

export function createPluginStore(store: Store, secrets: Pick<Secrets, 'seal' | 'open'>): PluginStore {
  const schema = new Schema<PluginDoc>({
    tenantId: { type: String, required: true },
    name: { type: String, required: true },
    active: { type: Boolean, required: true },
    settings: String,
    revision: Number
  }).index({ tenantId: 1, name: 1 }, { unique: true })
  const model = store.model<PluginDoc>('plugins', schema)
  store.declareSealed(model, {
    paths: ['settings'],
    textsOf: ({ tenantId, name, settings }) =>
      settings === undefined ? [] : [{ path: 'settings', sealed: settings, context: contextOf(tenantId, name) }]
  })

  function toState({ tenantId, name, active, settings, revision = 0 }: PluginDoc): PluginState {
    const text = settings === undefined ? '{}' : secrets.open(settings, contextOf(tenantId, name))
    const known = new Map(Object.entries(JSON.parse(text) as Record<string, string>))
    return { tenantId, name, active, settings: known, revision }
  }

  return {
    async set({ tenantId, name, active }, byDefault) {
      await model.updateOne({ tenantId, name }, { $setOnInsert: { active: byDefault } }, { upsert: true })
      const { matchedCount } = await model.updateOne({ tenantId, name, active: !active }, { $set: { active } })
      return matchedCount === 1
    },
    async configure({ tenantId, name, settings, revision }, byDefault) {
      const sealed = secrets.seal(JSON.stringify(Object.fromEntries(settings)), contextOf(tenantId, name))
      await model.updateOne({ tenantId, name }, { $setOnInsert: { active: byDefault } }, { upsert: true })
      const asRead = { tenantId, name, revision: revision === 0 ? { $exists: false } : revision }
      const change = { $set: { settings: sealed, revision: revision + 1 } }
      return (await model.updateOne(asRead, change)).matchedCount === 1
    },
    async find(tenantId, name) {
      const doc = await model.findOne({ tenantId, name }).select(fields).lean<PluginDoc>()
      return doc ? toState(doc) : undefined
    },
    async of(tenantId) {
      return (await model.find({ tenantId }).select(fields).lean<PluginDoc[]>()).map(toState)
    },
    async *all() {
      for await (const doc of model.find().select(fields).lean<PluginDoc[]>().cursor()) {
        yield toState(doc as unknown as PluginDoc)
      }
    }
  }
}

function contextOf(tenantId: string, name: string): string {
  return `plugin:${tenantId}:${name}`
}
