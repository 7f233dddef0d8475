import type { Origin } from '@fleetgate/kit'
import { type Cluster, type Host, leaderOf, mastersOf } from '../clusters/cluster.js'
import { destruction, isMade, making } from '../machines/machinePlans.js'
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
  /** Who asked for the last attempt. */
  by: { userId: string; name: string }
  /** Of the request that began the last attempt: whoever drives it goes on under that. */
  origin?: Origin | undefined
  createdAt: number
  /** When the last attempt began; absent for the first, which begins as it is created. */
  againAt?: number | undefined
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

/** Whether it is at work and may bring programs to hosts. */
export function isBringing({ kind, state }: Operation): boolean {
  return state === 'RUNNING' && (kind === 'create' || kind === 'add_hosts' || kind === 'apply')
}

export interface PhasePlan {
  name: string
  scripts: string[]
  hosts: Host[]
  /** At so many hosts at the same time; else as many as one driver works at. */
  atOnce?: number
  /** Of the scripts; 0 where none runs. */
  timeoutS: number
  /** `order`, `boot` and `destroy` are about the machines that a provider makes. */
  kind: 'order' | 'boot' | 'preflight' | 'stage' | 'run' | 'destroy'
  /** The last run of this operation on these hosts. */
  last?: boolean
  /** Hosts that stay are at work, for these that go. */
  gone?: Host[]
  /** How the operation ends where this fails on hosts that are not its own. */
  must?: string
}

const registriesTimeoutS = 120
const fetchTimeoutS = 600

/** What an operation does, in order; hosts of one phase are at work at the same time. */
export function planOf(cluster: Cluster, profile: Profile): PhasePlan[] {
  const { operation } = cluster
  const ids = new Set(operation.hosts.map(({ hostId }) => hostId))
  const targets = cluster.hosts.filter(({ id }) => ids.has(id))
  const { timeouts, joinsAtOnce } = profile
  // At work already they may restart: more than one at a time, and they have no majority.
  const restartsAtOnce = profile.restartMasters ? 1 : joinsAtOnce
  if (operation.kind === 'delete_hosts') {
    const left = profile.drainOn === 'leader' ? targets.filter((host) => !isMaster(host)) : targets
    return [
      ...drainPlans(cluster, profile, targets),
      ...addons(cluster, profile, targets),
      ...removal(left, profile),
      ...destruction(targets)
    ]
  }
  if (operation.kind === 'delete') {
    return [...removal([...targets].sort(byRoleBackwards), profile), ...destruction(targets)]
  }
  if (operation.kind === 'pubkeys') {
    return [{ name: 'keys', kind: 'run', scripts: ['keys.sh'], hosts: targets, timeoutS: 60, last: true }]
  }
  if (operation.kind === 'registries') {
    const run = { kind: 'run' as const, scripts: ['registries.sh'], timeoutS: registriesTimeoutS, last: true }
    return [
      { ...run, name: 'registries-masters', hosts: targets.filter(isMaster), atOnce: restartsAtOnce },
      { ...run, name: 'registries-others', hosts: targets.filter((host) => !isMaster(host)), atOnce: joinsAtOnce }
    ].filter(({ hosts }) => hosts.length > 0)
  }
  const scripts = ['registries.sh', 'install.sh', 'keys.sh']
  const installs = wavesOf(cluster, profile, targets).map((hosts, index) => ({
    name: `install-${index + 1}`,
    kind: 'run' as const,
    scripts,
    hosts,
    atOnce: operation.kind === 'apply' && hosts.some(isMaster) ? restartsAtOnce : joinsAtOnce,
    timeoutS: timeouts.install
  }))
  return [
    ...(operation.kind === 'apply' ? [] : making(targets)),
    { name: 'preflight', kind: 'preflight', scripts: ['preflight.sh'], hosts: targets, timeoutS: 60 },
    {
      name: 'stage',
      kind: 'stage',
      scripts: profile.download ? ['fetch.sh'] : [],
      hosts: targets,
      timeoutS: fetchTimeoutS
    },
    ...installs,
    { name: 'verify', kind: 'run', scripts: ['verify.sh'], hosts: targets, timeoutS: timeouts.verify, last: true },
    ...addons(cluster, profile, [])
  ]
}

