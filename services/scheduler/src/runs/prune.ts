import { type Log, severityOf } from '@fleetgate/kit'
import type { AlertStore } from '../alerts/alertStore.js'
import type { ExecutionStore } from '../executions/executionStore.js'
import { type Alarm, createAlarm } from './alarm.js'
import type { RunStore } from './runStore.js'

export interface PruneDeps {
  runs: RunStore
  executions: ExecutionStore
  alerts: Pick<AlertStore, 'removeClosed'>
  log: Log
  now: () => number
  /** Runs that ended longer ago are forgotten, with their logs and idempotency keys, and alerts closed longer ago; 0 keeps all. */
  retentionDays: number
}

const dayMs = 86_400_000
const runsAtOnce = 20
const executionsAtOnce = 1000
const alertsAtOnce = 1000
const batchEveryMs = 1_000
const lookEveryMs = 60_000

/**
 * Deletes a bounded batch of what is too old: executions first, their run last, so that a crash in between leaves
 * something to go on from. Replicas that do it together harm nothing. Answers whether there is more.
 */
export function createPrune({ runs, executions, alerts, log, now, retentionDays }: PruneDeps): () => Promise<boolean> {
  async function pruneRuns(before: number): Promise<boolean> {
    const runIds = await runs.endedBefore(before, runsAtOnce)
    if (runIds.length === 0) return false
    const deleted = await executions.removeSome(runIds, executionsAtOnce)
    if (deleted === executionsAtOnce) return true
    await runs.removeEnded(runIds)
    log.info({ runs: runIds.length, executions: deleted }, 'old runs deleted')
    return runIds.length === runsAtOnce
  }

  return async function prune() {
    if (retentionDays === 0) return false
    const before = now() - retentionDays * dayMs
    const alertsLeft = (await alerts.removeClosed(before, alertsAtOnce)) === alertsAtOnce
    return (await pruneRuns(before)) || alertsLeft
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
      deps.log[severityOf(error)]({ err: error }, 'old runs and alerts not deleted, trying again')
    }
  }

  return createAlarm({ now: deps.now, work, nextWait: () => (hasMore ? batchEveryMs : lookEveryMs) })
}
