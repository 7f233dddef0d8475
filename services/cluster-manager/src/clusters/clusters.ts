import { randomBytes } from 'node:crypto'
import { AppError, type Caller, currentOrigin, type Found, type Range } from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import { checkOwner, newHexId } from '../linkerFields.js'
import { newOperation } from '../operations/operation.js'
import { plain } from '../operations/progress.js'
import type { Category, Profile, Profiles, Role } from '../profiles/profile.js'
import type { Usage } from '../usage.js'
import type { Beginning, BeginningOptions } from './beginning.js'
import { carrying } from './carrying.js'
import { type Cluster, type Host, joinedHosts, liveHosts } from './cluster.js'
import { sealSecrets } from './clusterSecrets.js'
import type { ClusterFilter } from './clusterStore.js'
import type { CloudDraft, NewHosts } from './newHosts.js'
import {
  changeOptions,
  checkApiAddress,
  checkMadeMasters,
  isChoice,
  type OptionsDraft,
  withOptions
} from './options.js'
import { checkRemoval, checkRoom, type NodeDrafts } from './rules.js'

export interface ClusterDraft {
  name: string
  userId?: string | undefined
  profile: string
  category: Category
  counts: Partial<Record<Role, number | undefined>>
  nodes: NodeDrafts
  /** Where the hosts are to be made, by the counts. */
  cloud?: CloudDraft | undefined
  options: OptionsDraft
  pubkeys: string[]
  registries: string[]
}

/** Ids that a cluster is to carry from now on, or no longer. */
export interface MemberChange {
  add?: string[]
  remove?: string[]
}

export interface ClustersOptions extends BeginningOptions {
  beginning: Beginning
  secrets: Secrets
  profiles: Profiles
  keys: Usage
  registries: Usage
  providers: Usage
  newHosts: NewHosts
}

export type Clusters = ReturnType<typeof createClusters>

