import type { Persistence, StoredPacket } from './aedesParts.js'

const maxQueued = 1000
const sweepMs = 30_000

export interface SessionLimits {
  /** A client with a kept session came or went. */
  present(clientId: string): void
  absent(clientId: string, now: number): void
  /** Messages that wait for a client, those on their way to it included. */
  queued(clientId: string): number
  stop(): void
}

export interface SessionLimitEvents {
  onQueued(clientId: string, packet: StoredPacket): void
  /** Its queue is full. */
  onDropped(clientId: string): void
  onForgotten(clientId: string): void
}

/**
 * Kept sessions (clean = false) live in memory: a queue holds at most 1000 messages, newer ones are dropped then, and
 * an absent client's session ends after a time. aedes itself bounds neither.
 */
export function limitSessions(
  persistence: Persistence,
  expiryMs: number,
  { onQueued, onDropped, onForgotten }: SessionLimitEvents
): SessionLimits {
  const queued = new Map<string, number>()
  const absentSince = new Map<string, number>()
  const enqueue = persistence.outgoingEnqueueCombi.bind(persistence)
  const enqueueOne = persistence.outgoingEnqueue.bind(persistence)
  const clear = persistence.outgoingClearMessageId.bind(persistence)

  function count(clientId: string, by: number): void {
    const now = (queued.get(clientId) ?? 0) + by
    if (now > 0) queued.set(clientId, now)
    else queued.delete(clientId)
  }

  persistence.outgoingEnqueueCombi = async (targets, packet) => {
    const withRoom: typeof targets = []
    for (const target of targets) {
      if ((queued.get(target.clientId) ?? 0) >= maxQueued) {
        onDropped(target.clientId)
        continue
      }
      withRoom.push(target)
      count(target.clientId, 1)
      onQueued(target.clientId, packet)
    }
    await enqueue(withRoom, packet)
  }
  persistence.outgoingEnqueue = async (target, packet) => {
    count(target.clientId, 1)
    onQueued(target.clientId, packet)
    await enqueueOne(target, packet)
  }
  persistence.outgoingClearMessageId = async (client, packet) => {
    // Nothing waits for most acknowledgements; asking anyway would leave an empty queue for each client for ever.
    if (!queued.has(client.id)) return undefined
    const cleared = await clear(client, packet)
    if (cleared) count(client.id, -1)
    return cleared
  }

  async function forget(id: string): Promise<void> {
    absentSince.delete(id)
    onForgotten(id)
    await persistence.cleanSubscriptions({ id })
    for await (const packet of persistence.outgoingStream({ id }))
      await persistence.outgoingClearMessageId({ id }, packet)
  }

  async function sweep(): Promise<void> {
    const limit = Date.now() - expiryMs
    for (const [id, since] of absentSince) if (since < limit) await forget(id)
  }

  const timer = setInterval(() => void sweep(), Math.min(sweepMs, expiryMs))
  timer.unref()
  return {
    present: (clientId) => absentSince.delete(clientId),
    absent: (clientId, now) => absentSince.set(clientId, now),
    queued: (clientId) => queued.get(clientId) ?? 0,
    stop: () => clearInterval(timer)
  }
}
