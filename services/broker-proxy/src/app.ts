import { type Bus, type Log, mqttUserChanged } from '@fleetgate/contracts'
import {
  type App,
  addStreamFigures,
  createApp,
  createAuditor,
  createMetrics,
  dms,
  emq,
  type Guard,
  sdes
} from '@fleetgate/kit'
import { createAuditTrail, type Secrets, type Store } from '@fleetgate/store'
import { auditActions } from './auditActions.js'
import type { Account, BrokerDriver } from './broker/brokerDriver.js'
import type { MaybeExtras } from './broker/brokerFacts.js'
import { createBrokerApi } from './brokerApi.js'
import { createClients } from './clients/clients.js'
import { createOwners } from './clients/owners.js'
import { createPresence } from './clients/presence.js'
import { createPresenceStore } from './clients/presenceStore.js'
import { createRoster, withRoster } from './clients/roster.js'
import { serveClients } from './clients/serveClients.js'
import { onDeliver } from './commands/onDeliver.js'
import { onPublish } from './commands/onPublish.js'
import type { Config } from './config.js'
import { createFiles, type FileParts } from './files/files.js'
import { fileRoutes } from './files/sdes.js'
import { serveFiles } from './files/serveFiles.js'
import { dmsInstanceRoutes } from './instances/dms.js'
import { emqMessageRoutes } from './messages/emq.js'
import { createPublish } from './messages/publish.js'
import { createBrokerMetrics } from './metrics.js'
import { emqPeopleRoutes } from './people/emq.js'
import { createPluginParts } from './plugins/pluginParts.js'
import { createUplink } from './uplink/uplink.js'
import { createAccounts } from './users/accounts.js'
import { createAuthority } from './users/authority.js'
import { dmsUserRoutes } from './users/dms.js'
import { createLogIn } from './users/logIn.js'
import { createLoginThrottle } from './users/loginThrottle.js'
import { createPolicies } from './users/policies.js'
import { dmsPolicyRoutes } from './users/policiesDms.js'
import { createRevocation } from './users/revocation.js'
import { serveAccounts, serveMachineUsers } from './users/serveMachineUsers.js'
import { createUserStore } from './users/userStore.js'
import { createUsers, type MqttUser } from './users/users.js'

export interface BrokerProxyParts {
  config: Config
  store: Store
  bus: Bus
  guard: Guard
  secrets: Secrets
  driver: BrokerDriver & MaybeExtras
  /** Opened by the caller: see files.ts. */
  fileParts: FileParts
  log: Log & Parameters<typeof createApp>[0]['log']
  now?: () => number
}

export interface BrokerProxy {
  http: App
  /** Takes MQTT clients, commands and questions; the models' indexes must be there. */
  open(): Promise<{ mqttPort: number; mqttPorts: ReadonlyMap<string, number> }>
  close(): Promise<void>
}

const version = '0.1.0'
/** Changes of users that were made while this process read them all. */
const watchBackMs = 60_000
const announceWithinMs = 3_000

