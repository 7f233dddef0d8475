import { AppError } from '@fleetgate/kit'
import type { Plan } from './design.js'
import { refusal, short } from './design.js'
import { problemOf, typeOf } from './nodes/index.js'
import type { EntityUse } from './nodeType.js'
import { referencesIn } from './references.js'

/** What makes a design unfit to run. */
export interface Problem {
  nodeId: string
  nodeName: string
  field: string
  reason: string
  /** Key of an entity or id of a credential that is not there. */
  missing?: string
  /** Key of an entity that is there, but not for whoever asks. */
  isForbidden?: boolean
}

export interface Known {
  /** Those of the keys that exist; `reached` those that the caller may see. */
  entities(keys: string[]): Promise<{ existing: ReadonlySet<string>; reached: ReadonlySet<string> }>
  /** Those that exist; `reached` where the caller may see the workflow that keeps it, or all may see it. */
  credentials(ids: string[]): Promise<ReadonlyMap<string, { isListed: boolean; isReached: boolean }>>
}

const maxProblems = 50

/** Parameters, references and what they refer to, node by node. */
export async function problemsOf(plan: Plan, known: Known): Promise<Problem[]> {
  const problems: Problem[] = []
  const uses: (EntityUse & { nodeId: string; nodeName: string })[] = []
  const credentials: { nodeId: string; nodeName: string; field: string; id: string; listed: boolean }[] = []
  for (const { id: nodeId, name: nodeName, component, parameters } of plan.order) {
    const about = { nodeId, nodeName }
    const reason = problemOf(component, parameters)
    if (reason !== undefined) problems.push({ ...about, field: reason.split(' ')[0] ?? '', reason })
    else {
      const type = typeOf({ component })
      uses.push(...(type.uses?.(parameters) ?? []).map((use) => ({ ...about, ...use })))
      credentials.push(...[type.credential?.(parameters) ?? []].flat().map((use) => ({ ...about, ...use })))
    }
    for (const reference of referencesIn(parameters)) {
      if (plan.byId.has(reference.nodeId)) continue
      const wrong = `refers to node ${short(reference.nodeId)}, which is not there`
      problems.push({ ...about, field: reference.nodeId, reason: wrong })
    }
  }
  const { existing, reached } = await known.entities([...new Set(uses.map(({ key }) => key))])
  for (const { key, ...about } of uses) {
    if (!existing.has(key)) problems.push({ ...about, reason: `names no entity: ${short(key)}`, missing: key })
    else if (!reached.has(key)) problems.push({ ...about, reason: `names no entity: ${short(key)}`, isForbidden: true })
  }
  const there = await known.credentials(credentials.map(({ id }) => id))
  for (const { id, listed, ...about } of credentials) {
    const found = there.get(id)
    const reason = 'names no credential of the type HTTP'
    if (found && !found.isReached) problems.push({ ...about, reason, isForbidden: true })
    else if (!found || (listed && !found.isListed)) problems.push({ ...about, reason, missing: id })
  }
  return problems.slice(0, maxProblems)
}

/** Throws what validating and enabling answer where a design cannot be run. */
export function refuseProblems(problems: Problem[], plan: Plan): void {
  const [first] = problems
  if (first) throw refusal(`node ${short(first.nodeId)} (${first.nodeName.slice(0, 60)}): ${first.reason}`)
  if (plan.order.length < 2) throw refusal('a workflow needs two nodes at least')
}

/** A workflow acts with the product's own rights, so nobody may write into it what is out of their reach. */
export function refuseForbidden(problems: Problem[]): void {
  const first = problems.find(({ isForbidden }) => isForbidden)
  if (first)
    throw new AppError('invalid_input', `node ${short(first.nodeId)}: ${first.reason}`, { field: 'design_data' })
}
