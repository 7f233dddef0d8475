import { setTimeout as delay } from 'node:timers/promises'
import { CloudProblem } from './driver.js'

export interface BackOff {
  /** Epoch ms; after that the last problem is the answer. */
  until: number
  now: () => number
  signal: AbortSignal
  /** Told before each pause. */
  onWait?: (problem: CloudProblem) => void
}

const firstMs = 500
const longestMs = 30_000

/** Does it again where the cloud is busy or away: after as long as the cloud asks for, else twice as long each time, less up to half by chance. */
export async function withBackOff<T>(work: () => Promise<T>, { until, now, signal, onWait }: BackOff): Promise<T> {
  for (let pause = firstMs; ; pause = Math.min(2 * pause, longestMs)) {
    signal.throwIfAborted()
    try {
      return await work()
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof CloudProblem) || (error.kind !== 'throttled' && error.kind !== 'unavailable')) throw error
      const wait = error.retryAfterMs ?? pause * (1 - Math.random() / 2)
      if (now() + wait > until) throw error
      onWait?.(error)
      await sleep(wait, signal)
    }
  }
}

/** Rejects where the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal })
}
