export interface Lane {
  /** Runs the task when there is room; settles after every task that came before it has settled. */
  run<T>(task: () => Promise<T>): Promise<T>
}

const noop = () => undefined

/**
 * Tasks of one client: begun in order of arrival, at most `width` at work, finished in order of arrival. MQTT wants
 * acknowledgements in the order of the messages, and what waits here is not read from the socket.
 */
export function createLane(width: number): Lane {
  let running = 0
  const waiting: (() => void)[] = []
  let last: Promise<unknown> = Promise.resolve()

  async function room(): Promise<void> {
    if (running < width && waiting.length === 0) running += 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
  }

  function leave(): void {
    const next = waiting.shift()
    if (next) next()
    else running -= 1
  }

  return {
    async run(task) {
      await room()
      const before = last
      const work = task()
      const settled = work.then(noop, noop).then(() => before)
      last = settled
      try {
        await settled
        return await work
      } finally {
        leave()
      }
    }
  }
}