/** What is the cluster's and no host's, brought right by a master that stays. */
function addons(cluster: Cluster, { addons: script, timeouts }: Profile, going: readonly Host[]): PhasePlan[] {
  if (!script) return []
  const run = { kind: 'run' as const, scripts: [script], timeoutS: timeouts.verify, last: true }
  return [{ ...run, name: 'addons', hosts: askedOf(cluster, going) }]
}

function wavesOf(cluster: Cluster, profile: Profile, targets: Host[]): Host[][] {
  const leader = leaderOf(cluster)
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

function stayingOf(cluster: Cluster, going: readonly Host[]): Host[] {
  return mastersOf(cluster).filter((host) => !going.includes(host))
}

/** The master that is asked to drain and forget hosts that go. Done again after a while, some of those that stay may be away. */
export function askedOf(cluster: Cluster, going: readonly Host[]): Host[] {
  const staying = stayingOf(cluster, going)
  return [staying.find(({ status }) => status === 'RUNNING') ?? staying[0]].filter((host) => host !== undefined)
}

function drainPlans(cluster: Cluster, profile: Profile, targets: Host[]): PhasePlan[] {
  const { timeouts, drainOn } = profile
  const staying = stayingOf(cluster, targets)
  const leader = askedOf(cluster, targets)
  const masters = targets.filter(isMaster)
  const others = targets.filter((host) => !isMaster(host))
  const run = { kind: 'run' as const, gone: others }
  const drain = { ...run, name: 'drain', scripts: ['drain.sh'], timeoutS: timeouts.drain }
  const forget = { ...run, name: 'forget', scripts: ['forget.sh'], timeoutS: timeouts.remove, last: true }
  const first =
    drainOn === 'host'
      ? [{ ...drain, hosts: others }]
      : [
          { ...drain, hosts: leader },
          { ...forget, hosts: leader }
        ]
  return [
    ...(others.length > 0 ? first : []),
    ...masters.flatMap((_, index) => farewell(masters.slice(0, index + 1), { leader, staying }, profile))
  ]
}

/** The last of these masters goes: it ends, those that stay no longer count it, and have what it had before the next one goes. */
function farewell(
  gone: Host[],
  { leader, staying }: { leader: Host[]; staying: Host[] },
  { timeouts, drainOn }: Profile
): PhasePlan[] {
  const run = { kind: 'run' as const, gone }
  const must = { last: true, must: 'the masters that stay are not whole without those that go' }
  const at = `master-${gone.length}`
  const going = gone.slice(-1)
  const isByLeader = drainOn === 'leader'
  const drainAt = isByLeader ? leader : going
  return [
    { ...run, name: `drain-${at}`, scripts: ['drain.sh'], hosts: drainAt, timeoutS: timeouts.drain },
    { ...run, ...must, name: `forget-${at}`, scripts: ['forget.sh'], hosts: leader, timeoutS: timeouts.remove },
    // Forgotten and started once more it would join again: it goes at once, and what it may have done until then is forgotten too.
    ...(isByLeader ? [{ ...leave(timeouts), name: `remove-${at}`, hosts: going }] : []),
    {
      ...run,
      ...must,
      name: `settle-${at}`,
      scripts: isByLeader ? ['forget.sh', 'verify.sh'] : ['verify.sh'],
      hosts: staying,
      timeoutS: timeouts.verify
    }
  ]
}

function leave({ remove }: Profile['timeouts']) {
  return { kind: 'run' as const, scripts: ['remove.sh', 'removed.sh'], timeoutS: remove, last: true }
}

/** Takes the cluster off hosts that were given to us. */
export function removal(all: Host[], { timeouts }: Profile): PhasePlan[] {
  const targets = all.filter((host) => !isMade(host))
  const run = leave(timeouts)
  return [
    { ...run, name: 'remove-others', hosts: targets.filter((host) => !isMaster(host)) },
    { ...run, name: 'remove-masters', hosts: targets.filter(isMaster) }
  ].filter(({ hosts }) => hosts.length > 0)
}

function isMaster({ role }: Host): boolean {
  return role === 'master'
}

function byRoleBackwards(a: Host, b: Host): number {
  return Number(isMaster(a)) - Number(isMaster(b))
}

/** A new operation on hosts, its phases still to be planned by whoever drives it. */
export function newOperation(
  draft: Pick<Operation, 'id' | 'kind' | 'by' | 'origin'> & { hosts: Host[]; released?: string[] },
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
    origin: draft.origin,
    createdAt: at,
    updatedAt: at
  }
}
