import { randomUUID } from 'node:crypto'
import type { Log } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { createBeginning } from './clusters/beginning.js'
import type { Cluster } from './clusters/cluster.js'
import { secretsOf } from './clusters/clusterSecrets.js'
import type { ClusterStore } from './clusters/clusterStore.js'
import { createClusters } from './clusters/clusters.js'
import { createMarkSweep } from './clusters/markSweep.js'
import { createNewHosts } from './clusters/newHosts.js'
import { readKubeconfig } from './components/kubeconfig.js'
import { lookAt } from './components/look.js'
import { createWatch } from './components/watch.js'
import type { Config } from './config.js'
import type { Shared } from './hosts/input.js'
import type { Logs } from './logs/log.js'
import { createMachines } from './machines/machines.js'
import { openProvider } from './machines/openProvider.js'
import { createEngine } from './operations/engine.js'
import { isBringing } from './operations/operation.js'
import { createOperations } from './operations/operations.js'
import { createSettle, entryOf } from './operations/settle.js'
import type { Profiles } from './profiles/profile.js'
import type { Drivers } from './providers/drivers.js'
import type { ProviderStore } from './providers/providerStore.js'
import type { PubkeyStore } from './pubkeys/pubkeyStore.js'
import { registryContext } from './registries/registry.js'
import type { RegistryStore } from './registries/registryStore.js'

export interface ClusterPartsOptions {
  config: Config
  log: Log
  profiles: Profiles
  secrets: Secrets
  store: ClusterStore
  pubkeys: PubkeyStore
  registries: RegistryStore
  providers: ProviderStore
  drivers: Drivers
  logs: Logs
  /** Tells people how an operation has ended. */
  notify: (cluster: Cluster) => Promise<void>
}

/** Clusters with the engine that drives their operations and the watch over their hosts. */
export function createClusterParts(options: ClusterPartsOptions) {
  const { config, log, profiles, secrets, store, pubkeys, registries, providers, drivers, logs, notify } = options
  const now = Date.now

  /** All that the hosts of a cluster are told; secrets are opened here and live no longer than one operation. */
  async function shared(cluster: Cluster): Promise<Shared> {
    const profile = profiles.get(cluster.profile)
    if (!profile) throw new Error(`the profile ${cluster.profile} is not there`)
    const [found, keys] = await Promise.all([
      registries.findMany(cluster.tenantId, cluster.registries),
      pubkeys.findMany(cluster.tenantId, cluster.pubkeys)
    ])
    return {
      cluster,
      profile,
      files: (await profile.staged()).filter(({ option }) => !option || cluster.options[option]),
      download: isBringing(cluster.operation) ? await profile.fetched() : undefined,
      secrets: secretsOf(cluster, secrets),
      registries: found.map(({ id, address, secure, ca, username, sealedPassword, isSystem }) => ({
        address,
        secure,
        ca,
        username,
        password: sealedPassword === '' ? '' : secrets.open(sealedPassword, registryContext(id)),
        isSystem
      })),
      keys: keys.map(({ value }) => value),
      storeMegabytes: config.NATS_STORE_MB,
      version: config.K3S_VERSION ?? ''
    }
  }

  const runner = { secrets, settings: { connectMs: config.SSH_CONNECT_MS, lostMs: config.HOST_LOST_MS } }
  const engine = createEngine({
    store,
    leases: store.leases(randomUUID(), config.LEASE_MS),
    leaseMs: config.LEASE_MS,
    shared,
    runner,
    machines: (input) =>
      createMachines({
        ...input,
        open: () => openProvider({ providers, drivers }, input.cluster),
        settings: {
          withinMs: config.MACHINE_MS,
          pollMs: config.MACHINE_POLL_MS,
          from: config.MACHINE_ACCESS_FROM
        },
        now
      }),
    settle: createSettle({ logs, keys: pubkeys, registries, providers, notify }),
    begun: (cluster) => logs.put(entryOf(cluster)),
    now,
    log
  })
  const look = { shared, runner, now, log }
  const { wake } = engine
  const beginning = createBeginning({ store, wake, now })
  return {
    profiles,
    engine,
    markSweep: createMarkSweep({
      store,
      keys: pubkeys,
      registries,
      providers,
      everyMs: config.MARK_SWEEP_MS,
      now,
      log
    }),
    watch: createWatch({ ...look, store, everyMs: config.WATCH_MS }),
    look: (cluster: Cluster) => lookAt(look, cluster),
    kubeconfig: (cluster: Cluster, script: string) => readKubeconfig(look, cluster, script),
    clusters: createClusters({
      store,
      beginning,
      secrets,
      profiles,
      keys: pubkeys,
      registries,
      providers,
      newHosts: createNewHosts({ secrets, providers, drivers, keyBits: config.KEY_BITS, now }),
      wake,
      now
    }),
    operations: createOperations({ store, beginning, wake, now })
  }
}

export type ClusterParts = ReturnType<typeof createClusterParts>
