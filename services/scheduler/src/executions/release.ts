import { groupBy } from '../inGroups.js'
import type { ExecutionCollection } from './executionStore.js'

export interface ReleaseDeps {
  executions: ExecutionCollection
  /** Of the jobs of these runs, by run. */
  prioritiesOf: (runIds: readonly string[]) => Promise<Map<string, number>>
  now: () => number
  /** What the machines are to end is told once more. */
  rearm: (tenantId: string, mqttClientIds: string[], inMs: number) => Promise<void>
  /** Told which runs have something to send. */
  onReleased: (runIds: string[]) => void
}

export type Release = (tenantId: string, mqttClientIds: string[], inMs: number) => Promise<void>

/**
 * A machine came back, or may work again: what waits for it becomes due. One at work is sent its command again, so that a
 * rebooted machine goes on or repeats its reports. A retry keeps its waiting time. A machine does one execution after the other, and
 * the database writes one document after the other: what has the higher priority is written first, so that no look in between finds
 * only the lower one.
 */
export function createRelease({ executions, prioritiesOf, now, rearm, onReleased }: ReleaseDeps): Release {
  /** Runs of one priority together, the highest first. */
  async function inSteps(runIds: readonly string[]): Promise<string[][]> {
    if (runIds.length < 2) return [[...runIds]]
    const priorities = await prioritiesOf(runIds)
    const steps = groupBy(runIds, (runId) => priorities.get(runId) ?? 0)
    return [...steps].sort(([a], [b]) => b - a).map(([, ids]) => ids)
  }

  return async function release(tenantId, mqttClientIds, inMs) {
    await rearm(tenantId, mqttClientIds, inMs)
    const filter = { tenantId, mqttClientId: { $in: mqttClientIds }, open: true as const }
    const runIds = await executions.distinct('runId', filter)
    if (runIds.length === 0) return
    const steps = await inSteps(runIds)
    const at = now() + inMs
    const dueAt = { $cond: [{ $eq: ['$state', 'QUEUED'] }, { $max: ['$dueAt', at] }, at] }
    for (const [index, ids] of steps.entries()) {
      // The last step takes whatever has been opened meanwhile along.
      const isLast = index === steps.length - 1
      const runId = isLast ? { $nin: steps.slice(0, -1).flat() } : { $in: ids }
      await executions.updateMany({ ...filter, ...(steps.length > 1 ? { runId } : {}) }, [
        { $set: { hold: 'NONE', tries: 0, dueAt } }
      ])
    }
    onReleased(runIds)
  }
}
