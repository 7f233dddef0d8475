import type { Account } from '../demo/account.js'
import type { Asker } from './asker.js'
import type { Random } from './random.js'

/** What the soak is made on. */
export interface Ground {
  account: Account
  /** Of the account, for web sockets. */
  token: string
  url: string
  mqttUrl: string
  natsUrl: string
  mongoUri: string
  asker: Asker
  random: Random
  dataDir: string
  /** To be done at the end, whatever happens; the latest first. */
  atEnd(close: () => unknown): void
}

/** One kind of work that goes on while parts die, and what must have become of it. */
export interface Load {
  /** What was accepted, for people. */
  counts(): Record<string, number>
  /** Gives out no more, and waits for the answers that are under way. */
  stop(): Promise<void>
  /** What is wrong; asked again and again until it is nothing or the time is up. */
  faults(): Promise<string[]>
}

/** The same again and again until told to stop, with a pause between; what it throws ends it and comes out of `stop`. */
export function repeat(work: (turn: number) => Promise<void>, pauseMs: () => number): { stop(): Promise<void> } {
  let isOver = false
  let wake = () => {}

  async function loop(): Promise<void> {
    for (let turn = 0; !isOver; turn += 1) {
      await work(turn)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pauseMs())
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
        if (isOver) wake()
      })
    }
  }

  const running = loop()
  running.catch(() => undefined)
  return {
    async stop() {
      isOver = true
      wake()
      await running
    }
  }
}

/** The first few of many, and how many more there are. */
export function some(faults: string[], atMost = 5): string[] {
  return faults.length <= atMost
    ? faults
    : [...faults.slice(0, atMost), `… and ${faults.length - atMost} more like that`]
}
