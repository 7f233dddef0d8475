import type { Cluster, Host } from '../clusters/cluster.js'
import { destruction } from '../machines/machinePlans.js'
import type { Profile } from '../profiles/profile.js'
import { askedOf, type PhasePlan, removal } from './operation.js'

/** What takes back what an operation began and is not to stay; the same whoever drives it meanwhile. */
export function undoingOf(cluster: Cluster, profile: Profile): PhasePlan[] {
  const { kind, outcome } = cluster.operation
  if (kind === 'create') return outcome ? cleaning(hostsOf(cluster, true), profile) : []
  if (kind === 'delete_hosts') return outcome ? uncordoning(cluster, profile) : []
  if (kind !== 'add_hosts') return []
  const hosts = hostsOf(cluster, outcome?.state === 'CANCELLED')
  return [...cleaning(hosts, profile), ...forgetting(hosts, cluster, profile)]
}

function hostsOf({ hosts, operation }: Cluster, isAll: boolean): Host[] {
  const going = operation.hosts.filter(({ state }) => isAll || state === 'FAILED')
  return hosts.filter(({ id }) => going.some(({ hostId }) => hostId === id))
}

function cleaning(hosts: Host[], profile: Profile): PhasePlan[] {
  const touched = hosts.filter(({ isTouched }) => isTouched)
  return [...removal(touched, profile), ...destruction(hosts)].map((plan) => ({
    ...plan,
    name: plan.name.replace('remove', 'undo').replace('destroy', 'undo-machines')
  }))
}

/** A node that the leader still knew would be refused when its host joins again under that name. */
function forgetting(gone: Host[], cluster: Cluster, { drainOn, timeouts }: Profile): PhasePlan[] {
  if (drainOn !== 'leader' || !hasBegun(cluster, 'install') || gone.length === 0) return []
  const run = { kind: 'run' as const, scripts: ['forget.sh'], timeoutS: timeouts.remove, last: true, gone }
  return [{ ...run, name: 'undo-forget', hosts: askedOf(cluster, gone) }]
}

/** What the leader drained and did not let go takes work again. */
function uncordoning(cluster: Cluster, { drainOn, timeouts }: Profile): PhasePlan[] {
  const going = hostsOf(cluster, true)
  const gone = going.filter(({ isTouched }) => isTouched)
  if (drainOn !== 'leader' || !hasBegun(cluster, 'drain') || gone.length === 0) return []
  const run = { kind: 'run' as const, scripts: ['uncordon.sh'], timeoutS: timeouts.remove, last: true, gone }
  return [{ ...run, name: 'undo-drain', hosts: askedOf(cluster, going) }]
}

function hasBegun({ operation }: Cluster, phase: string): boolean {
  return operation.phases.some(({ name }) => name.startsWith(phase))
}
