/** Acknowledgements that never come must not fill the memory: of more than these the oldest is forgotten. */
const most = 1000

/** A client of aedes, as far as packet ids go. */
export interface IdOwner {
  _nextId: number
  /** Ours. */
  unqueued?: Unqueued
}

/**
 * Packet ids of messages that are on their way to a client without lying in its queue: what is sent to one connection alone, retained
 * messages, and what somebody wants to see acknowledged. aedes counts ids on without looking who has them.
 */
export class Unqueued {
  private readonly onAcked = new Map<number, (() => void) | undefined>()

  has(id: number): boolean {
    return this.onAcked.has(id)
  }

  add(id: number, onAcked: (() => void) | undefined): void {
    const [oldest] = this.onAcked.size >= most ? this.onAcked.keys() : []
    if (oldest !== undefined) this.onAcked.delete(oldest)
    this.onAcked.set(id, onAcked)
  }

  /** A PUBREC is followed by a PUBCOMP, which sets the id free. */
  settled(kind: 'puback' | 'pubrec' | 'pubcomp', id: number): void {
    const onAcked = this.onAcked.get(id)
    if (kind !== 'pubrec') this.onAcked.delete(id)
    else if (onAcked) this.onAcked.set(id, undefined)
    if (kind !== 'pubcomp') onAcked?.()
  }
}

/** Takes the client's next packet id that is neither one of these nor in its queue. */
export function takeId(
  client: IdOwner,
  queued: { has(id: number): boolean } | undefined,
  onAcked: (() => void) | undefined
): number {
  client.unqueued ??= new Unqueued()
  const id = freeId(client._nextId, queued, client.unqueued)
  client._nextId = nextOf(id)
  client.unqueued.add(id, onAcked)
  return id
}

/** The first from `wanted` on that none of these has. */
export function freeId(wanted: number, ...taken: ({ has(id: number): boolean } | undefined)[]): number {
  let id = wanted
  while (taken.some((ids) => ids?.has(id))) id = nextOf(id)
  return id
}

function nextOf(id: number): number {
  return (id % 65_535) + 1
}
