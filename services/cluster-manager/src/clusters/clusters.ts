import { randomBytes } from 'node:crypto'
import { AppError, type Caller, type Found, type Range } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { loginContext } from '../hosts/hostRunner.js'
import { checkOwner, newHexId } from '../linkerFields.js'
import {
  cancellable,
  newOperation,
  noSuchOperation,
  type Operation,
  type OperationKind
} from '../operations/operation.js'
import { plain } from '../operations/progress.js'
import type { Category, Profile, Profiles, Role } from '../profiles/profile.js'
import type { Usage } from '../usage.js'
import { type Cluster, type Host, liveHosts, noFigures } from './cluster.js'
import type { Change, ClusterFilter, ClusterStore } from './clusterStore.js'
import {
  checkAddresses,
  checkCounts,
  checkRemoval,
  checkSize,
  type NodeDraft,
  type NodeDrafts,
  readLogin
} from './rules.js'

export interface ClusterDraft {
  name: string
  userId?: string | undefined
  profile: string
  category: Category
  counts: Partial<Record<Role, number | undefined>>
  nodes: NodeDrafts
  pubkeys: string[]
  registries: string[]
}

export interface ClustersOptions {
  store: ClusterStore
  secrets: Secrets
  profiles: Profiles
  keys: Usage
  registries: Usage
  /** An operation has begun, or is to be cancelled. */
  wake: () => void
  now: () => number
}

export type Clusters = ReturnType<typeof createClusters>

export function secretsContext(clusterId: string): string {
  return `cluster:${clusterId}`
}

