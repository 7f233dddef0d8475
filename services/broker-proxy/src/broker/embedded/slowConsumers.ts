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
  return new Watched(conn, bufferBytes, counts)
}

/** Each connection has one: a class, as closures and an empty set of each would take 1 KB more. */
class Watched implements Slowness {
  private waiting: Set<() => void> | undefined
  private isLooking = false
  private stuck = 0

  constructor(
    private readonly conn: AedesClient['conn'],
    private readonly bufferBytes: number,
    private readonly counts: SlowCounts
  ) {
    conn.on('drain', () => {
      this.stuck = 0
    })
  }

  isTooSlowFor(qos: number): boolean {
    const { conn, bufferBytes, counts } = this
    if (conn.writableLength > bufferBytes * hardFactor) {
      if (!conn.destroyed) counts.onClosed()
      conn.destroy(new Error('slow consumer'))
      return true
    }
    if (qos > 0 || conn.writableLength <= bufferBytes) return false
    counts.onDropped()
    return true
  }

  patient(done: () => void): () => void {
    const once = () => {
      if (this.settle(once)) done()
    }
    if (this.stuck >= looks) {
      setImmediate(done)
      return once
    }
    this.waiting ??= new Set()
    this.waiting.add(once)
    if (!this.isLooking) this.lookLater()
    return once
  }

  /** Whether somebody still waits for it. */
  private settle(once: () => void): boolean {
    if (!this.waiting?.delete(once)) return false
    if (this.waiting.size === 0) this.waiting = undefined
    return true
  }

  private lookLater(): void {
    this.isLooking = true
    setTimeout(() => this.look(), lookMs).unref()
  }

  private look(): void {
    this.isLooking = false
    if (!this.waiting) return
    if (this.conn.writableNeedDrain) this.stuck += 1
    if (this.stuck >= looks) for (const done of [...this.waiting]) done()
    else this.lookLater()
  }
}
