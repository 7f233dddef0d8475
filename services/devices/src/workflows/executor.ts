import { createHash } from 'node:crypto'
import { AppError } from '@fleetgate/kit'
import type { Plan, PlanNode } from './design.js'
import { type Journal, LostRun, PausedRun, type Trace } from './journal.js'
import { typeOf } from './nodes/index.js'
import type { NodeParts, NodeResult, Outcome } from './nodeType.js'
import { lookupIn, resolve } from './references.js'

export interface Execution {
  plan: Plan
  tenantId: string
  runId: string
  /** Of the entry node. */
  input: Outcome
  /** What an earlier process did of the run. */
  traces: Trace[]
  journal: Journal
  deadlineAt: number
}

export interface ExecutorOptions {
  parts: NodeParts
  nodeTimeoutMs: number
  now: () => number
}

export interface Result {
  status: 'SUCCESS' | 'ERROR'
  message?: string | undefined
  traces: Trace[]
  answer: Outcome
}

const maxOutputBytes = 128 * 1024
/** At four bytes each still below MongoDB's 16 MB. */
const maxRunCharacters = 3_500_000
const maxShownInput = 16 * 1024

export type Executor = ReturnType<typeof createExecutor>

/**
 * Runs the nodes of a plan one after another, each once, behind all that lead to it, where at least one edge to it was taken. The
 * first node that fails ends the run.
 */
export function createExecutor({ parts, nodeTimeoutMs, now }: ExecutorOptions) {
  async function runNode(node: PlanNode, execution: Execution, outputs: Map<string, Outcome>): Promise<Trace> {
    const type = typeOf(node)
    const startedAt = now()
    const parameters = type.raw ? node.parameters : resolve(node.parameters, lookupIn(outputs))
    const shown = type.group === 'entry' ? execution.input : parameters
    const about = { nodeId: node.id, label: node.type || node.component, name: node.name, startedAt }
    const input = JSON.stringify(withoutSecrets(shown)).slice(0, maxShownInput)
    let isBegun = false
    try {
      if (startedAt > execution.deadlineAt) throw new AppError('timeout', 'the run took too long')
      if (type.hasEffect) {
        await execution.journal.begin(node.id)
        isBegun = true
      }
      const within = Math.max(1, Math.min(nodeTimeoutMs, execution.deadlineAt - startedAt))
      const result = await limited(within, (signal) =>
        Promise.resolve(
          type.run(parameters, {
            ...parts,
            tenantId: execution.tenantId,
            messageId: `${execution.runId}.${createHash('sha256').update(node.id).digest('hex').slice(0, 32)}`,
            input: execution.input,
            outputs,
            signal,
            now
          })
        )
      )
      return { ...about, ...kept(result), status: 'SUCCESS', costMs: now() - startedAt, input }
    } catch (error) {
      // Where nothing was done yet, a part of ours that is away is no failure of the node: the run goes on later.
      if (error instanceof LostRun || (execution.journal.isTakenUp && !isBegun && isAway(error))) throw error
      return { ...about, status: 'ERROR', costMs: now() - startedAt, message: reasonOf(error), input }
    }
  }

  return {
    async run(execution: Execution): Promise<Result> {
      const { plan, journal } = execution
      const traces = [...execution.traces]
      const done = new Map(traces.map((trace) => [trace.nodeId, trace]))
      const outputs = new Map(traces.map((trace) => [trace.nodeId, parsed(trace.output)]))
      for (const node of plan.order) {
        if (done.has(node.id) || !isReached(node, plan, done)) continue
        if (journal.isPaused()) throw new PausedRun()
        const trace = bounded(await runNode(node, execution, outputs), traces)
        await journal.done(trace)
        traces.push(trace)
        done.set(node.id, trace)
        outputs.set(node.id, parsed(trace.output))
        if (trace.status === 'ERROR') break
      }
      const failure = traces.find(({ status }) => status === 'ERROR')
      const answers = traces.filter(({ isAnswer }) => isAnswer).map(({ output }) => parsed(output))
      const answer = Object.assign({}, ...answers) as Outcome
      const message = failure && `${failure.name}: ${failure.message}`
      return { status: failure ? 'ERROR' : 'SUCCESS', message, traces, answer }
    },

    /** One node alone; `outputs` stand for what others would have put out. */
    test: (node: PlanNode, execution: Omit<Execution, 'plan'>, outputs: Map<string, Outcome>) =>
      runNode(
        node,
        { ...execution, plan: { entry: node, order: [node], incoming: new Map(), byId: new Map() } },
        outputs
      )
  }
}

function isReached(node: PlanNode, { entry, incoming }: Plan, done: ReadonlyMap<string, Trace>): boolean {
  if (node.id === entry.id) return true
  return (incoming.get(node.id) ?? []).some(({ source, handle }) => {
    const before = done.get(source)
    return before?.status === 'SUCCESS' && (before.branch === undefined || before.branch === handle)
  })
}

function kept({ output, branch, isAnswer }: NodeResult): Pick<Trace, 'output' | 'branch' | 'isAnswer'> {
  const text = JSON.stringify(output)
  if (Buffer.byteLength(text) > maxOutputBytes) {
    throw new AppError('invalid_state', `the node puts out more than ${maxOutputBytes} bytes`)
  }
  return { output: text, branch, isAnswer }
}

/** A run is one document, which has a bound of its own. */
function bounded(trace: Trace, before: Trace[]): Trace {
  const bytes = [...before, trace].reduce((sum, { output = '', input }) => sum + output.length + input.length, 0)
  if (bytes <= maxRunCharacters) return trace
  const { output, branch, isAnswer, ...rest } = trace
  return {
    ...rest,
    status: 'ERROR',
    input: '',
    message: `the nodes of the run put out more than ${maxRunCharacters} characters`
  }
}

async function limited<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new AppError('timeout', `the node took longer than ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([work(abort.signal), late])
  } finally {
    clearTimeout(timer)
    abort.abort()
  }
}

function isAway(error: unknown): boolean {
  return error instanceof AppError && error.code === 'unavailable'
}

/** Only what was thrown on purpose is told. */
function reasonOf(error: unknown): string {
  return error instanceof AppError ? error.message.slice(0, 1000) : 'the node failed for an inner reason'
}

/** A secret that a design under test still has within does not go into a log. */
function withoutSecrets(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, own]) => [
      key,
      /secret|password|authorization/i.test(key) ? '***' : withoutSecrets(own)
    ])
  )
}

function parsed(text: string | undefined): Outcome {
  return text === undefined ? {} : (JSON.parse(text) as Outcome)
}
