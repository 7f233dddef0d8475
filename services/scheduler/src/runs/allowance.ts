import type { ExecutionStore } from '../executions/executionStore.js'
import type { HeldRun, Leases } from './leases.js'
import { type Pace, paceAt, readyNow } from './pace.js'
import type { RunStore } from './runStore.js'
import { abortReason } from './stop.js'

export interface AllowanceDeps {
  runs: RunStore
  executions: ExecutionStore
  leases: Leases
  now: () => number
}

/** What may be given out of a run at this moment. */
export interface Allowed {
  /** False while the run is paused, and once it was stopped: only machines at work are asked how they are. */
  givesOut: boolean
  /** So many waiting executions; Infinity without a limit. */
  room: number
  pace?: Pace
}

export interface Allowance {
  /** Nothing where another replica drives the run by now. */
  look(held: HeldRun): Promise<Allowed | undefined>
  /** Takes so many machines off the rollout's pace; negative gives back. A crash in between slows down, never hurries. */
  take(held: HeldRun, allowed: Allowed, machines: number): Promise<void>
}

/** Read again for every page that is given out: a pause takes hold in the middle of a large run. */
export function createAllowance({ runs, executions, leases, now }: AllowanceDeps): Allowance {
  const projection = { pausedAt: 1, stop: 1, pace: 1 } as const

  async function freeSessions({ tenantId, jobId, limits }: HeldRun): Promise<number> {
    const { maxConcurrentSession: most } = limits
    if (!most) return Number.POSITIVE_INFINITY
    return Math.max(0, most - (await executions.countAtWork(await runs.openOf(tenantId, jobId))))
  }

  /** The count of the run stops it soon. */
  async function hasFailed({ _id, limits }: HeldRun): Promise<boolean> {
    return limits.abort !== undefined && abortReason(limits.abort, await executions.count(_id)) !== undefined
  }

  return {
    async look(held) {
      const run = await runs.collection.findOne(leases.fence(held), { projection })
      if (!run) return undefined
      const isStopped = run.stop !== undefined && run.stop.at <= now()
      if (isStopped || run.pausedAt !== undefined) return { givesOut: false, room: 0 }
      const { rollout } = held.limits
      const free = await freeSessions(held)
      // After that: a session that a failure left free must not be used when that failure is one too many.
      if (await hasFailed(held)) return { givesOut: false, room: 0 }
      if (!rollout) return { givesOut: true, room: free }
      const pace = paceAt(run.pace, rollout, now())
      return { givesOut: true, room: Math.min(free, readyNow(pace)), pace }
    },

    async take(held, allowed, machines) {
      if (!allowed.pace || machines === 0) return
      allowed.pace = { ...allowed.pace, tokens: allowed.pace.tokens - machines }
      await runs.collection.updateOne(leases.fence(held), { $set: { pace: allowed.pace } })
    }
  }
}
