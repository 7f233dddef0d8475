import {
  AppError,
  type CreatorsOf,
  linkerPaging,
  linkerRange,
  oneOf,
  type Route,
  route,
  type Static,
  Type,
  toLinkerPage
} from '@fleetgate/kit'
import { type Cluster, type Host, type HostStatus, hostStatuses } from '../clusters/cluster.js'
import { ClusterReply, type ShowClusters } from '../clusters/clusterReply.js'
import type { Clusters } from '../clusters/clusters.js'
import { RegistryRefs } from '../clusters/linker.js'
import { Count, countCodes, Nodes, toNode } from '../clusters/nodeFields.js'
import { ById, HexId, sortOf, toTime } from '../linkerFields.js'
import { ownerGone, toOwnerGone } from '../owners.js'

const Draft = Type.Object({
  sharedCount: Count,
  pureslaveCount: Count,
  sharedNodes: Nodes,
  pureslaveNodes: Nodes,
  /** Taken and not used: nodes are hosts that are there, counts without nodes ask the cluster's provider for machines. */
  addMode: Type.Optional(Type.String({ maxLength: 32 })),
  /** Registries are given to a cluster as a whole; those that it has count for new hosts. */
  dockerRegistries: RegistryRefs
})

const statusWords = [...hostStatuses, 'unterminated', 'runandoffline', 'sharedserver'] as const
const fields = {
  time_create: 'createdAt',
  time_update: 'updatedAt',
  ip: 'ip',
  hostName: 'name',
  status: 'status'
} as const
const sorts = Object.keys(fields).flatMap((name) => [name, `-${name}`])
const Search = Type.Object({
  ...linkerPaging,
  status: Type.Optional(oneOf(statusWords)),
  tag: Type.Optional(Type.String({ maxLength: 64 })),
  sort: Type.Optional(oneOf(sorts))
})

const shared = {
  hostName: Type.String(),
  clusterId: Type.String(),
  clusterName: Type.String(),
  status: oneOf(hostStatuses),
  ip: Type.String(),
  privateIp: Type.String(),
  isMasterNode: Type.Boolean(),
  isSlaveNode: Type.Boolean(),
  isSharedNode: Type.Boolean(),
  isFullfilled: Type.Boolean(),
  isClientNode: Type.Boolean(),
  user_id: Type.String(),
  ...ownerGone,
  tenant_id: Type.String(),
  type: Type.String(),
  time_create: Type.String(),
  time_update: Type.String(),
  /** Ours: why it is FAILED or OFFLINE, and the pinned key. */
  message: Type.String(),
  hostKey: Type.String()
}
const Listed = Type.Object({
  ...shared,
  hostId: Type.String(),
  task: Type.Integer(),
  cpu: Type.String(),
  memory: Type.String(),
  gpu: Type.String(),
  tag: Type.Union([Type.Array(Type.String()), Type.Null()]),
  pubkeyName: Type.String()
})
const Single = Type.Object({ ...shared, _id: Type.String(), isMonitorServer: Type.Boolean(), sshUser: Type.String() })
const base = '/v1/cluster/:id/hosts'

