import { type CreatorsOf, oneOf, type Static, Type, type UserNames } from '@fleetgate/kit'
import { toTime } from '../linkerFields.js'
import { ownerGone, toOwner } from '../owners.js'
import { categories } from '../profiles/profile.js'
import { RegistryReply, toRegistryReply } from '../registries/linker.js'
import type { Registry } from '../registries/registry.js'
import { type Cluster, clusterStatuses, innerAddress, leaderOf, liveHosts } from './cluster.js'
import { optionReply, toOptionReply } from './optionFields.js'

export const ClusterReply = Type.Object({
  _id: Type.String(),
  name: Type.String(),
  owner: Type.String(),
  ...ownerGone,
  endPoint: Type.String(),
  instances: Type.Integer(),
  pubkeyId: Type.Array(Type.String()),
  providerId: Type.String(),
  details: Type.String(),
  status: oneOf(clusterStatuses),
  type: Type.String(),
  createCategory: oneOf(categories),
  /** Ours. */
  profile: Type.String(),
  ...optionReply,
  operationId: Type.String(),
  warning: Type.Optional(Type.String()),
  user_id: Type.String(),
  tenant_id: Type.String(),
  time_create: Type.String(),
  time_update: Type.String(),
  dockerRegistries: Type.Array(RegistryReply),
  setProjectvalue: Type.Object({ cmi: Type.Boolean() })
})

/** Clusters as this API tells them, with their registries and whether their owners are still there. */
export interface ShowClusters {
  /** Of one tenant; registries and owners are asked for once. */
  all(clusters: readonly Cluster[], tenantId: string): Promise<Static<typeof ClusterReply>[]>
  one(cluster: Cluster): Promise<Static<typeof ClusterReply>>
}

export interface ShowClustersDeps {
  /** Registries by their ids. */
  registriesOf: (tenantId: string, ids: readonly string[]) => Promise<Registry[]>
  creatorsOf: CreatorsOf
}

export function createShowClusters({ registriesOf, creatorsOf }: ShowClustersDeps): ShowClusters {
  async function all(clusters: readonly Cluster[], tenantId: string) {
    const registries = await registriesOf(tenantId, [...new Set(clusters.flatMap((one) => one.registries))])
    const owners = await creatorsOf(
      tenantId,
      [...clusters, ...registries].map(({ userId }) => userId)
    )
    return clusters.map((one) => toClusterReply(one, registries, owners))
  }

  return {
    all,
    async one(cluster) {
      const [shown] = await all([cluster], cluster.tenantId)
      return shown as Static<typeof ClusterReply>
    }
  }
}

function toClusterReply(
  cluster: Cluster,
  registries: readonly Registry[],
  owners: UserNames | undefined
): Static<typeof ClusterReply> {
  const leader = leaderOf(cluster)
  const isUp = cluster.status === 'RUNNING' || cluster.status === 'MODIFYING'
  return {
    _id: cluster.id,
    name: cluster.name,
    ...toOwner('owner', cluster, owners),
    endPoint: leader && isUp ? (cluster.options.apiAddress ?? innerAddress(leader)) : '',
    instances: liveHosts(cluster).length,
    pubkeyId: cluster.pubkeys,
    providerId: cluster.cloud?.providerId ?? '',
    details: cluster.operation.state === 'FAILED' ? cluster.operation.message : '',
    status: cluster.status,
    type: cluster.cloud?.type ?? 'customized',
    createCategory: cluster.category,
    profile: cluster.profile,
    ...toOptionReply(cluster.options),
    operationId: cluster.operation.id,
    user_id: cluster.userId,
    tenant_id: cluster.tenantId,
    time_create: toTime(cluster.createdAt),
    time_update: toTime(cluster.updatedAt),
    dockerRegistries: registries
      .filter(({ id }) => cluster.registries.includes(id))
      .map((one) => toRegistryReply(one, owners)),
    setProjectvalue: { cmi: false }
  }
}
