import { setTimeout as delay } from 'node:timers/promises'
import { CloudProblem } from './driver.js'

export interface BackOff {
  /** Epoch ms; after that the last problem is the answer. */
  until: number
  now: () => number
  signal: AbortSignal
  /** Told before each pause. */
  onWait?: (problem: CloudProblem) => void
  /** From 0 up to 1. */
  random?: () => number
  pause?: (ms: number, signal: AbortSignal) => Promise<void>
}

const firstMs = 500
const longestMs = 30_000

/**
 * Does it again where the cloud is busy or away: after as long as the cloud asks for and up to half a pause more, else after
 * pauses twice as long each time, less up to half. By chance, for many hosts are told to wait at the same time.
 */
export async function withBackOff<T>(work: () => Promise<T>, options: BackOff): Promise<T> {
  const { until, now, signal, onWait, random = Math.random, pause = sleep } = options
  for (let longest = firstMs; ; longest = Math.min(2 * longest, longestMs)) {
    signal.throwIfAborted()
    try {
      return await work()
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof CloudProblem) || (error.kind !== 'throttled' && error.kind !== 'unavailable')) throw error
      const chance = (longest / 2) * random()
      const wait = error.retryAfterMs === undefined ? longest - chance : error.retryAfterMs + chance
      if (now() + wait > until) throw error
      onWait?.(error)
      await pause(wait, signal)
    }
  }
}

/** Rejects where the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return delay(ms, undefined, { signal })
}