/** Clusters and what changes them. Each answers as soon as the change is on disk; the engine does the work. */
export function createClusters(options: ClustersOptions) {
  const { store, beginning, secrets, profiles, keys, registries, providers, newHosts, wake, now } = options
  const { get, running, begin } = beginning

  function profileOf(name: string): Profile {
    const profile = profiles.get(name)
    if (!profile)
      throw new AppError('invalid_input', `profile must be one of ${profiles.names.join(', ')}`, { field: 'profile' })
    return profile
  }

  async function newCluster(draft: ClusterDraft, profile: Profile, caller: Caller): Promise<Cluster> {
    const { tenantId, userId, email } = caller
    const at = now()
    const id = newHexId(at)
    const made = Object.fromEntries(profile.secrets.map((name) => [name, randomBytes(24).toString('base64url')]))
    const given = withOptions({ options: {}, secrets: made }, draft.options, profile)
    if (draft.cloud) checkMadeMasters(given.options)
    const { hosts, cloud } = await newHosts.first(draft, { id, at }, caller)
    checkRoom(hosts)
    checkApiAddress(given.options, hosts)
    const first = {
      id: newHexId(at),
      kind: 'create' as const,
      by: { userId, name: email },
      origin: currentOrigin(),
      hosts
    }
    return {
      id,
      tenantId,
      userId,
      owner: email,
      name: draft.name,
      profile: profile.name,
      category: draft.category,
      status: 'INSTALLING',
      cloud,
      hosts,
      pubkeys: [...new Set(draft.pubkeys)],
      registries: [...new Set(draft.registries)],
      sealedSecrets: sealSecrets(id, given.secrets, secrets),
      options: given.options,
      operation: newOperation(first, at),
      createdAt: at,
      updatedAt: at
    }
  }

  async function changeMembers(
    id: string,
    what: 'pubkeys' | 'registries',
    { add = [], remove = [] }: MemberChange,
    caller: Caller
  ): Promise<Cluster> {
    const cluster = await running(id, caller)
    const before = cluster[what]
    const foreign = remove.find((one) => !before.includes(one))
    if (foreign) throw new AppError('not_found', `of ids the cluster does not carry ${foreign}`, { field: 'ids' })
    const after = [...new Set([...before, ...add])].filter((one) => !remove.includes(one))
    const usage = what === 'pubkeys' ? keys : registries
    const change = { status: 'MODIFYING' as const, [what]: after }
    return carrying(caller.tenantId, id, [{ usage, field: 'ids', ids: add }], () =>
      begin(cluster, { kind: what, hosts: joinedHosts(cluster), change, released: remove }, caller)
    )
  }

  return {
    get,
    list: (filter: ClusterFilter, range: Range, caller: Caller): Promise<Found<Cluster>> =>
      store.list(caller.tenantId, filter, range),

    async create(draft: ClusterDraft, caller: Caller): Promise<Cluster> {
      checkOwner(draft.userId, caller)
      const profile = profileOf(draft.profile)
      const cluster = await newCluster(draft, profile, caller)
      const carried = [
        { usage: keys, field: 'pubkeyId', ids: cluster.pubkeys },
        { usage: registries, field: 'dockerRegistries', ids: cluster.registries },
        { usage: providers, field: 'providerId', ids: cluster.cloud ? [cluster.cloud.providerId] : [] }
      ]
      await carrying(cluster.tenantId, cluster.id, carried, () => store.insert(plain(cluster)))
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
      const hosts = leaving(cluster, going)
      return begin(cluster, { kind: 'delete', hosts: going, change: { status: 'TERMINATING', hosts } }, caller)
    },

    async addHosts(id: string, counts: ClusterDraft['counts'], nodes: NodeDrafts, caller: Caller): Promise<Cluster> {
      const cluster = await running(id, caller)
      const hosts = await newHosts.more(cluster, counts, nodes, caller)
      if (hosts.length === 0)
        throw new AppError('invalid_input', 'sharedNodes or pureslaveNodes is required', { field: 'sharedNodes' })
      const clash = liveHosts(cluster).find(({ ip }) => ip !== '' && hosts.some((host) => host.ip === ip))
      if (clash) {
        throw new AppError('conflict', `the address ${clash.ip} belongs to a host of this cluster already`, {
          field: 'ip',
          wireCode: 'E50019'
        })
      }
      checkApiAddress(cluster.options, hosts, 'ip')
      const change = { status: 'MODIFYING' as const, hosts: [...prune(cluster.hosts), ...hosts] }
      checkRoom(change.hosts)
      return begin(cluster, { kind: 'add_hosts', hosts, change }, caller)
    },

    async removeHosts(id: string, hostIds: string[], caller: Caller): Promise<Cluster> {
      const cluster = await running(id, caller)
      const going = checkRemoval(cluster, new Set(hostIds), profiles.get(cluster.profile))
      const hosts = leaving(cluster, going)
      return begin(cluster, { kind: 'delete_hosts', hosts: going, change: { status: 'MODIFYING', hosts } }, caller)
    },

    changePubkeys: (id: string, change: MemberChange, caller: Caller) => changeMembers(id, 'pubkeys', change, caller),
    changeRegistries: (id: string, change: MemberChange, caller: Caller) =>
      changeMembers(id, 'registries', change, caller),

    /** Brings every running host to what the cluster says, from now on with these options; changes nothing where it is that already. */
    async apply(id: string, draft: OptionsDraft, caller: Caller): Promise<Cluster> {
      const cluster = await running(id, caller)
      const hosts = joinedHosts(cluster)
      // The profile may be one that is no longer there, which says the operation.
      const chosen = isChoice(draft) ? changeOptions(cluster, draft, profileOf(cluster.profile), secrets) : {}
      const change = { status: 'MODIFYING' as const, ...chosen }
      return begin(cluster, { kind: 'apply', hosts, change }, caller)
    },

    /** Throws where the name is taken. */
    async validate(name: string, caller: Caller): Promise<void> {
      if (await store.isNameTaken(caller.tenantId, caller.userId, name)) {
        throw new AppError('conflict', 'you have a cluster of this name already', {
          field: 'clustername',
          wireCode: 'E50003'
        })
      }
    }
  }
}

function leaving(cluster: Cluster, going: readonly Host[]): Host[] {
  return cluster.hosts.map((host) => (going.includes(host) ? { ...host, status: 'TERMINATING' } : host))
}

const keptGone = 50

/** Of the hosts that are gone the newest stay to be seen. */
function prune(hosts: Host[]): Host[] {
  const gone = hosts.filter(({ status }) => status === 'TERMINATED')
  const dropped = new Set(gone.slice(0, Math.max(0, gone.length - keptGone)))
  return hosts.filter((host) => !dropped.has(host))
}
