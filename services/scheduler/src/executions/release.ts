import type { ExecutionCollection } from './executionStore.js'

export interface ReleaseDeps {
  executions: ExecutionCollection
  now: () => number
  /** What the machines are to end is told once more. */
  rearm: (tenantId: string, mqttClientIds: string[], inMs: number) => Promise<void>
  /** Told which runs have something to send. */
  onReleased: (runIds: string[]) => void
}

/**
 * A machine came back, or may work again: what waits for it becomes due. One at work is sent its command again, so that a
 * rebooted machine goes on or repeats its reports. A retry keeps its waiting time.
 */
export function createRelease({ executions, now, rearm, onReleased }: ReleaseDeps) {
  return async function release(tenantId: string, mqttClientIds: string[], inMs: number): Promise<void> {
    await rearm(tenantId, mqttClientIds, inMs)
    const at = now() + inMs
    const filter = { tenantId, mqttClientId: { $in: mqttClientIds }, open: true as const }
    const dueAt = { $cond: [{ $eq: ['$state', 'QUEUED'] }, { $max: ['$dueAt', at] }, at] }
    const { matchedCount } = await executions.updateMany(filter, [{ $set: { hold: 'NONE', tries: 0, dueAt } }])
    if (matchedCount > 0) onReleased(await executions.distinct('runId', filter))
  }
}
