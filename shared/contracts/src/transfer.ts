import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import type { Step } from './steps.js'

/** How a step's content is to be moved; what is not said is unbounded and plain. */
export interface Transfer {
  /** Bytes of content per second. */
  rateLimit?: number | undefined
  compress: boolean
}

/** Reads `transferOption` of a step leniently: a machine does not refuse what the scheduler has let pass. */
export function transferOf({ transferOption = {} }: Pick<Step, 'transferOption'>): Transfer {
  const { rateLimit, compress } = transferOption
  return {
    ...(typeof rateLimit === 'number' && rateLimit > 0 ? { rateLimit } : {}),
    compress: compress === true
  }
}

/** Keeps a flow of bytes within a rate, over all who share it. */
export interface Pacer {
  /** Milliseconds until something may go; 0 means now. */
  waitMs(): number
  spend(bytes: number): void
  /** Waits for its turn, then counts the bytes as gone. Rejects when the signal aborts. */
  pass(bytes: number, signal?: AbortSignal): Promise<void>
}

export function createPacer(
  bytesPerSecond: number | undefined,
  now: () => number = performance.now.bind(performance)
): Pacer {
  const rate = bytesPerSecond ?? Number.POSITIVE_INFINITY
  let freeAt = Number.NEGATIVE_INFINITY
  const waitMs = () => Math.max(0, freeAt - now())
  const spend = (bytes: number) => {
    freeAt = Math.max(freeAt, now()) + (bytes * 1000) / rate
  }

  return {
    waitMs,
    spend,
    async pass(bytes, signal) {
      const wait = waitMs()
      // Before the wait: who comes meanwhile takes the next turn.
      spend(bytes)
      if (wait > 0) await delay(wait, undefined, { signal })
    }
  }
}

const zip = promisify(gzip)
const unzip = promisify(gunzip)

/** Compresses in zlib's own threads. */
export const pack: (bytes: Uint8Array) => Promise<Buffer> = zip

/** The content of a gzip stream of at most `maxBytes`; rejects what is none or holds more. */
export function unpack(bytes: Uint8Array, maxBytes: number): Promise<Buffer> {
  return unzip(bytes, { maxOutputLength: Math.max(1, maxBytes) })
}
