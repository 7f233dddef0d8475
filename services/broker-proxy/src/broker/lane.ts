export interface Lane {
  /** Runs the task when there is room; settles after every task that came before it has settled. */
  run<T>(task: () => Promise<T>): Promise<T>
}

const noop = () => undefined
const done = Promise.resolve()

/**
 * Tasks of one client: begun in order of arrival, at most `width` at work, finished in order of arrival. MQTT wants
 * acknowledgements in the order of the messages, and what waits here is not read from the socket.
 */
export function createLane(width: number): Lane {
  return new Narrow(width)
}

/** Each client that sends has one: a class, as closures of each would take half a KB more. */
class Narrow implements Lane {
  private running = 0
  private waiting: (() => void)[] | undefined
  private last: Promise<unknown> = done

  constructor(private readonly width: number) {}

  async run<T>(task: () => Promise<T>): Promise<T> {
    await this.room()
    const before = this.last
    const work = task()
    const settled = work.then(noop, noop).then(() => before)
    this.last = settled
    try {
      await settled
      return await work
    } finally {
      this.leave()
    }
  }

  private async room(): Promise<void> {
    if (this.running < this.width && !this.waiting?.length) this.running += 1
    else await new Promise<void>((resolve) => this.queue(resolve))
  }

  private queue(resolve: () => void): void {
    this.waiting ??= []
    this.waiting.push(resolve)
  }

  /** Its place goes to who waits longest. */
  private leave(): void {
    const next = this.waiting?.shift()
    if (next) next()
    else this.free()
  }

  private free(): void {
    this.waiting = undefined
    this.running -= 1
    if (this.running === 0) this.last = done
  }
}
