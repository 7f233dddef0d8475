import { AppError, type CreatorsOf, oneOf, type Route, route, type Static, Type } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { type Cluster, liveHosts } from '../clusters/cluster.js'
import { secretsOf } from '../clusters/clusterSecrets.js'
import type { Clusters } from '../clusters/clusters.js'
import { ById } from '../linkerFields.js'
import { ownerGone, toOwner } from '../owners.js'
import type { Profiles } from '../profiles/profile.js'
import type { HostLook } from './look.js'

const Components = Type.Object({
  userName: Type.String(),
  ...ownerGone,
  clusterName: Type.String(),
  clusterId: Type.String(),
  /** The document's type says `componentName`, its example `imageName`: both. */
  componentStatus: Type.Array(
    Type.Object({
      componentName: Type.String(),
      imageName: Type.String(),
      ip: Type.String(),
      status: oneOf(['Healthy', 'UnHealthy'])
    })
  )
})

const Access = Type.Object({
  username: Type.Optional(Type.String()),
  password: Type.Optional(Type.String()),
  /** YAML, as kubectl takes it. */
  kubeconfig: Type.Optional(Type.String()),
  /** What k3s wants as `--token` to restore a snapshot from S3; where there is such a place. */
  snapshotToken: Type.Optional(Type.String()),
  endpoints: Type.Array(Type.String())
})

export interface ComponentRoutesDeps {
  clusters: Clusters
  profiles: Profiles
  secrets: Secrets
  look: (cluster: Cluster) => Promise<HostLook[]>
  /** Asks a master with this script of the profile. */
  kubeconfig: (cluster: Cluster, script: string) => Promise<string>
  creatorsOf: CreatorsOf
}

export function componentRoutes(deps: ComponentRoutesDeps): Route[] {
  const { clusters, look, creatorsOf } = deps
  return [
    route({
      method: 'get',
      path: '/v1/cluster/:id/components',
      summary: 'How the parts of the cluster are, asked of every host now',
      needs: 'cluster.view',
      params: ById,
      reply: Components,
      handle: async ({ params, caller }) => {
        const cluster = await clusters.get(params.id, caller)
        if (cluster.status !== 'RUNNING' && cluster.status !== 'MODIFYING') {
          throw new AppError('invalid_state', `a cluster that is ${cluster.status} has no components`, {
            wireCode: 'E50020'
          })
        }
        const [looks, owners] = await Promise.all([look(cluster), creatorsOf(caller.tenantId, [cluster.userId])])
        return {
          ...toOwner('userName', cluster, owners),
          clusterName: cluster.name,
          clusterId: cluster.id,
          componentStatus: looks.flatMap(({ components }) =>
            components.map(({ name, ip, isHealthy }) => ({
              componentName: name,
              imageName: name,
              ip,
              status: isHealthy ? ('Healthy' as const) : ('UnHealthy' as const)
            }))
          )
        }
      }
    }),
    route({
      method: 'get',
      path: '/v1/cluster/:id/access',
      summary:
        'Where and with which password or kubeconfig programs reach the cluster (ours); for its owner and super admins',
      needs: 'cluster.edit',
      params: ById,
      reply: Access,
      handle: async ({ params, caller }) => {
        const cluster = await clusters.get(params.id, caller)
        if (cluster.userId !== caller.userId && !caller.isSuperAdmin) {
          throw new AppError('forbidden', 'the way into a cluster is its owner’s to give')
        }
        return accessTo(cluster, deps)
      }
    })
  ]
}

async function accessTo(
  cluster: Cluster,
  { profiles, secrets, kubeconfig }: ComponentRoutesDeps
): Promise<Static<typeof Access>> {
  const profile = profiles.get(cluster.profile)
  if (!profile) throw new AppError('not_found', `the profile ${cluster.profile} is no longer there`)
  const { access } = profile
  const { apiAddress, snapshots } = cluster.options
  const made = secretsOf(cluster, secrets)
  const hosts = liveHosts(cluster).filter(({ status }) => status === 'RUNNING')
  return {
    ...(access.username ? { username: access.username } : {}),
    ...(access.password ? { password: made[access.password] ?? '' } : {}),
    ...(access.kubeconfig ? { kubeconfig: await kubeconfig(cluster, access.kubeconfig) } : {}),
    ...(access.snapshotToken && snapshots?.s3 ? { snapshotToken: made[access.snapshotToken] ?? '' } : {}),
    endpoints: access.endpoints.flatMap(({ scheme, port, roles }) => {
      const found = hosts.filter((host) => roles.includes(host.role)).map(({ ip }) => ip)
      const all = apiAddress && roles.includes('master') ? [apiAddress, ...found] : found
      return all.map((address) => `${scheme}://${address}:${port}`)
    })
  }
}
