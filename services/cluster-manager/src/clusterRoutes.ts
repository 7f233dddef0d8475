import type { CreatorsOf, Route } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import type { ClusterParts } from './clusterParts.js'
import { createShowClusters } from './clusters/clusterReply.js'
import { clusterRoutes, memberRoutes } from './clusters/linker.js'
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
  creatorsOf: CreatorsOf
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
  creatorsOf,
  ending
}: AllClusterRoutesDeps): Route[] {
  const { clusters, operations, profiles, look, kubeconfig } = parts
  const show = createShowClusters({ registriesOf: registryStore.findMany, creatorsOf })
  return [
    ...clusterRoutes({ clusters, show, defaultProfile }),
    ...memberRoutes(clusters),
    ...hostRoutes(clusters, show, creatorsOf),
    ...componentRoutes({ clusters, profiles, secrets, look, kubeconfig, creatorsOf }),
    ...operationRoutes(operations, ending),
    ...registryRoutes(registries, creatorsOf),
    ...logRoutes(logs)
  ]
}
