import type { Log } from '@fleetgate/kit'

/** Does the work again and again, never twice at once; a failure is logged and the next turn comes as usual. */
export function createSweep(work: () => Promise<void>, everyMs: number, log: Log): { stop(): Promise<void> } {
  let running = Promise.resolve()
  let isStopped = false
  let timer = setTimeout(turn, everyMs)

  function turn(): void {
    running = work()
      .catch((err) => log.warn({ err }, 'sweep failed, trying again later'))
      .then(() => {
        if (!isStopped) timer = setTimeout(turn, everyMs)
      })
  }

  return {
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await running
    }
  }
}
