import { AppError, type Caller, compile, newNumericId, recordOf, type Static, Type } from '@fleetgate/kit'
import { type Known, problemsOf, refuseForbidden } from './checks.js'
import { type PlanNode, parse } from './design.js'
import type { Executor, Result } from './executor.js'
import { withDepth } from './hooks.js'
import type { Trace } from './journal.js'
import { kinds, nodeTypes } from './nodes/index.js'
import type { NodeType, Outcome } from './nodeType.js'
import { referencesIn } from './references.js'
import type { Workflows } from './workflows.js'

const NodeConfig = Type.Object({
  id: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  type: Type.Optional(Type.String({ maxLength: 64 })),
  componentName: Type.String({ minLength: 1, maxLength: 64 }),
  data: Type.Optional(
    Type.Object({
      nodeName: Type.Optional(Type.String({ maxLength: 200 })),
      parameters: Type.Optional(recordOf(Type.Unknown()))
    })
  )
})
const check = compile(NodeConfig)

export interface TrialsOptions {
  workflows: Pick<Workflows, 'check'>
  executor: Executor
  knownOf: (caller: Caller) => Known
  /** Trials at the same time in this process. */
  atOnce: number
  timeoutMs: number
  now: () => number
}

export type Trials = ReturnType<typeof createTrials>

/** Nothing is kept of a trial, so it needs no lease: it ends with the request. */
export function createTrials({ workflows, executor, knownOf, atOnce, timeoutMs, now }: TrialsOptions) {
  let running = 0
  const journal = { begin: async () => {}, done: async () => {}, isPaused: () => false, isTakenUp: false }

  async function bounded<T>(work: () => Promise<T>): Promise<T> {
    if (running >= atOnce) throw new AppError('rate_limited', `${atOnce} trials are running, try again later`)
    running += 1
    try {
      // Whatever a trial starts was started by a run.
      return await withDepth(1, work)
    } finally {
      running -= 1
    }
  }

  function typeNamed(name: string): NodeType {
    const found = nodeTypes.find(({ component }) => component === name)
    if (!found) throw new AppError('not_found', `there is no component ${name.slice(0, 64)}`)
    return found
  }

  return {
    typeNamed,

    async design(text: string, input: Outcome, caller: Caller) {
      const plan = await workflows.check(text, caller)
      const id = newNumericId(now())
      const startedAt = now()
      const about = { tenantId: caller.tenantId, runId: id, traces: [], journal, deadlineAt: startedAt + timeoutMs }
      const result: Result = await bounded(() => executor.run({ ...about, plan, input }))
      return { id, result, startedAt, costMs: now() - startedAt }
    },

    async node(text: string, input: Outcome, caller: Caller): Promise<{ id: string; trace: Trace }> {
      const node = nodeOf(text)
      const plan = { entry: node, order: [node], incoming: new Map(), byId: new Map([[node.id, node]]) }
      const problems = await problemsOf(plan, knownOf(caller))
      refuseForbidden(problems)
      const wrong = problems.find(({ reason }) => !reason.startsWith('refers to node'))
      if (wrong) throw new AppError('invalid_input', `node_config: ${wrong.reason}`, { field: 'node_config' })
      const id = newNumericId(now())
      const about = { tenantId: caller.tenantId, runId: id, traces: [], journal, deadlineAt: now() + timeoutMs }
      return { id, trace: await bounded(() => executor.test(node, { ...about, input }, standIns(node, input))) }
    }
  }
}

function nodeOf(text: string): PlanNode {
  const { id = 'node', type = '', componentName: component, data } = checked(parse(text))
  if (!kinds.isKnown(component)) {
    throw new AppError('invalid_input', `node_config: type ${component} is not known`, { field: 'node_config' })
  }
  return { id, component, type, name: data?.nodeName ?? component, parameters: data?.parameters ?? {} }
}

function checked(value: unknown): Static<typeof NodeConfig> {
  try {
    return check(value)
  } catch (error) {
    throw new AppError('invalid_input', `node_config: ${(error as Error).message}`, { field: 'node_config' })
  }
}

/** A reference finds its value under its whole text, under the node's id, or under its key alone. */
function standIns({ parameters }: PlanNode, input: Outcome): Map<string, Outcome> {
  const outputs = new Map<string, Outcome>()
  for (const { nodeId, key } of referencesIn(parameters)) {
    const names = [`#{properties.${nodeId}['${key}']}`, `properties.${nodeId}['${key}']`, `${nodeId}.${key}`, key]
    const name = names.find((one) => Object.hasOwn(input, one))
    if (name !== undefined) outputs.set(nodeId, { ...outputs.get(nodeId), [key]: input[name] })
  }
  return outputs
}
