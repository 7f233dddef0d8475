import { detached } from '@fleetgate/kit'

export interface Alarm {
  /** Work is wanted within so many milliseconds. */
  wake(inMs: number): void
  start(): void
  /** Waits for the work at hand. */
  stop(): Promise<void>
}

export interface AlarmOptions {
  now: () => number
  /** Must not reject. */
  work: () => Promise<void>
  /** Asked after each piece of work: milliseconds until the next one. */
  nextWait: () => number
}

/** One timer for all: pieces of work come one after the other, never two at once. */
export function createAlarm({ now, work, nextWait }: AlarmOptions): Alarm {
  let timer: NodeJS.Timeout | undefined
  let wakeAt = Number.POSITIVE_INFINITY
  let working: Promise<void> | undefined
  let running = false

  function wake(inMs: number): void {
    // A later wish must not put off an earlier one.
    if (!running || working || now() + inMs >= wakeAt) return
    clearTimeout(timer)
    wakeAt = now() + inMs
    timer = setTimeout(() => detached(ring), inMs)
  }

  function ring(): void {
    wakeAt = Number.POSITIVE_INFINITY
    working = work().finally(() => {
      working = undefined
      wake(nextWait())
    })
  }

  return {
    wake,
    start() {
      running = true
      wake(0)
    },
    async stop() {
      running = false
      clearTimeout(timer)
      await working
    }
  }
}
