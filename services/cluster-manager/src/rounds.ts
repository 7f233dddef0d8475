export interface Rounds {
  start(): void
  /** Ends after the round that is at work. */
  stop(): Promise<void>
}

/** Does something again and again, a pause after each round. The work answers for its own errors. */
export function createRounds(work: () => Promise<void>, pauseMs: number): Rounds {
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let round: Promise<void> = Promise.resolve()

  function next(): void {
    round = work().finally(() => {
      if (!isStopped) timer = setTimeout(next, pauseMs)
    })
  }

  return {
    start: next,
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await round
    }
  }
}
