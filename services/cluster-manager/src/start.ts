import { connectBus, createAuditor, createCreatorsOf, createGuard, type Log } from '@fleetgate/kit'
import { createAuditTrail, createSecrets, loadKeyRing, openStore, startResealing } from '@fleetgate/store'
import { createClusterManagerApp } from './app.js'
import { createClusterParts } from './clusterParts.js'
import { allClusterRoutes } from './clusterRoutes.js'
import { createClusterStore } from './clusters/clusterStore.js'
import type { Config } from './config.js'
import { createLogs } from './logs/log.js'
import { createLogStore } from './logs/logStore.js'
import { createMailing } from './mail/mailing.js'
import { createNotices } from './operations/notice.js'
import { openProfiles } from './profiles/openProfiles.js'
import { createProviderStore } from './providers/providerStore.js'
import { createProviding } from './providers/providing.js'
import { createPubkeys } from './pubkeys/pubkey.js'
import { createPubkeyStore } from './pubkeys/pubkeyStore.js'
import { createRegistries } from './registries/registry.js'
import { createRegistryStore } from './registries/registryStore.js'

export interface StartOptions {
  config: Config
  log: Log
  /** Takes what must be closed at the end, in reverse order. */
  add: (name: string, close: () => Promise<unknown> | unknown) => void
}

/** Checks what the settings name, connects, wires and listens. */
export async function startClusterManager({ config, log, add }: StartOptions): Promise<{ port: number }> {
  const profiles = openProfiles(config)
  const secrets = createSecrets({ keys: loadKeyRing({ file: config.SECRETS_KEY_FILE, value: config.SECRETS_KEY }) })
  const store = await openStore({ uri: config.MONGODB_URI, database: 'fleetgate_cluster_manager', log })
  add('store', () => store.close())
  const bus = await connectBus({ name: 'cluster-manager', url: config.NATS_URL, log })
  add('bus', () => bus.close())
  const now = Date.now
  const logs = createLogs({ store: createLogStore(store), now })
  const pubkeyStore = createPubkeyStore(store)
  const mailing = createMailing({ store, secrets, bus, log, config, now })
  const registryStore = createRegistryStore(store)
  const clusterStore = createClusterStore(store)
  const providerStore = createProviderStore(store)
  const trail = createAuditTrail({ store, bus, log, service: 'cluster-manager' })
  await store.sync()
  trail.start()
  add('audit', () => trail.stop())
  const resealing = startResealing({ secrets, places: store.sealedPlaces, log })
  add('resealing', () => resealing.stop())
  add('mail', await mailing.start())
  const providing = createProviding({ config, secrets, store: providerStore, logs, now })
  add('clouds', () => providing.close())
  const creatorsOf = createCreatorsOf(bus, log)
  const parts = createClusterParts({
    config,
    log,
    profiles,
    secrets,
    store: clusterStore,
    pubkeys: pubkeyStore,
    registries: registryStore,
    providers: providerStore,
    drivers: providing.drivers,
    logs,
    notify: createNotices({ smtp: mailing.smtp, mails: mailing.mails, creatorsOf, choice: config.OPERATION_MAILS })
  })
  const guard = await createGuard({ bus, log })
  add('guard', () => guard.close())

  parts.engine.start()
  add('engine', () => parts.engine.stop())
  parts.watch.start()
  add('watch', () => parts.watch.stop())
  parts.markSweep.start()
  add('marks', () => parts.markSweep.stop())

  const ending = new AbortController()
  const app = createClusterManagerApp({
    log,
    guard,
    auditor: createAuditor(trail, log),
    pubkeys: createPubkeys({ store: pubkeyStore, secrets, logs, keyBits: config.KEY_BITS, now }),
    smtp: mailing.smtp,
    providers: providing.providers,
    mails: mailing.mails,
    creatorsOf,
    clusterRoutes: allClusterRoutes({
      parts,
      registries: createRegistries({ store: registryStore, secrets, logs, now }),
      registryStore,
      logs,
      secrets,
      defaultProfile: config.CLUSTER_PROFILE,
      creatorsOf,
      ending: ending.signal
    }),
    checks: { mongodb: () => store.ready(), nats: () => bus.isReady() },
    checkReplies: config.CHECK_REPLIES
  })
  const listening = await app.listen(config.PORT, config.HOST)
  add('http', () => listening.close(config.DRAIN_MS))
  // Before it: answers that go on for as long as an operation would be waited for.
  add('events', () => ending.abort())
  return { port: listening.port }
}
