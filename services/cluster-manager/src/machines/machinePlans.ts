import type { Host } from '../clusters/cluster.js'
import type { PhasePlan } from '../operations/operation.js'

export function isMade({ machine }: Host): boolean {
  return machine !== undefined
}

/** Machines first: what they are to be stands in the document already. */
export function making(targets: readonly Host[]): PhasePlan[] {
  const hosts = targets.filter(isMade)
  const plan = { scripts: [], hosts, timeoutS: 0 }
  if (hosts.length === 0) return []
  return [
    { ...plan, name: 'machines', kind: 'order' },
    { ...plan, name: 'boot', kind: 'boot' }
  ]
}

/** Machines that we made go as they are, with whatever is on them. */
export function destruction(targets: readonly Host[]): PhasePlan[] {
  const hosts = targets.filter(isMade)
  return hosts.length === 0 ? [] : [{ name: 'destroy', kind: 'destroy', scripts: [], hosts, timeoutS: 0 }]
}

export function isAtCloud({ kind }: PhasePlan): boolean {
  return kind === 'order' || kind === 'boot' || kind === 'destroy'
}
