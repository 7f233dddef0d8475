/**
 * Stops a run: nothing more is given out, what waits ends with the reason. Machines at work are told to stop, but may finish
 * where it is the schedule that stops.
 */
export interface Stop {
  at: number
  by: 'OPERATOR' | 'FAILURES' | 'SCHEDULE'
  reason: string
}

/** A run that is to be stopped once too many machines have failed. */
export interface AbortRule {
  /** Of the machines that are done. */
  failedPercent: number
  /** So many have to be done before it counts. */
  minimum: number
}

/** Why a run is to be stopped by its rule, if it is. */
export function abortReason(
  { failedPercent, minimum }: AbortRule,
  { succeeded, failed }: { succeeded: number; failed: number }
): string | undefined {
  const done = succeeded + failed
  if (failed === 0 || done < minimum || failed * 100 < failedPercent * done) return undefined
  return `stopped: ${failed} of ${done} machines failed (the limit is ${failedPercent} %)`
}

/** The update that stops a run now. A machine that does not answer must not keep it open until its own deadline. */
export function stopNow(stop: Stop, graceMs: number) {
  const minutes = Math.round(graceMs / 60_000)
  return {
    $set: { stop, deadlineReason: `${stop.reason}; not finished within ${minutes} minutes after that` },
    $unset: { pausedAt: '' as const },
    $min: { deadlineAt: stop.at + graceMs }
  }
}
