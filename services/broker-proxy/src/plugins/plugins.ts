import { AppError } from '@fleetgate/contracts'
import type { BrokerControl } from '../broker/brokerFacts.js'
import type { PluginStore } from './pluginStore.js'

export interface Plugin {
  name: string
  description: string
  active: boolean
}

export interface Plugins {
  has(name: string): boolean
  list(tenantId: string): Promise<Plugin[]>
  /** `conflict` where it is so already, `invalid_state` for what cannot be switched or does not exist. */
  set(tenantId: string, name: string, active: boolean): Promise<void>
  /** Tells the broker what is switched off; once, when it is open. */
  restore(): Promise<void>
}

interface Kind {
  name: string
  description: string
  /** Absent: a part that cannot be left out. */
  apply?: (control: BrokerControl, tenantId: string, active: boolean) => void
}

/** Parts of ours that do what a plugin of EMQ did, under its name. A tenant switches its own side of them only. */
const kinds: readonly Kind[] = [
  { name: 'emqx_auth_username', description: 'Log-in and permissions by MQTT user' },
  {
    name: 'emqx_retainer',
    description: 'Retained messages',
    apply: (control, tenantId, active) => control.setRetaining(tenantId, active)
  }
]

export function createPlugins(parts: { store: PluginStore; control: () => BrokerControl }): Plugins {
  const { store, control } = parts

  return {
    has: (name) => kinds.some((one) => one.name === name),

    async list(tenantId) {
      const stopped = await store.stopped(tenantId)
      return kinds.map(({ name, description }) => ({ name, description, active: !stopped.includes(name) }))
    },

    async set(tenantId, name, active) {
      const kind = kinds.find((one) => one.name === name)
      if (!kind) throw new AppError('invalid_state', `plugin ${name.slice(0, 100)} does not exist`)
      if (!kind.apply && !active) throw new AppError('invalid_state', `plugin ${name} cannot be stopped`)
      if (!kind.apply || !(await store.set({ tenantId, name, active }))) {
        throw new AppError('conflict', `plugin ${name} is ${active ? 'started' : 'stopped'} already`)
      }
      kind.apply(control(), tenantId, active)
    },

    async restore() {
      for await (const { tenantId, name } of store.allStopped()) {
        kinds.find((one) => one.name === name)?.apply?.(control(), tenantId, false)
      }
    }
  }
}
