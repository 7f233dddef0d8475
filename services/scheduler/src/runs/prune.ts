import type { Log } from '@fleetgate/kit'
import type { ExecutionStore } from '../executions/executionStore.js'
import { type Alarm, createAlarm } from './alarm.js'
import type { RunStore } from './runStore.js'

export interface PruneDeps {
  runs: RunStore
  executions: ExecutionStore
  log: Log
  now: () => number
  /** Runs that ended longer ago are forgotten, with their logs and idempotency keys; 0 keeps all. */
  retentionDays: number
}

const dayMs = 86_400_000
const runsAtOnce = 20
const executionsAtOnce = 1000
const batchEveryMs = 1_000
const lookEveryMs = 60_000

/**
 * Deletes a bounded batch of what is too old: executions first, their run last, so that a crash in between leaves
 * something to go on from. Replicas that do it together harm nothing. Answers whether there is more.
 */
export function createPrune({ runs, executions, log, now, retentionDays }: PruneDeps): () => Promise<boolean> {
  return async function prune() {
    if (retentionDays === 0) return false
    const runIds = await runs.endedBefore(now() - retentionDays * dayMs, runsAtOnce)
    if (runIds.length === 0) return false
    const deleted = await executions.removeSome(runIds, executionsAtOnce)
    if (deleted === executionsAtOnce) return true
    await runs.removeEnded(runIds)
    log.info({ runs: runIds.length, executions: deleted }, 'old runs deleted')
    return runIds.length === runsAtOnce
  }
}

export function createPruneAlarm(deps: PruneDeps): Alarm {
  const prune = createPrune(deps)
  let hasMore = false

  async function work(): Promise<void> {
    try {
      hasMore = await prune()
    } catch (error) {
      hasMore = false
      deps.log.error({ err: error }, 'old runs not deleted, trying again')
    }
  }

  return createAlarm({ now: deps.now, work, nextWait: () => (hasMore ? batchEveryMs : lookEveryMs) })
}