/** Clusters and the operations that change them. Each answers as soon as the change is on disk; the engine does the work. */
export function createClusters({ store, secrets, profiles, keys, registries, wake, now }: ClustersOptions) {
  async function get(id: string, caller: Caller): Promise<Cluster> {
    const found = await store.find(caller.tenantId, id)
    if (!found) throw new AppError('not_found', 'there is no such cluster')
    return found
  }

  async function running(id: string, caller: Caller): Promise<Cluster> {
    const cluster = await get(id, caller)
    if (cluster.status !== 'RUNNING') throw busy(cluster)
    return cluster
  }

  function profileOf(name: string): Profile {
    const profile = profiles.get(name)
    if (!profile)
      throw new AppError('invalid_input', `profile must be one of ${profiles.names.join(', ')}`, { field: 'profile' })
    return profile
  }

  async function begin(
    cluster: Cluster,
    kind: OperationKind,
    hosts: Host[],
    caller: Caller,
    change: Change,
    released: string[] = []
  ): Promise<Cluster> {
    const at = now()
    const by = { userId: caller.userId, name: caller.email }
    const operation = newOperation({ id: newHexId(at), kind, by, hosts, released }, at)
    if (!(await store.begin(plain(cluster), plain(operation), plain(change)))) throw busy(await get(cluster.id, caller))
    wake()
    return { ...cluster, ...change, operation, updatedAt: at }
  }

  function hostsOf(nodes: NodeDrafts, cluster: { name: string; owner: string }): Host[] {
    const at = now()
    return (['master', 'shared', 'pureslave'] as const).flatMap((role) =>
      nodes[role].map((node, index) => toHost(node, role, readLogin(node, `${role}Nodes.${index}`), cluster, at))
    )
  }

  function toHost(
    node: NodeDraft,
    role: Role,
    login: object,
    cluster: { name: string; owner: string },
    at: number
  ): Host {
    const id = newHexId(at)
    const { bastion } = node
    return {
      id,
      name: `h-${randomBytes(4).toString('hex')}-${label(cluster.name)}`,
      role,
      status: 'INSTALLING',
      ip: node.ip,
      privateIp: '',
      port: node.sshPort,
      user: node.sshUser,
      nic: node.privateNicName,
      bastion: bastion && { ip: bastion.ip, port: bastion.sshPort, user: bastion.sshUser },
      sealedLogin: secrets.seal(JSON.stringify(login), loginContext(id)),
      hostKey: node.hostKey,
      bastionKey: bastion?.hostKey,
      isTouched: false,
      figures: noFigures,
      createdAt: at,
      updatedAt: at
    }
  }

  /** Marks keys or registries as carried, before the cluster's own write; an unknown one is refused, without effect. */
  async function use(
    usage: Usage,
    field: string,
    tenantId: string,
    ids: string[],
    clusterId: string,
    kept: string[] = []
  ): Promise<void> {
    const missing = await usage.use(tenantId, ids, clusterId)
    if (missing.length === 0) return
    await usage.release(
      tenantId,
      ids.filter((id) => !kept.includes(id)),
      clusterId
    )
    throw new AppError('not_found', `there is no ${field} ${missing[0]}`, { field })
  }

  async function changeMembers(
    id: string,
    what: 'pubkeys' | 'registries',
    change: { add?: string[]; remove?: string[] },
    caller: Caller
  ): Promise<Cluster> {
    const cluster = await running(id, caller)
    const usage = what === 'pubkeys' ? keys : registries
    const before = cluster[what]
    const { add = [], remove = [] } = change
    const foreign = remove.find((one) => !before.includes(one))
    if (foreign) throw new AppError('not_found', `the cluster has no ${what} ${foreign}`, { field: 'ids' })
    await use(usage, 'ids', caller.tenantId, add, id, before)
    const after = [...new Set([...before, ...add])].filter((one) => !remove.includes(one))
    try {
      return await begin(cluster, what, liveHosts(cluster), caller, { status: 'MODIFYING', [what]: after }, remove)
    } catch (error) {
      await usage.release(
        caller.tenantId,
        add.filter((one) => !before.includes(one)),
        id
      )
      throw error
    }
  }

  return {
    get,
    list: (filter: ClusterFilter, range: Range, caller: Caller): Promise<Found<Cluster>> =>
      store.list(caller.tenantId, filter, range),

    async create(draft: ClusterDraft, caller: Caller): Promise<Cluster> {
      checkOwner(draft.userId, caller)
      const profile = profileOf(draft.profile)
      checkCounts(draft.counts, draft.nodes)
      checkSize(draft.category, draft.nodes)
      checkAddresses(draft.nodes)
      const at = now()
      const id = newHexId(at)
      const { tenantId, userId, email } = caller
      const hosts = hostsOf(draft.nodes, { name: draft.name, owner: email })
      const made = Object.fromEntries(profile.secrets.map((name) => [name, randomBytes(24).toString('base64url')]))
      const operation = newOperation({ id: newHexId(at), kind: 'create', by: { userId, name: email }, hosts }, at)
      const cluster: Cluster = {
        id,
        tenantId,
        userId,
        owner: email,
        name: draft.name,
        profile: profile.name,
        category: draft.category,
        status: 'INSTALLING',
        hosts,
        pubkeys: [...new Set(draft.pubkeys)],
        registries: [...new Set(draft.registries)],
        sealedSecrets: secrets.seal(JSON.stringify(made), secretsContext(id)),
        operation,
        createdAt: at,
        updatedAt: at
      }
      await use(keys, 'pubkeyId', tenantId, cluster.pubkeys, id)
      try {
        await use(registries, 'dockerRegistries', tenantId, cluster.registries, id)
        await store.insert(plain(cluster))
      } catch (error) {
        await keys.release(tenantId, cluster.pubkeys, id)
        await registries.release(tenantId, cluster.registries, id)
        throw error
      }
      wake()
      return cluster
    },

    /** From RUNNING or FAILED only; without a host that may have something on it there is nothing to do. */
    async remove(id: string, caller: Caller): Promise<Cluster> {
      const cluster = await get(id, caller)
      if (cluster.status !== 'RUNNING' && cluster.status !== 'FAILED') {
        throw new AppError('invalid_state', `a cluster that is ${cluster.status} cannot be deleted`, {
          wireCode: 'E50017'
        })
      }
      const going = liveHosts(cluster)
      const ids = new Set(going.map((host) => host.id))
      const hosts = cluster.hosts.map((host) => (ids.has(host.id) ? { ...host, status: 'TERMINATING' as const } : host))
      return begin(cluster, 'delete', going, caller, { status: 'TERMINATING', hosts })
    },

    async addHosts(id: string, counts: ClusterDraft['counts'], nodes: NodeDrafts, caller: Caller): Promise<Cluster> {
      const cluster = await running(id, caller)
      checkCounts(counts, nodes)
      checkAddresses(nodes)
      const hosts = hostsOf(nodes, cluster)
      if (hosts.length === 0)
        throw new AppError('invalid_input', 'sharedNodes or pureslaveNodes is required', { field: 'sharedNodes' })
      const clash = liveHosts(cluster).find(({ ip }) => hosts.some((host) => host.ip === ip))
      if (clash) {
        throw new AppError('conflict', `the address ${clash.ip} belongs to a host of this cluster already`, {
          field: 'ip',
          wireCode: 'E50019'
        })
      }
      return begin(cluster, 'add_hosts', hosts, caller, {
        status: 'MODIFYING',
        hosts: [...prune(cluster.hosts), ...hosts]
      })
    },

    async removeHosts(id: string, hostIds: string[], caller: Caller): Promise<Cluster> {
      const cluster = await running(id, caller)
      const ids = new Set(hostIds)
      const going = checkRemoval(cluster, ids)
      const hosts = cluster.hosts.map((host) => (ids.has(host.id) ? { ...host, status: 'TERMINATING' as const } : host))
      return begin(cluster, 'delete_hosts', going, caller, { status: 'MODIFYING', hosts })
    },

    changePubkeys: (id: string, change: { add?: string[]; remove?: string[] }, caller: Caller) =>
      changeMembers(id, 'pubkeys', change, caller),
    changeRegistries: (id: string, change: { add?: string[]; remove?: string[] }, caller: Caller) =>
      changeMembers(id, 'registries', change, caller),

    /** Brings every running host to what the cluster says; changes nothing where it is that already. */
    async apply(id: string, caller: Caller): Promise<Cluster> {
      const cluster = await running(id, caller)
      const hosts = liveHosts(cluster).filter(({ status }) => status !== 'FAILED')
      return begin(cluster, 'apply', hosts, caller, { status: 'MODIFYING' })
    },

    /** Throws where the name is taken. */
    async validate(name: string, caller: Caller): Promise<void> {
      if (await store.isNameTaken(caller.tenantId, caller.userId, name)) {
        throw new AppError('conflict', 'you have a cluster of this name already', {
          field: 'clustername',
          wireCode: 'E50003'
        })
      }
    },

    async operation(id: string, caller: Caller): Promise<{ cluster: Cluster; operation: Operation }> {
      const found = await store.findOperation(caller.tenantId, id)
      if (!found) throw noSuchOperation()
      return found
    },

    /** What it has begun is taken back. Not for what takes hosts away: that can only be finished. */
    async cancel(id: string, caller: Caller): Promise<Operation> {
      const found = await store.findOperation(caller.tenantId, id)
      if (!found) throw noSuchOperation()
      if (!cancellable.has(found.operation.kind)) {
        throw new AppError('invalid_state', `an operation of the kind ${found.operation.kind} cannot be cancelled`)
      }
      if (!(await store.requestCancel(caller.tenantId, id)))
        throw new AppError('invalid_state', 'this operation has ended')
      wake()
      return { ...found.operation, cancelRequested: true }
    },

    /** Does the last operation of a cluster again, where it failed or was cancelled, as a further attempt of the same one. */
    async retry(id: string, caller: Caller): Promise<Operation> {
      const found = await store.findOperation(caller.tenantId, id)
      if (!found) throw noSuchOperation()
      const { cluster, operation } = found
      if (cluster.operation.id !== id)
        throw new AppError('invalid_state', 'this is not the last operation of its cluster')
      if (operation.state !== 'FAILED' && operation.state !== 'CANCELLED') {
        throw new AppError('invalid_state', `an operation that is ${operation.state} is not done again`)
      }
      const again = againOf(operation, cluster.hosts, now())
      const change: Change = { status: statusDuring[operation.kind], hosts: reopened(cluster, again) }
      if (!(await store.begin(plain(cluster), plain(again), plain(change)))) throw busy(await get(cluster.id, caller))
      wake()
      return again
    }
  }
}

