import { EventEmitter } from 'node:events'
import { AppError, continueOrigin, detached, type Log, withOrigin } from '@fleetgate/kit'
import { planOf } from './design.js'
import type { Executor, Result } from './executor.js'
import { withDepth } from './hooks.js'
import { LostRun, PausedRun, type Trace } from './journal.js'
import { kinds } from './nodes/index.js'
import type { Outcome } from './nodeType.js'
import type { Run } from './runDoc.js'
import type { RunStore } from './runStore.js'
import type { WorkflowStore } from './workflowStore.js'

export interface EngineOptions {
  runs: RunStore
  workflows: WorkflowStore
  executor: Executor
  log: Log
  now: () => number
  /** Runs of one tenant at the same time, over all replicas. */
  places: number
  runTimeoutMs: number
  leaseMs: number
  /** Between two looks for what waits; new runs of this process are looked for at once. */
  pollMs: number
}

export type Engine = ReturnType<typeof createEngine>

const maxAtOnce = 50
const askEveryMs = 200

/** Drives runs: claims what waits, takes over what a dead process left, and keeps each step before the next one. */
export function createEngine(options: EngineOptions) {
  const { runs, workflows, executor, log, now, places, runTimeoutMs, leaseMs, pollMs } = options
  const working = new Map<string, Promise<void>>()
  const ends = new EventEmitter().setMaxListeners(0)
  let isStopped = false
  let looking: Promise<void> | undefined
  let lookAgain = false

  async function drive(run: Run): Promise<Result> {
    const lost = interrupted(run)
    if (lost) {
      await runs.addTrace(run, lost)
      return { status: 'ERROR', message: `${lost.name}: ${lost.message}`, traces: [...run.traces, lost], answer: {} }
    }
    const design = await workflows.designOf(run.tenantId, run.workflowId, run.version)
    if (design === undefined) return { status: 'ERROR', message: 'the workflow is gone', traces: [], answer: {} }
    return executor.run({
      plan: planOf(design, kinds),
      tenantId: run.tenantId,
      runId: run.id,
      input: JSON.parse(run.input) as Outcome,
      traces: run.traces,
      deadlineAt: (run.startedAt ?? now()) + runTimeoutMs,
      journal: {
        begin: (nodeId) => runs.begin(run, nodeId),
        done: (trace) => runs.addTrace(run, trace),
        isPaused: () => isStopped,
        isTakenUp: true
      }
    })
  }

  async function work(run: Run): Promise<void> {
    try {
      const result = await withDepth(run.depth, () => drive(run)).catch((err) => failed(run, err))
      if (result === 'paused') return await runs.giveBack(run)
      await runs.finish(run, result.status, result.message)
      log.debug({ runId: run.id, workflowId: run.workflowId, status: result.status }, 'workflow ran')
    } catch (err) {
      if (err instanceof LostRun) log.warn({ runId: run.id }, 'a run was taken over by another process')
      // Its lease ends, and then it is taken over.
      else log.warn({ err, runId: run.id }, 'a run could not be kept, it goes on later')
    } finally {
      ends.emit(run.id)
    }
  }

  function failed(run: Run, err: unknown): Result | 'paused' {
    if (err instanceof PausedRun) return 'paused'
    if (err instanceof LostRun || (err instanceof AppError && err.code === 'unavailable')) throw err
    log.error({ err, runId: run.id }, 'a run failed for an inner reason')
    const message = err instanceof AppError ? err.message : 'the run failed for an inner reason'
    return { status: 'ERROR', message, traces: run.traces, answer: {} }
  }

  function take(run: Run): void {
    const promise = withOrigin(continueOrigin(run.origin ?? {}), () => work(run)).finally(() => {
      // A process that was frozen may have taken its own run over meanwhile.
      if (working.get(run.id) === promise) working.delete(run.id)
      wake()
    })
    working.set(run.id, promise)
  }

  async function look(): Promise<void> {
    while (working.size < maxAtOnce && !isStopped) {
      const run = await runs.takeOver()
      if (!run) break
      take(run)
    }
    for (const tenantId of await runs.waitingTenants()) {
      while (working.size < maxAtOnce && !isStopped) {
        const run = await runs.claimNext(tenantId, places)
        if (!run) break
        take(run)
      }
    }
  }

  function wake(): void {
    if (isStopped) return
    lookAgain = true
    looking ??= detached(async () => {
      while (lookAgain && !isStopped) {
        lookAgain = false
        await look().catch((err) => log.warn({ err }, 'waiting runs not looked for, trying again'))
      }
    }).finally(() => {
      looking = undefined
    })
  }

  const poll = setInterval(wake, pollMs)
  const renew = setInterval(() => {
    const ids = [...working.keys()]
    if (ids.length > 0) runs.renew(ids).catch((err) => log.warn({ err }, 'leases of runs not renewed'))
  }, leaseMs / 3)

  return {
    wake,

    /** Runs one at once, beside the places of its tenant: another run waits for it. */
    async runNow(id: string): Promise<void> {
      const run = await runs.claimNow(id)
      if (run) take(run)
    },

    /** Waits for the end of a run, wherever it runs. Answers nothing where it takes longer. */
    async waitFor(tenantId: string, id: string, withinMs: number): Promise<Run | undefined> {
      const deadline = now() + withinMs
      while (!isStopped && now() < deadline) {
        const run = await runs.find(tenantId, id)
        if (run?.finishedAt !== undefined) return run
        await new Promise<void>((resolve) => {
          const timer = setTimeout(done, askEveryMs)
          function done(): void {
            clearTimeout(timer)
            ends.off(id, done)
            resolve()
          }
          ends.on(id, done)
        })
      }
      return undefined
    },

    /** Waits for the nodes that are at work; what comes behind them is for other processes. */
    async stop(): Promise<void> {
      isStopped = true
      clearInterval(poll)
      await looking
      await Promise.allSettled(working.values())
      clearInterval(renew)
    }
  }
}

/** Nobody knows whether the node that was begun did what it does outside: it is not done again. */
function interrupted(run: Run): Trace | undefined {
  const { begun, traces } = run
  if (begun === undefined || traces.some(({ nodeId }) => nodeId === begun)) return undefined
  const message =
    'the process ended while the node was at work; whether it was done is not known, so it is not repeated'
  const startedAt = run.startedAt ?? 0
  return { nodeId: begun, label: '', name: begun, status: 'ERROR', startedAt, costMs: 0, message, input: '{}' }
}

export function answerOf(run: Run): Outcome {
  if (run.state === 'ERROR') throw new AppError('invalid_state', run.message ?? 'the workflow failed')
  const answers = run.traces
    .filter(({ isAnswer }) => isAnswer)
    .map(({ output = '{}' }) => JSON.parse(output) as Outcome)
  return Object.assign({}, ...answers) as Outcome
}
