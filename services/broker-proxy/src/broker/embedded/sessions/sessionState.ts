import { createFilterTree } from './filterTree.js'
import type { MessageRecord } from './messageRecord.js'
import type { KeptFacts, SessionChange, SessionRecord, StepRecord, WillRecord } from './records.js'

/** A stored message; every session that waits for it points here. */
export interface Body {
  readonly seq: number
  readonly topic: string
  readonly payload: Buffer
  readonly qos: 0 | 1 | 2
  refs: number
}

/** A message on its way to one session. */
export interface Entry {
  readonly body: Body
  readonly qos: number
  /** Packet id; 0 before it was sent. */
  id: number
  /** `released`: PUBREC has come, PUBREL is owed; `gone`: no longer in the queue. */
  state: 'waiting' | 'sent' | 'released' | 'gone'
}

export interface Kept {
  facts: KeptFacts
  /** Below the mount point, with QoS. */
  readonly filters: Map<string, number>
  /** By the message's number, in order. */
  readonly queue: Map<number, Entry>
  readonly byId: Map<number, Entry>
  /** Packet ids of QoS 2 messages that came from it and are not released. */
  readonly received: Set<number>
  /** Epoch ms; 0 while it is connected. */
  absentSince: number
}

export interface SessionState {
  nextSeq(): number
  nextNo(): number
  readonly bodies: ReadonlyMap<number, Body>
  /** Bytes of all waiting messages, each counted once. */
  readonly queuedBytes: number
  readonly wills: Map<string, WillRecord>
  find(clientId: string): Kept | undefined
  all(): Iterable<Kept>
  /** Sessions with a subscription that matches, and its highest QoS. */
  match(topic: string): Map<Kept, number>
  apply(record: SessionRecord): void
  /** To be called when everything of an earlier process was applied. */
  settle(now: number): void
}

export interface StateEvents {
  onQueued(kept: Kept, entry: Entry): void
  onRetained(message: MessageRecord): void
}

