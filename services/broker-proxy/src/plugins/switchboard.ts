import type { Log } from '@fleetgate/contracts'
import { createReadings } from '../readings.js'
import { kindOf, type PluginName, pluginKinds } from './kinds.js'
import type { PluginState, PluginStore } from './pluginStore.js'

/** What plugins each tenant has on, in memory: it is asked for with every message. */
export interface Switchboard {
  isOn(tenantId: string, name: PluginName): boolean
  /** The same Map as long as nobody changes them. */
  settings(tenantId: string, name: PluginName): ReadonlyMap<string, string>
  /** Reads one plugin of a tenant anew. */
  refresh(tenantId: string, name: string): Promise<void>
  /** Reads all of them, now and each half minute: an event may have been missed. */
  start(): Promise<void>
  stop(): void
}

export interface SwitchboardParts {
  store: Pick<PluginStore, 'find' | 'all'>
  /** A plugin was switched since it was looked at last; also at the start, where it is not as by default. */
  onSwitched(tenantId: string, name: PluginName, isOn: boolean): void
  /** It was switched or set. */
  onChanged(tenantId: string, name: PluginName): void
  log: Log
}

const reloadMs = 30_000
const none: ReadonlyMap<string, string> = new Map()

export function createSwitchboard({ store, onSwitched, onChanged, log }: SwitchboardParts): Switchboard {
  const known = new Map<string, PluginState>()
  const readings = createReadings()
  let timer: NodeJS.Timeout | undefined

  const isOn = (tenantId: string, name: PluginName) =>
    known.get(keyOf(tenantId, name))?.active ?? kindOf(name)?.isOnByDefault ?? false

  function put(state: PluginState): void {
    const name = pluginKinds.find((kind) => kind.name === state.name)?.name
    // Of another version of this service.
    if (!name) return
    const key = keyOf(state.tenantId, name)
    const wasOn = isOn(state.tenantId, name)
    const before = known.get(key)
    const isSame = before && JSON.stringify([...before.settings]) === JSON.stringify([...state.settings])
    known.set(key, isSame ? { ...state, settings: before.settings } : state)
    if (wasOn !== state.active) onSwitched(state.tenantId, name, state.active)
    if (wasOn !== state.active || !isSame) onChanged(state.tenantId, name)
  }

  async function readAll(isNewer: (key: string) => boolean): Promise<void> {
    for await (const state of store.all()) if (!isNewer(keyOf(state.tenantId, state.name))) put(state)
  }

  return {
    isOn,
    settings: (tenantId, name) => known.get(keyOf(tenantId, name))?.settings ?? none,
    refresh: (tenantId, name) =>
      readings.one(
        keyOf(tenantId, name),
        () => store.find(tenantId, name),
        (state) => state && put(state)
      ),
    async start() {
      await readings.all(readAll)
      timer = setInterval(() => {
        readings.all(readAll).catch((err) => log.warn({ err }, 'plugins not read, trying again later'))
      }, reloadMs)
      timer.unref()
    },
    stop: () => clearInterval(timer)
  }
}

function keyOf(tenantId: string, name: string): string {
  return `${name}/${tenantId}`
}
