/** How far behind the machines' messages we are. */
export interface Backlog {
  /** Runs the work on messages that were stored at these times, epoch ms. */
  during(storedAt: readonly number[], work: () => Promise<void>): Promise<void>
  /** True while a machine's answer may lie in the stream unread: its silence then means nothing. */
  isBehind(): boolean
  /** How old the oldest message at work is; 0 when there is none. */
  lagMs(): number
}

const behindMs = 1_000

export function createBacklog(now: () => number): Backlog {
  /** When the oldest message at work was stored. */
  let oldest: number | undefined
  /** When the last work ended, if its messages had waited long: more of their kind will follow. */
  let lateUntil = 0

  const lagMs = () => (oldest === undefined ? 0 : now() - oldest)

  return {
    lagMs,

    async during(storedAt, work) {
      oldest = storedAt.reduce((a, b) => Math.min(a, b), now())
      try {
        await work()
      } finally {
        const newest = storedAt.reduce((a, b) => Math.max(a, b), 0)
        if (now() - newest > behindMs) lateUntil = now() + behindMs
        oldest = undefined
      }
    },
    isBehind: () => now() < lateUntil || lagMs() > behindMs
  }
}