/** What outlasts the process, rebuilt by applying its records in order. */
export function createSessionState({ onQueued, onRetained }: StateEvents): SessionState {
  const byNo = new Map<number, Kept>()
  const byClient = new Map<string, Kept>()
  const bodies = new Map<number, Body>()
  const wills = new Map<string, WillRecord>()
  const tree = createFilterTree<Kept>()
  let [lastSeq, lastNo, queuedBytes] = [0, 0, 0]

  function enter(facts: KeptFacts): void {
    lastNo = Math.max(lastNo, facts.no)
    const known = byNo.get(facts.no)
    if (known) {
      known.facts = facts
      return
    }
    const older = byClient.get(facts.clientId)
    if (older) end(older)
    const made: Kept = {
      facts,
      filters: new Map(),
      queue: new Map(),
      byId: new Map(),
      received: new Set(),
      absentSince: 0
    }
    byNo.set(facts.no, made)
    byClient.set(facts.clientId, made)
  }

  function end(kept: Kept): void {
    for (const filter of kept.filters.keys()) tree.delete(filter, kept)
    for (const entry of kept.queue.values()) remove(kept, entry)
    byNo.delete(kept.facts.no)
    if (byClient.get(kept.facts.clientId) === kept) byClient.delete(kept.facts.clientId)
  }

  function remove(kept: Kept, entry: Entry): void {
    if (entry.state === 'gone') return
    entry.state = 'gone'
    kept.queue.delete(entry.body.seq)
    if (kept.byId.get(entry.id) === entry) kept.byId.delete(entry.id)
    entry.body.refs -= 1
    if (entry.body.refs === 0) forget(entry.body)
  }

  function forget(body: Body): void {
    bodies.delete(body.seq)
    queuedBytes -= sizeOf(body)
  }

  function take(record: MessageRecord): void {
    const { seq, targets, from, fromId } = record
    lastSeq = Math.max(lastSeq, seq)
    if (record.retain) onRetained(record)
    if (from !== 0) byNo.get(from)?.received.add(fromId)
    // Without targets and not to be retained: a body that a saved state names before the queues that it lies in.
    if (record.retain && targets.length === 0) return
    if (targets.length === 0 && from !== 0) return
    const body = bodies.get(seq) ?? { seq, topic: record.topic, payload: record.payload, qos: record.qos, refs: 0 }
    if (!bodies.has(seq)) {
      bodies.set(seq, body)
      queuedBytes += sizeOf(body)
    }
    for (const target of targets) enqueue(byNo.get(target >>> 2), body, target & 3)
    if (targets.length > 0 && body.refs === 0) forget(body)
  }

  function enqueue(kept: Kept | undefined, body: Body, qos: number): void {
    if (!kept || kept.queue.has(body.seq)) return
    const entry: Entry = { body, qos, id: 0, state: 'waiting' }
    body.refs += 1
    kept.queue.set(body.seq, entry)
    onQueued(kept, entry)
  }

  function step({ kind, no, seq, id }: StepRecord): void {
    const kept = byNo.get(no)
    if (!kept) return
    const [body, entry] = [bodies.get(seq), kept.queue.get(seq)]
    if (kind === 'received') kept.received.add(id)
    else if (kind === 'finished') kept.received.delete(id)
    else if (kind === 'queued' && body) enqueue(kept, body, id)
    else if (kind === 'done' && entry) remove(kept, entry)
    else if ((kind === 'sent' || kind === 'released') && entry) advance(kept, entry, { kind, id })
  }

  function advance(kept: Kept, entry: Entry, { kind, id }: { kind: 'sent' | 'released'; id: number }): void {
    entry.state = kind
    if (entry.id !== id && kept.byId.get(entry.id) === entry) kept.byId.delete(entry.id)
    entry.id = id
    kept.byId.set(id, entry)
  }

  function subscribe(kept: Kept, filter: string, qos: number): void {
    kept.filters.set(filter, qos)
    if (qos > 0) tree.set(filter, kept, qos)
    else tree.delete(filter, kept)
  }

  function unsubscribe(kept: Kept, filter: string): void {
    if (kept.filters.delete(filter)) tree.delete(filter, kept)
  }

  function apply(record: SessionRecord): void {
    if (record.kind === 'session') enter(record.facts)
    else if (record.kind === 'message') take(record)
    else if (record.kind === 'will') wills.set(record.will.facts.clientId, record.will)
    else if (record.kind === 'willDone') {
      if (wills.get(record.clientId)?.facts.connectedAt === record.connectedAt) wills.delete(record.clientId)
    } else if ('id' in record) step(record)
    else applyTo(byNo.get(record.no), record)
  }

  function applyTo(kept: Kept | undefined, record: SessionChange): void {
    if (!kept) return
    if (record.kind === 'subscribed') for (const [filter, qos] of record.filters) subscribe(kept, filter, qos)
    else if (record.kind === 'unsubscribed') for (const filter of record.filters) unsubscribe(kept, filter)
    else if (record.kind === 'ended') end(kept)
    else kept.absentSince = record.at
  }

  return {
    get queuedBytes() {
      return queuedBytes
    },
    nextSeq: () => ++lastSeq,
    nextNo: () => ++lastNo,
    wills,
    bodies,
    find: (clientId) => byClient.get(clientId),
    all: () => byNo.values(),
    match: tree.match,
    apply,
    settle(now) {
      for (const kept of byNo.values()) {
        // Who was connected when the process ended is away since then.
        kept.absentSince ||= now
        sortQueue(kept)
      }
      for (const body of [...bodies.values()]) if (body.refs === 0) forget(body)
    }
  }
}

/** A saved state may name a message later than the journal behind it does. */
function sortQueue(kept: Kept): void {
  const sorted = [...kept.queue].sort(([a], [b]) => a - b)
  kept.queue.clear()
  for (const [seq, entry] of sorted) kept.queue.set(seq, entry)
}

function sizeOf({ topic, payload }: Body): number {
  return topic.length + payload.length
}