const statusDuring: Record<OperationKind, Cluster['status']> = {
  create: 'INSTALLING',
  add_hosts: 'MODIFYING',
  delete_hosts: 'MODIFYING',
  delete: 'TERMINATING',
  pubkeys: 'MODIFYING',
  registries: 'MODIFYING',
  apply: 'MODIFYING'
}

/** Only hosts that are still there, and of those that joined already none again. */
function againOf(operation: Operation, hosts: Host[], at: number): Operation {
  const isLive = (id: string) => hosts.some((host) => host.id === id && host.status !== 'TERMINATED')
  const isAll = operation.kind !== 'add_hosts'
  const again = operation.hosts.filter(
    ({ hostId, state }) => isLive(hostId) && (isAll || state === 'FAILED' || operation.outcome)
  )
  const { outcome: _outcome, endedAt: _endedAt, ...rest } = operation
  return {
    ...rest,
    state: 'RUNNING',
    attempt: operation.attempt + 1,
    phases: [],
    problems: [],
    message: '',
    cancelRequested: false,
    hosts: again.map((host) => ({ ...host, phase: '', state: 'WAITING', message: '' })),
    updatedAt: at
  }
}

function reopened(cluster: Cluster, { kind, hosts }: Operation): Host[] {
  const ids = new Set(hosts.map(({ hostId }) => hostId))
  const status =
    kind === 'create' || kind === 'add_hosts'
      ? 'INSTALLING'
      : kind === 'delete' || kind === 'delete_hosts'
        ? 'TERMINATING'
        : undefined
  return cluster.hosts.map((host) => (status && ids.has(host.id) ? { ...host, status } : host))
}

const keptGone = 50

/** Of the hosts that are gone the newest stay to be seen. */
function prune(hosts: Host[]): Host[] {
  const gone = hosts.filter(({ status }) => status === 'TERMINATED')
  const dropped = new Set(gone.slice(0, Math.max(0, gone.length - keptGone)))
  return hosts.filter((host) => !dropped.has(host))
}

function busy({ status }: Cluster): AppError {
  return new AppError('invalid_state', `the cluster is ${status}: this needs one that is RUNNING`, {
    wireCode: 'E50016'
  })
}

/** A part of a host name. */
function label(name: string): string {
  return (
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '') || 'cluster'
  )
}
