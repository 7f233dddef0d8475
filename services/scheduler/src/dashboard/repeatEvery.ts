import type { Log } from '@fleetgate/kit'

export interface Repeated {
  start(): void
  stop(): Promise<void>
}

/** Does the works one after the other, again and again; one that fails is tried again with the next round. */
export function repeatEvery(ms: number, works: readonly (() => Promise<void>)[], log: Log): Repeated {
  let timer: NodeJS.Timeout | undefined
  let round: Promise<void> | undefined
  let isStopped = false

  async function doAll(): Promise<void> {
    for (const work of works) {
      await work().catch((error) => log.warn({ err: error }, 'repeated work failed, trying again'))
    }
    if (!isStopped) timer = setTimeout(begin, ms)
  }

  function begin(): void {
    round = doAll()
  }

  return {
    start: begin,
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await round
    }
  }
}
