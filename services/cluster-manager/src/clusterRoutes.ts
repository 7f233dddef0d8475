import type { Route } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import type { ClusterParts } from './clusterParts.js'
import type { Cluster } from './clusters/cluster.js'
import { clusterRoutes, memberRoutes, toClusterReply } from './clusters/linker.js'
import { componentRoutes } from './components/linker.js'
import { hostRoutes } from './hosts/linker.js'
import { logRoutes } from './logs/linker.js'
import type { Logs } from './logs/log.js'
import { operationRoutes } from './operations/linker.js'
import { registryRoutes } from './registries/linker.js'
import type { Registries } from './registries/registry.js'
import type { RegistryStore } from './registries/registryStore.js'

export interface AllClusterRoutesDeps {
  parts: ClusterParts
  registries: Registries
  registryStore: RegistryStore
  logs: Logs
  secrets: Secrets
  defaultProfile: string
  /** Aborted where this process is told to end. */
  ending: AbortSignal
}

/** Everything about clusters that this service answers. */
export function allClusterRoutes({
  parts,
  registries,
  registryStore,
  logs,
  secrets,
  defaultProfile,
  ending
}: AllClusterRoutesDeps): Route[] {
  const { clusters, operations, profiles, look, kubeconfig } = parts
  const registriesOf = registryStore.findMany
  const toReply = async (cluster: Cluster) =>
    toClusterReply(cluster, await registriesOf(cluster.tenantId, cluster.registries))
  return [
    ...clusterRoutes({ clusters, registriesOf, defaultProfile }),
    ...memberRoutes(clusters),
    ...hostRoutes(clusters, toReply),
    ...componentRoutes({ clusters, profiles, secrets, look, kubeconfig }),
    ...operationRoutes(operations, ending),
    ...registryRoutes(registries),
    ...logRoutes(logs)
  ]
}
