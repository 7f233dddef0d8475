import { type Bus, type Log, pluginChanged } from '@fleetgate/contracts'
import { createAllowed, createHttp } from '@fleetgate/kit/outbound'
import type { Secrets, Store } from '@fleetgate/store'
import type { BrokerDriver, Session } from '../broker/brokerDriver.js'
import type { MaybeExtras } from '../broker/brokerFacts.js'
import type { Config } from '../config.js'
import { createDelayed, parseDelayed } from './delayed.js'
import { createDelayedStore } from './delayedStore.js'
import type { PluginName } from './kinds.js'
import { createPluginStore } from './pluginStore.js'
import { createPlugins } from './plugins.js'
import { parseRewriteRules, type RewriteRule, rewrite } from './rewrite.js'
import { createSwitchboard } from './switchboard.js'
import { createWebHook } from './webHook.js'

export interface PluginPartsOptions {
  store: Store
  secrets: Pick<Secrets, 'seal' | 'open'>
  bus: Bus
  driver: BrokerDriver & MaybeExtras
  config: Config
  onLost(): void
  now: () => number
  log: Log
}

const announceWithinMs = 3_000
/** Changes that were made while this process read them all. */
const watchBackMs = 60_000

export type PluginParts = ReturnType<typeof createPluginParts>

/** Plugins and what they do, wired. */
export function createPluginParts({ store, secrets, bus, driver, config, onLost, now, log }: PluginPartsOptions) {
  const pluginStore = createPluginStore(store, secrets)
  const switchboard = createSwitchboard({ store: pluginStore, onSwitched, onChanged, log })
  const { isOn, settings } = switchboard
  const allowed = createAllowed(config.WEB_HOOK_ALLOWED_HOSTS)
  const { http, close: closeHttp } = createHttp({ allowed, setting: 'WEB_HOOK_ALLOWED_HOSTS' })
  const webHook = createWebHook({ switchboard: () => switchboard, http, log, now, onLost })
  const maxWaiting = config.MQTT_MAX_DELAYED
  const delayed = createDelayed({
    store: createDelayedStore(store),
    bus,
    driver,
    onPublished: webHook.published,
    maxWaiting,
    now,
    log
  })
  /** Whose retained messages are switched off: the broker is told when it is open. */
  const notRetaining = new Set<string>()
  const rules = new WeakMap<ReadonlyMap<string, string>, RewriteRule[]>()

  /** Here at once, elsewhere by event. A lost event costs half a minute. */
  async function announce(tenantId: string, name: string): Promise<void> {
    await switchboard.refresh(tenantId, name)
    bus
      .publish(pluginChanged, { tenantId, name, at: now() }, { deadlineMs: announceWithinMs })
      .catch((err) => log.warn({ err, tenantId, name }, 'change of a plugin not told'))
  }

  function onSwitched(tenantId: string, name: PluginName, active: boolean): void {
    if (name === 'emqx_retainer') setRetaining(tenantId, active)
    const sessions = [...driver.sessions()].filter((one) => one.tenantId === tenantId)
    // Whoever came in without a password shows it now.
    if (name === 'emqx_auth_username' && active)
      for (const one of sessions) driver.disconnect(one, 'log-in is asked for again')
    // A broker may remember what was granted, and what was denied.
    if (name === 'emqx_acl_internal') recheck(sessions)
  }

  function onChanged(tenantId: string, name: PluginName): void {
    if (name === 'emqx_web_hook') webHook.changed(tenantId)
  }

  function setRetaining(tenantId: string, active: boolean): void {
    if (active) notRetaining.delete(tenantId)
    else notRetaining.add(tenantId)
    driver.control?.setRetaining?.(tenantId, active)
  }

  function recheck(sessions: Session[]): void {
    for (const session of sessions) driver.recheck(session)
    for (const username of new Set(sessions.map((one) => one.username))) {
      driver.control
        ?.dropForbidden(username)
        .catch((err) => log.error({ err, username }, 'subscriptions without a right not ended'))
    }
  }

  function rulesOf(tenantId: string): RewriteRule[] {
    const set = settings(tenantId, 'emqx_mod_rewrite')
    const known = rules.get(set) ?? parseRewriteRules(set)
    rules.set(set, known)
    return known
  }

  return {
    plugins: createPlugins({
      store: pluginStore,
      isRemote: driver.isRemote,
      mayOpen: config.MQTT_ALLOW_OPEN,
      announce
    }),
    webHook,
    delayed: {
      wishOf: ({ tenantId }: Session, topic: string) =>
        topic.startsWith('$delayed/') && isOn(tenantId, 'emqx_delayed_publish') ? parseDelayed(topic) : undefined,
      keep: delayed.keep
    },
    rewrite: ({ tenantId }: Session, topic: string) =>
      isOn(tenantId, 'emqx_mod_rewrite') ? rewrite(rulesOf(tenantId), topic) : topic,
    takesFiles: (tenantId: string) => isOn(tenantId, 'emqx_file_transfer'),
    // An operator who takes the setting back closes what tenants have opened.
    needsNoPassword: (tenantId: string) => config.MQTT_ALLOW_OPEN && !isOn(tenantId, 'emqx_auth_username'),
    needsNoRights: (tenantId: string) => config.MQTT_ALLOW_OPEN && !isOn(tenantId, 'emqx_acl_internal'),

    /** Before clients come. */
    async load(): Promise<() => Promise<void>> {
      const watching = await bus.watch(pluginChanged, { sinceMs: watchBackMs }, ({ tenantId, name }) => {
        switchboard.refresh(tenantId, name).catch((err) => log.warn({ err, tenantId, name }, 'plugin not read'))
      })
      await switchboard.start()
      return async () => {
        switchboard.stop()
        await watching.stop()
        webHook.stop()
        await closeHttp()
      }
    },

    /** When the broker is open. */
    start(): () => Promise<void> {
      for (const tenantId of notRetaining) driver.control?.setRetaining?.(tenantId, false)
      delayed.start()
      return delayed.stop
    }
  }
}
