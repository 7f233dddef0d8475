import { type Log, runFinished } from '@fleetgate/kit'
import type { Outbox } from '@fleetgate/store'
import type { EngineSettings } from '../config.js'
import type { CountedStates, Counts, ExecutionState } from '../executions/execution.js'
import type { ExecutionStore } from '../executions/executionStore.js'
import type { Halts } from './halts.js'
import type { HeldRun, Leases } from './leases.js'
import { resultOf } from './run.js'
import type { RunStore } from './runStore.js'
import { abortReason, type Stop, stopNow } from './stop.js'

export interface SettleDeps {
  runs: RunStore
  executions: ExecutionStore
  leases: Leases
  halts: Pick<Halts, 'order'>
  outbox: Outbox
  log: Log
  now: () => number
  settings: EngineSettings
}

export interface Settle {
  /** Fails what is still open of a run that is past its deadline. */
  expire(held: HeldRun): Promise<void>
  /** Counts the executions by state, ends what waits in a run that was stopped, and ends the run where none is open. True when it has ended. */
  count(held: HeldRun): Promise<boolean>
}

const waitingStates = ['QUEUED', 'DISPATCHED'] as const
const openStates = [...waitingStates, 'RUNNING'] as const

export function createSettle(deps: SettleDeps): Settle {
  const { runs, executions, leases, halts, outbox, log, now, settings } = deps

  async function fail(held: HeldRun, states: readonly ExecutionState[], message: string): Promise<void> {
    const filter = { runId: held._id, open: true as const, state: { $in: [...states] } }
    const final = { state: 'FAILED' as const, endedAt: now(), message }
    const change = { $set: final, $unset: { open: '', dueAt: '', claim: '' } }
    const { modifiedCount } = await executions.collection.updateMany(filter, change as never)
    if (modifiedCount > 0) log.warn({ runId: held._id, machines: modifiedCount, reason: message }, 'executions ended')
  }

  /** Stops the run where too many machines have failed; waiting retries end with it. */
  async function abort(held: HeldRun, counts: Counts): Promise<boolean> {
    const reason = held.limits.abort && abortReason(held.limits.abort, counts)
    if (!reason) return false
    const isGoing = { ...leases.fence(held), 'stop.by': { $nin: ['OPERATOR', 'FAILURES'] } }
    const update = stopNow({ at: now(), by: 'FAILURES', reason }, settings.stopGraceMs)
    const { matchedCount } = await runs.collection.updateOne(isGoing as never, update)
    if (matchedCount > 0) log.warn({ runId: held._id, jobId: held.jobId, reason }, 'run stopped')
    return matchedCount > 0
  }

  async function finish(held: HeldRun, counts: Counts): Promise<boolean> {
    const { tenantId, jobId } = held
    const { succeeded, failed } = counts
    const result = resultOf(counts)
    const endedAt = now()
    const event = { tenantId, runId: held._id, jobId, result, succeeded, failed, finishedAt: endedAt }
    const { matchedCount } = await runs.collection.updateOne(leases.fence(held), {
      $set: { state: 'FINISHED', result, counts, endedAt },
      $unset: { open: '', recount: '', pausedAt: '' },
      $push: { outbox: outbox.entry(runFinished, event) }
    } as never)
    if (matchedCount === 0) return false
    log.info({ runId: held._id, jobId, result, succeeded, failed }, 'run finished')
    await outbox.flush([held._id])
    return true
  }

  return {
    async expire(held) {
      const run = await runs.collection.findOne(leases.fence(held), { projection: { deadlineReason: 1 } })
      if (!run) return
      await halts.order({ runId: held._id }, run.deadlineReason)
      await fail(held, openStates, run.deadlineReason)
    },

    async count(held) {
      const fence = leases.fence(held)
      const run = await runs.collection.findOne(fence, { projection: { targets: 1, stop: 1 } })
      if (!run) return false
      // Each time: a machine that fails at work may have an attempt left, which waits then.
      if (run.stop && run.stop.at <= now()) {
        await halts.order({ runId: held._id }, run.stop.reason, statesToStop(run.stop))
        await fail(held, waitingStates, run.stop.reason)
      }
      const counts = settled(await executions.count(held._id), run.targets)
      if (counts.running + counts.waiting === 0) return finish(held, counts)
      await runs.collection.updateOne(fence, { $set: { counts } })
      return (await abort(held, counts)) ? this.count(held) : false
    }
  }
}

/** When the next run of a schedule is due, machines at work may finish; those that had a command and said nothing do not begin. */
function statesToStop({ by }: Stop): readonly ExecutionState[] | undefined {
  return by === 'SCHEDULE' ? ['DISPATCHED'] : undefined
}

/**
 * A count runs beside writes, so an execution on its way from one state to another may be seen twice or not at all. Final
 * states are left by none: what they lack of the targets is still open, whatever else was counted.
 */
export function settled({ succeeded, failed, running }: CountedStates, targets: number): Counts {
  const open = Math.max(0, targets - succeeded - failed)
  const atWork = Math.min(running, open)
  return { total: targets, succeeded, failed, running: atWork, waiting: open - atWork }
}