export function hostRoutes(clusters: Clusters, show: ShowClusters, creatorsOf: CreatorsOf): Route[] {
  const ownerOf = async ({ tenantId, userId }: Cluster) => toOwnerGone(userId, await creatorsOf(tenantId, [userId]))
  return [
    route({
      method: 'post',
      path: base,
      summary: 'Add hosts to a running cluster',
      needs: 'cluster.edit',
      params: ById,
      body: Draft,
      fieldCodes: countCodes,
      bodyLimit: 8_000_000,
      reply: ClusterReply,
      handle: async ({ params, body, caller }) => {
        const nodes = { master: [], shared: body.sharedNodes.map(toNode), pureslave: body.pureslaveNodes.map(toNode) }
        const counts = { shared: body.sharedCount, pureslave: body.pureslaveCount }
        return show.one(await clusters.addHosts(params.id, counts, nodes, caller))
      }
    }),
    route({
      method: 'delete',
      path: base,
      summary: 'Drain hosts and take the cluster off them',
      needs: 'cluster.edit',
      params: ById,
      body: Type.Object({ host_ids: Type.Array(HexId, { minItems: 1, maxItems: 200 }) }),
      reply: Type.Array(Type.Never()),
      handle: async ({ params, body, caller }) => {
        await clusters.removeHosts(params.id, body.host_ids, caller)
        return []
      }
    }),
    route({
      method: 'get',
      path: base,
      summary: 'List the hosts of a cluster',
      needs: 'cluster.view',
      params: ById,
      query: Search,
      reply: Type.Array(Listed),
      handle: async ({ params, query, caller }) => {
        const cluster = await clusters.get(params.id, caller)
        const found = search(cluster.hosts, query)
        const { offset, limit } = linkerRange(query)
        const owner = await ownerOf(cluster)
        const items = found.slice(offset, offset + limit).map((host) => ({ ...toListed(cluster, host), ...owner }))
        return toLinkerPage(query, { items, total: found.length })
      }
    }),
    route({
      method: 'get',
      path: `${base}/:host_id`,
      summary: 'Read one host',
      needs: 'cluster.view',
      params: Type.Object({ id: HexId, host_id: HexId }),
      reply: Single,
      handle: async ({ params, caller }) => {
        const cluster = await clusters.get(params.id, caller)
        const host = cluster.hosts.find(({ id }) => id === params.host_id)
        if (!host) throw new AppError('not_found', 'the cluster has no such host', { wireCode: 'E50104' })
        const owner = await ownerOf(cluster)
        return { _id: host.id, ...toShared(cluster, host), ...owner, isMonitorServer: false, sshUser: host.user }
      }
    })
  ]
}

/** A cluster's hosts are part of its document: at most some hundreds. */
function search(hosts: readonly Host[], { status, tag, sort = 'time_create' }: Static<typeof Search>): Host[] {
  const { field, direction } = sortOf(fields, sort)
  const found = hosts.filter((host) => isOf(host, status) && (tag === undefined || tagsOf(host)?.includes(tag)))
  return found.sort((a, b) => direction * (a[field] < b[field] ? -1 : a[field] > b[field] ? 1 : 0))
}

function isOf({ status, role }: Host, word: (typeof statusWords)[number] | undefined): boolean {
  if (word === undefined) return true
  if (word === 'unterminated') return status !== 'TERMINATED'
  if (word === 'runandoffline') return status === 'RUNNING' || status === 'OFFLINE'
  if (word === 'sharedserver') return role === 'shared' && status !== 'TERMINATED'
  return status === (word satisfies HostStatus)
}

/** A master has none; the document shows null there. */
function tagsOf({ role }: Host): string[] | null {
  if (role === 'master') return null
  return role === 'shared' ? ['lb=enable', 'public_ip=true'] : []
}

function toListed(cluster: Cluster, host: Host): Static<typeof Listed> {
  return { hostId: host.id, ...toShared(cluster, host), ...host.figures, tag: tagsOf(host), pubkeyName: '' }
}

function toShared(cluster: Cluster, host: Host) {
  const isMaster = host.role === 'master'
  return {
    hostName: host.name,
    clusterId: cluster.id,
    clusterName: cluster.name,
    status: host.status,
    ip: host.ip,
    privateIp: host.privateIp || host.ip,
    isMasterNode: isMaster,
    isSlaveNode: !isMaster,
    isSharedNode: host.role === 'shared',
    isFullfilled: host.status === 'RUNNING' || host.status === 'OFFLINE',
    isClientNode: isMaster,
    user_id: cluster.userId,
    tenant_id: cluster.tenantId,
    type: host.machine && cluster.cloud ? cluster.cloud.type : 'customized',
    time_create: toTime(host.createdAt),
    time_update: toTime(host.updatedAt),
    message: host.message ?? '',
    hostKey: host.hostKey ?? ''
  }
}
