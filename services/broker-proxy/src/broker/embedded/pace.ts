import { createBucket } from './admission.js'

export interface PaceLimits {
  /** What one client may publish in a second; 0: no limit. */
  messagesPerSecond: number
  bytesPerSecond: number
}

/** Holds up a client that publishes faster than it may: what it sends waits in its socket. */
export interface Pace {
  /** Resolves when the message may go on; in order of the calls. */
  pass(bytes: number): Promise<void> | undefined
}

/** Most brokers bound nothing, and each of their connections has this one. */
const unbounded: Pace = { pass: () => undefined }

export function createPace({ messagesPerSecond, bytesPerSecond }: PaceLimits, now: () => number): Pace {
  if (messagesPerSecond === 0 && bytesPerSecond === 0) return unbounded
  const [messages, bytes] = [createBucket(messagesPerSecond), createBucket(bytesPerSecond)]
  let last: Promise<void> = Promise.resolve()

  async function go(size: number, before: Promise<void>): Promise<void> {
    await before
    for (;;) {
      const wait = Math.max(messages.waitFor(1, now()), bytes.waitFor(size, now()))
      if (wait === 0) break
      await new Promise((resolve) => setTimeout(resolve, wait))
    }
    messages.take(1)
    bytes.take(size)
  }

  return {
    pass(size) {
      last = go(size, last)
      return last
    }
  }
}
