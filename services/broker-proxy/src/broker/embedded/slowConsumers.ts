import type { AedesClient } from './aedesParts.js'

export interface SlowLimits {
  /** Bytes that wait for a socket which takes nothing before messages of QoS 0 are left out for it. */
  bufferBytes: number
}

export interface SlowCounts {
  onDropped(): void
  onClosed(): void
}

/** The others wait for one socket until it was found stuck twice in a row. */
const lookMs = 500
const looks = 2
/** What waits at QoS 1 cannot be left out: beyond this many times the bound the connection ends. */
const hardFactor = 4

export interface Slowness {
  /** Whether a message of this QoS is to be left out. */
  isTooSlowFor(qos: number): boolean
  /** A callback for aedes in place of `done`, which is called when the socket has taken the message, or after a while. */
  patient(done: () => void): () => void
}

/**
 * aedes waits for each receiver's socket before it counts a message as done, so a frozen one would hold up all others.
 * Here they wait a second for it, then go on without; aedes closes it when its time is over (drainTimeout).
 */
export function watchSlowness({ conn }: AedesClient, { bufferBytes }: SlowLimits, counts: SlowCounts): Slowness {
  const waiting = new Set<() => void>()
  let isLooking = false
  let stuck = 0

  conn.on('drain', () => {
    stuck = 0
  })

  function lookLater(): void {
    isLooking = true
    setTimeout(look, lookMs).unref()
  }

  function look(): void {
    isLooking = false
    if (waiting.size === 0) return
    if (conn.writableNeedDrain) stuck += 1
    if (stuck >= looks) for (const done of [...waiting]) done()
    else lookLater()
  }

  return {
    isTooSlowFor(qos) {
      if (conn.writableLength > bufferBytes * hardFactor) {
        if (!conn.destroyed) counts.onClosed()
        conn.destroy(new Error('slow consumer'))
        return true
      }
      if (qos > 0 || conn.writableLength <= bufferBytes) return false
      counts.onDropped()
      return true
    },

    patient(done) {
      const once = () => {
        if (waiting.delete(once)) done()
      }
      if (stuck >= looks) {
        setImmediate(done)
        return once
      }
      waiting.add(once)
      if (!isLooking) lookLater()
      return once
    }
  }
}