/** Wires everything; nothing happens before `open` and `http.listen`. */
export function createBrokerProxy(parts: BrokerProxyParts): BrokerProxy {
  const { config, store, bus, guard, secrets, driver, log, now = Date.now } = parts
  const node = config.BROKER_NODE
  const presenceStore = createPresenceStore(store)
  const owners = createOwners(presenceStore.owners)
  const roster = createRoster()
  const presence = withRoster(roster, createPresence({ store: presenceStore, bus, node, now, log, evict }))
  const clients = createClients({ node, roster, store: presenceStore, presence })
  const maxUsers = config.MQTT_MAX_USERS
  const users = createUsers({ store: createUserStore(store), secrets, announce, maxUsers, now, log })
  const whitelistAsRocketMq = config.MQTT_WHITELIST_AS_ROCKETMQ
  const accounts = createAccounts({ users, onChange: createRevocation({ driver, whitelistAsRocketMq, log }), log })
  const metrics = createMetrics('broker-proxy')
  addStreamFigures(metrics, bus, log)
  const counters = createBrokerMetrics(
    metrics,
    () => [...driver.sessions()].length,
    () => driver.counts
  )
  const plugins = createPluginParts({ store, secrets, bus, driver, config, onLost: counters.hookLost, now, log })
  const authority = createAuthority(accounts, plugins.needsNoRights)
  const fileCounts = { onServed: counters.blockServed, onCast: counters.blockCast }
  const files = createFiles({
    store,
    driver,
    config,
    isOn: plugins.takesFiles,
    now,
    log,
    ...fileCounts,
    ...parts.fileParts
  })
  const uplink = createUplink({
    bus,
    authority,
    files: files.channel,
    delayed: plugins.delayed,
    now,
    onStored: counters.uplinkStored,
    onPublished: plugins.webHook.published,
    onDenied({ clientId, tenantId }, topic) {
      counters.publishDenied()
      log.debug({ clientId, tenantId, topic }, 'publish denied')
    }
  })
  const logIn = createLogIn({
    accounts,
    owners,
    throttle: createLoginThrottle(config.MQTT_FAILED_LOGINS_PER_MINUTE),
    whitelistAsRocketMq,
    isOpen: plugins.needsNoPassword,
    now
  })
  const checks = { nats: bus.isReady, store: store.ready }
  const broker = createBrokerApi({ config, version, plugins: plugins.plugins, driver, clients, accounts, checks, now })
  const publish = createPublish({ driver, onPublished: plugins.webHook.published })
  const trail = createAuditTrail({ store, bus, log, service: 'broker-proxy' })
  const stops: (() => unknown)[] = []

  function evict(clientId: string, tenantId: string): void {
    log.warn({ clientId, tenantId }, 'client id belongs to another tenant')
    owners.forget(clientId)
    const session = driver.session(clientId)
    if (session?.tenantId === tenantId) driver.disconnect(session, 'client id belongs to another tenant')
  }

  /** Here at once, elsewhere by event. A lost event costs half a minute: see createAccounts. */
  async function announce({ tenantId, accessKey }: { tenantId: string; accessKey: string }): Promise<void> {
    await accounts.refresh(accessKey)
    bus
      .publish(mqttUserChanged, { tenantId, accessKey, at: now() }, { deadlineMs: announceWithinMs })
      .catch((err) => log.warn({ err, accessKey }, 'change of an MQTT user not told'))
  }

  function refresh({ accessKey }: { accessKey: string }): void {
    accounts.refresh(accessKey).catch((err) => log.warn({ err, accessKey }, 'MQTT user not read'))
  }

  return {
    http: createApp({
      service: 'broker-proxy',
      log,
      guard,
      metrics,
      audit: { auditor: createAuditor(trail, log), actions: auditActions },
      checkReplies: config.CHECK_REPLIES,
      checks,
      apis: [
        // A dialect object of its own, before EMQ's: what the broker asks stands in no API reference.
        { dialect: { ...emq }, routes: driver.routes },
        {
          dialect: emq,
          routes: [...broker.routes, ...emqMessageRoutes(publish), ...emqPeopleRoutes(bus)]
        },
        {
          dialect: dms,
          routes: [...dmsUserRoutes(users), ...dmsPolicyRoutes(createPolicies(users)), ...dmsInstanceRoutes(version)]
        },
        { dialect: sdes, routes: fileRoutes(files.library) }
      ]
    }),

    async open() {
      trail.start()
      stops.push(() => trail.stop())
      const watching = await bus.watch(mqttUserChanged, { sinceMs: watchBackMs }, refresh)
      stops.push(() => watching.stop())
      stops.push(files.startSweeping())
      await accounts.start()
      stops.push(() => accounts.stop())
      stops.push(await plugins.load())
      if (!driver.isRemote) await presence.clearLeftBehind()
      stops.push(() => presence.stop())
      const { port, ports = new Map() } = await driver.open({
        logIn: (attempt) => logIn(attempt),
        onMessage: (session, message) => uplink.receive(session, message),
        rewrite: plugins.rewrite,
        maySubscribe: authority.maySubscribe,
        mayReceive: authority.mayReceive,
        mayPublish: authority.mayPublish,
        account: (username) => accountOf(accounts.find(username)),
        lastUser: (clientId) => presenceStore.lastUser(clientId),
        takeOver: presence.takeOver,
        watch: plugins.webHook,
        onConnected: presence.connected,
        onDisconnected: presence.disconnected
      })
      stops.push(() => driver.close())
      stops.push(() => files.endCasts())
      broker.open()
      stops.push(() => broker.close())
      stops.push(plugins.start())
      const delivering = await onDeliver({ bus, driver, onDelivered: counters.commandsDelivered, log })
      stops.push(() => delivering.stop())
      const publishing = await onPublish({ bus, publish, log })
      stops.push(() => publishing.stop())
      const serving = await serveClients({ bus, presence, store: presenceStore, now })
      stops.push(() => serving.stop())
      const providing = await serveMachineUsers({ bus, users, owners: presenceStore.owners })
      stops.push(() => providing.stop())
      const finding = await serveFiles(bus, files.names)
      stops.push(() => finding.stop())
      for (const serving of await serveAccounts({ bus, users })) stops.push(() => serving.stop())
      return { mqttPort: port, mqttPorts: ports }
    },

    async close() {
      for (let stop = stops.pop(); stop; stop = stops.pop()) await stop()
    }
  }
}

function accountOf(user: MqttUser | undefined): Account | undefined {
  if (!user) return undefined
  return {
    tenantId: user.tenantId,
    denied: user.topicPerms.filter(({ perm }) => perm === 'DENY').map(({ name }) => name)
  }
}
