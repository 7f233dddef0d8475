import type { Cluster, Host } from '../clusters/cluster.js'
import type { Profile } from '../profiles/profile.js'

export const operationKinds = [
  'create',
  'add_hosts',
  'delete_hosts',
  'delete',
  'pubkeys',
  'registries',
  'apply'
] as const
export type OperationKind = (typeof operationKinds)[number]
export const operationStates = ['RUNNING', 'SUCCESS', 'FAILED', 'CANCELLED'] as const
export type OperationState = (typeof operationStates)[number]
export const progressStates = ['WAITING', 'RUNNING', 'DONE', 'FAILED'] as const
export type ProgressState = (typeof progressStates)[number]

export interface PhaseProgress {
  name: string
  state: ProgressState
  startedAt?: number | undefined
  endedAt?: number | undefined
}

export interface HostProgress {
  hostId: string
  ip: string
  /** The last phase that began here. */
  phase: string
  state: ProgressState
  message: string
}

/** Something that is wrong, with the host where it is. */
export interface Problem {
  ip: string
  message: string
}

/** A durable change of a cluster. Whoever holds the lease drives it on from what stands here. */
export interface Operation {
  id: string
  kind: OperationKind
  state: OperationState
  /** Counts retries; part of the name of each run on a host. */
  attempt: number
  phases: PhaseProgress[]
  hosts: HostProgress[]
  problems: Problem[]
  /** How it will end once what it had begun is undone. */
  outcome?: { state: 'FAILED' | 'CANCELLED'; message: string } | undefined
  message: string
  cancelRequested: boolean
  /** For pubkeys and registries: those that no longer belong to the cluster when it is done. */
  released: string[]
  by: { userId: string; name: string }
  createdAt: number
  updatedAt: number
  endedAt?: number | undefined
}

/** What can be cancelled: what takes a host away is not half done. */
export const cancellable: ReadonlySet<OperationKind> = new Set([
  'create',
  'add_hosts',
  'apply',
  'pubkeys',
  'registries'
])

export interface PhasePlan {
  name: string
  scripts: string[]
  hosts: Host[]
  /** Hosts one after the other. */
  inTurn?: boolean
  timeoutS: number
  kind: 'preflight' | 'stage' | 'run'
  /** The last run of this operation on these hosts. */
  last?: boolean
}

const registriesTimeoutS = 120

/** What an operation does, in order; hosts of one phase are at work at the same time. */
export function planOf(cluster: Cluster, profile: Profile): PhasePlan[] {
  const { operation } = cluster
  const ids = new Set(operation.hosts.map(({ hostId }) => hostId))
  const targets = cluster.hosts.filter(({ id }) => ids.has(id))
  const { timeouts } = profile
  if (operation.kind === 'delete_hosts') return [drainPlan(cluster, profile, targets), ...removal(targets, profile)]
  if (operation.kind === 'delete') {
    return removal([...targets].sort(byRoleBackwards), profile)
  }
  if (operation.kind === 'pubkeys') {
    return [{ name: 'keys', kind: 'run', scripts: ['keys.sh'], hosts: targets, timeoutS: 60, last: true }]
  }
  if (operation.kind === 'registries') {
    const run = { kind: 'run' as const, scripts: ['registries.sh'], timeoutS: registriesTimeoutS, last: true }
    const isMaster = (host: Host) => host.role === 'master'
    return [
      { ...run, name: 'registries-masters', hosts: targets.filter(isMaster), inTurn: profile.restartMasters },
      { ...run, name: 'registries-others', hosts: targets.filter((host) => !isMaster(host)) }
    ].filter(({ hosts }) => hosts.length > 0)
  }
  const scripts = ['registries.sh', 'install.sh', 'keys.sh']
  const installs = wavesOf(cluster, profile, targets).map((hosts, index) => ({
    name: `install-${index + 1}`,
    kind: 'run' as const,
    scripts,
    hosts,
    timeoutS: timeouts.install
  }))
  return [
    { name: 'preflight', kind: 'preflight', scripts: ['preflight.sh'], hosts: targets, timeoutS: 60 },
    { name: 'stage', kind: 'stage', scripts: [], hosts: targets, timeoutS: timeouts.install },
    ...installs,
    { name: 'verify', kind: 'run', scripts: ['verify.sh'], hosts: targets, timeoutS: timeouts.verify, last: true }
  ]
}

function wavesOf(cluster: Cluster, profile: Profile, targets: Host[]): Host[][] {
  const leader = cluster.hosts.find(({ role }) => role === 'master')
  const taken = new Set<string>()
  const waves = profile.waves.map((wave) =>
    targets.filter((host) => {
      const is =
        !taken.has(host.id) && (wave.includes(host.role) || (wave.includes('leader') && host.id === leader?.id))
      if (is) taken.add(host.id)
      return is
    })
  )
  return waves.filter((wave) => wave.length > 0)
}

function drainPlan(cluster: Cluster, profile: Profile, targets: Host[]): PhasePlan {
  const leader = cluster.hosts.find(({ role, status }) => role === 'master' && status === 'RUNNING')
  const hosts = profile.drainOn === 'host' ? targets : leader ? [leader] : []
  return {
    name: 'drain',
    kind: 'run',
    scripts: ['drain.sh'],
    hosts,
    timeoutS: profile.timeouts.drain,
    last: profile.drainOn === 'leader'
  }
}

export function removal(targets: Host[], { timeouts }: Profile): PhasePlan[] {
  const run = { kind: 'run' as const, scripts: ['remove.sh', 'removed.sh'], timeoutS: timeouts.remove, last: true }
  const isMaster = (host: Host) => host.role === 'master'
  return [
    { ...run, name: 'remove-others', hosts: targets.filter((host) => !isMaster(host)) },
    { ...run, name: 'remove-masters', hosts: targets.filter(isMaster) }
  ].filter(({ hosts }) => hosts.length > 0)
}

function byRoleBackwards(a: Host, b: Host): number {
  return Number(a.role === 'master') - Number(b.role === 'master')
}

/** A new operation on hosts, its phases still to be planned by whoever drives it. */
export function newOperation(
  draft: Pick<Operation, 'id' | 'kind' | 'by'> & { hosts: Host[]; released?: string[] },
  at: number
): Operation {
  return {
    id: draft.id,
    kind: draft.kind,
    state: 'RUNNING',
    attempt: 1,
    phases: [],
    hosts: draft.hosts.map(({ id, ip }) => ({ hostId: id, ip, phase: '', state: 'WAITING', message: '' })),
    problems: [],
    message: '',
    cancelRequested: false,
    released: draft.released ?? [],
    by: draft.by,
    createdAt: at,
    updatedAt: at
  }
}
