import { AppError } from '@fleetgate/contracts'
import { kindOf, type PluginKind, pluginKinds, type SettingKind, settingOf } from './kinds.js'
import type { PluginStore } from './pluginStore.js'

export interface Plugin {
  name: string
  description: string
  active: boolean
}

export type Setting = Omit<SettingKind, 'isSecret'>

export interface Plugins {
  list(tenantId: string): Promise<Plugin[]>
  /** `conflict` where it is so already, `invalid_state` for what cannot be switched or does not exist. */
  set(tenantId: string, name: string, active: boolean): Promise<void>
  /** Those that are set, and the possible ones that are not. Secrets are masked. */
  settings(tenantId: string, name: string): Promise<Setting[]>
  /** Sets these and leaves the others; an empty value takes one away. Nothing is changed where one is refused. */
  configure(tenantId: string, name: string, changes: readonly { key: string; value: string }[]): Promise<void>
}

export interface PluginParts {
  store: PluginStore
  /** The broker runs in a process of its own: what works inside of ours is not there. */
  isRemote: boolean
  /** Whether tenants may let their machines in without password or permissions. */
  mayOpen: boolean
  /** Tells every process, ours before it resolves. */
  announce(tenantId: string, name: string): Promise<void>
}

/** What a masked secret looks like; sent back it changes nothing. */
const masked = '******'
const maxSettings = 100
const tries = 5

export function createPlugins({ store, isRemote, mayOpen, announce }: PluginParts): Plugins {
  const kinds = pluginKinds.map(hereOf).filter(({ insideOnly }) => !isRemote || insideOnly === undefined)

  function hereOf(kind: PluginKind): PluginKind {
    return isRemote ? { ...kind, settings: kind.settings.filter(({ isInsideOnly }) => !isInsideOnly) } : kind
  }

  function known(name: string): PluginKind {
    const kind = kindOf(name)
    if (!kind) throw new AppError('invalid_state', `plugin ${name.slice(0, 100)} does not exist`)
    const here = kinds.find((one) => one.name === name)
    if (!here) throw new AppError('invalid_state', `plugin ${name} is not there with this broker: ${kind.insideOnly}`)
    return here
  }

  function check(kind: PluginKind, settings: ReadonlyMap<string, string>): void {
    try {
      kind.check?.(settings)
    } catch (cause) {
      throw new AppError('invalid_input', (cause as Error).message, {}, { cause })
    }
  }

  return {
    async list(tenantId) {
      const states = new Map((await store.of(tenantId)).map(({ name, active }) => [name, active]))
      return kinds.map(({ name, description, isOnByDefault }) => ({
        name,
        description,
        active: states.get(name) ?? isOnByDefault
      }))
    },

    async set(tenantId, name, active) {
      const kind = known(name)
      if (kind.isProtection && !active && !mayOpen) {
        throw new AppError('invalid_state', `plugin ${name} cannot be stopped: this needs MQTT_ALLOW_OPEN`)
      }
      if (active) {
        const settings = (await store.find(tenantId, name))?.settings ?? new Map()
        const missing = kind.settings.find(({ key, required }) => required && !settings.get(key))
        if (missing) throw new AppError('invalid_state', `plugin ${name} needs ${missing.key}`)
      }
      if (!(await store.set({ tenantId, name, active }, kind.isOnByDefault))) {
        throw new AppError('conflict', `plugin ${name} is ${active ? 'started' : 'stopped'} already`)
      }
      await announce(tenantId, name)
    },

    async settings(tenantId, name) {
      const kind = known(name)
      const set = (await store.find(tenantId, name))?.settings ?? new Map<string, string>()
      const unset = kind.settings.filter(({ key }) => key.includes('<') || !set.has(key))
      const made = [...set].flatMap(([key, value]) => {
        const found = settingOf(kind, key)
        return found ? [{ ...found, key, value: found.isSecret ? masked : value }] : []
      })
      return [...made, ...unset].map(({ key, value, desc, required }) => ({ key, value, desc, required }))
    },

    async configure(tenantId, name, changes) {
      const kind = known(name)
      for (let i = 0; i < tries; i++) {
        const { settings: before, revision = 0 } = (await store.find(tenantId, name)) ?? {}
        const settings = changed(kind, new Map(before), changes)
        check(kind, settings)
        if (await store.configure({ tenantId, name, settings, revision }, kind.isOnByDefault)) {
          return announce(tenantId, name)
        }
      }
      throw new AppError('conflict', `plugin ${name} is being set by others, try again`)
    }
  }
}

function changed(
  kind: PluginKind,
  settings: Map<string, string>,
  changes: readonly { key: string; value: string }[]
): Map<string, string> {
  for (const { key, value } of changes) {
    const setting = settingOf(kind, key)
    if (!setting) throw new AppError('invalid_input', `plugin ${kind.name} has no setting ${key.slice(0, 100)}`)
    if (setting.isSecret && value === masked) continue
    if (value === '') settings.delete(key)
    else settings.set(key, value)
  }
  if (settings.size > maxSettings) throw new AppError('invalid_input', `more than ${maxSettings} settings`)
  return settings
}
