import type { Log } from '@fleetgate/kit'

/**
 * Does the work again and again, never twice at once; a failure is logged and the next turn comes as usual. Work that takes long
 * may end early where it is stopped.
 */
export function createSweep(
  work: (stopped: AbortSignal) => Promise<void>,
  everyMs: number,
  log: Log
): { stop(): Promise<void> } {
  const stopping = new AbortController()
  let running = Promise.resolve()
  let timer = setTimeout(turn, everyMs)

  function turn(): void {
    running = work(stopping.signal)
      .catch((err) => {
        if (!stopping.signal.aborted) log.warn({ err }, 'sweep failed, trying again later')
      })
      .then(() => {
        if (!stopping.signal.aborted) timer = setTimeout(turn, everyMs)
      })
  }

  return {
    async stop() {
      stopping.abort()
      clearTimeout(timer)
      await running
    }
  }
}
