import type { Log } from '@fleetgate/contracts'
import type { InboundMessage, Session } from '../../brokerDriver.js'
import { type Journal, openJournal } from './journal.js'
import type { MessageRecord } from './messageRecord.js'
import { createPump, type Deliver, type Pump } from './pump.js'
import { decodeAll, encode, type KeptFacts, type SessionRecord, type StepRecord, type WillRecord } from './records.js'
import { createSessionState, type Entry, type Kept } from './sessionState.js'
import { snapshotOf } from './snapshot.js'

/** Sessions that outlast their connection (clean = false), with all that waits for them; they outlast the process too. */
export interface KeptSessions {
  find(clientId: string): Kept | undefined
  all(): Iterable<Kept>
  /** A client has come: with a clean session its kept one ends, otherwise it goes on or begins. */
  connected(session: Session): void
  disconnected(session: Session): void
  /** Sends the queue to this connection from now on. */
  attach(session: Session, deliver: Deliver): void
  subscribe(clientId: string, filters: [filter: string, qos: number][]): Promise<void>
  unsubscribe(clientId: string, filters: string[]): Promise<void>
  /** The session, its subscriptions and its queue are over. */
  end(clientId: string): void
  /**
   * Resolves when everybody's copy is on the disk: of each session that subscribed with QoS 1 or 2, and the retained one.
   * Topics stand below the mount point. `from`: a QoS 2 sender, whose packet id is remembered with it.
   */
  accept(message: InboundMessage, from?: { clientId: string; id: number }): Promise<void>
  /** One step of a message: holds at once, resolves when it is on the disk. */
  step(kind: StepRecord['kind'], kept: Kept, what: { seq?: number; id: number }): Promise<void>
  /** The same, where nothing is lost if a crash undoes it. */
  noteStep(kind: StepRecord['kind'], kept: Kept, what: { seq?: number; id: number }): void
  putWill(will: Omit<WillRecord, 'facts'>, session: Session): Promise<void>
  dropWill(clientId: string, connectedAt: number): void
  will(clientId: string): WillRecord | undefined
  wills(): WillRecord[]
  close(): Promise<void>
}

export interface KeptLimits {
  /** Messages a session's queue holds, those on their way included. */
  queueLength: number
  /** Bytes of everything that waits, each message counted once. */
  queuedBytes: number
  expiryMs: number
}

export interface KeptParts {
  dir: string
  log: Log
  limits: KeptLimits
  now: () => number
  /** Bytes of journal after which the state is written anew. */
  compactAfterBytes?: number
  retained: {
    /** Whether a retained message of this topic is kept. */
    takes(topic: string, payload: Buffer): boolean
    store(message: MessageRecord): void
    all(): Iterable<MessageRecord>
  }
  onQueued(clientId: string, payload: Buffer): void
  /** A queue is full. */
  onDropped(clientId: string): void
  onForgotten(clientId: string): void
}

const sweepMs = 30_000
const defaultCompactAfterBytes = 64 * 1024 * 1024

/** Opens the folder and rebuilds what an earlier process left there. */
export async function openKeptSessions(parts: KeptParts): Promise<KeptSessions> {
  const { limits, now, retained } = parts
  const pumps = new Map<string, { session: Session; pump: Pump }>()
  let isLive = false

  const state = createSessionState({
    onQueued(kept, entry) {
      if (!isLive) return
      parts.onQueued(kept.facts.clientId, entry.body.payload)
      pumps.get(kept.facts.clientId)?.pump.push(entry)
    },
    onRetained: retained.store
  })
  const journal = await openJournal({
    dir: parts.dir,
    log: parts.log,
    compactAfterBytes: parts.compactAfterBytes ?? defaultCompactAfterBytes,
    replay: (bytes) => decodeAll(bytes, state.apply),
    snapshot: () => snapshotOf(state, retained.all())
  })
  state.settle(now())
  isLive = true

  const write = (record: SessionRecord) => journal.append(encode(record), () => state.apply(record))
  const note = (record: SessionRecord) => {
    state.apply(record)
    journal.note(encode(record))
  }

  function end(kept: Kept): void {
    pumps.get(kept.facts.clientId)?.pump.stop()
    pumps.delete(kept.facts.clientId)
    note({ kind: 'ended', no: kept.facts.no })
  }

  const timer = setInterval(sweep, Math.min(sweepMs, limits.expiryMs))
  timer.unref()
  function sweep(): void {
    const limit = now() - limits.expiryMs
    for (const kept of [...state.all()]) {
      if (kept.absentSince === 0 || kept.absentSince > limit) continue
      end(kept)
      parts.onForgotten(kept.facts.clientId)
    }
  }

  const accept = createAccept({ parts, state, journal })
  return {
    find: state.find,
    all: state.all,
    end(clientId) {
      const kept = state.find(clientId)
      if (kept) end(kept)
    },

    connected(session) {
      const older = state.find(session.clientId)
      if (older && (session.clean || older.facts.tenantId !== session.tenantId)) end(older)
      if (session.clean) return
      const known = state.find(session.clientId)?.facts
      const facts = factsOf(session, known?.no ?? state.nextNo(), known?.createdAt ?? session.connectedAt)
      note({ kind: 'session', facts })
      note({ kind: 'absent', no: facts.no, at: 0 })
    },

    disconnected(session) {
      const running = pumps.get(session.clientId)
      if (running?.session === session) {
        running.pump.stop()
        pumps.delete(session.clientId)
      }
      const kept = state.find(session.clientId)
      if (kept?.facts.connectedAt === session.connectedAt) note({ kind: 'absent', no: kept.facts.no, at: now() })
    },

    attach(session, deliver) {
      const kept = state.find(session.clientId)
      if (!kept || session.clean || kept.facts.connectedAt !== session.connectedAt) return
      pumps.get(session.clientId)?.pump.stop()
      pumps.set(session.clientId, { session, pump: createPump(kept.queue.values(), deliver) })
    },

    async subscribe(clientId, filters) {
      const kept = state.find(clientId)
      if (kept && filters.length > 0) await write({ kind: 'subscribed', no: kept.facts.no, filters })
    },

    async unsubscribe(clientId, filters) {
      const kept = state.find(clientId)
      if (kept && filters.length > 0) await write({ kind: 'unsubscribed', no: kept.facts.no, filters })
    },

    accept,
    step(kind, kept, { seq = 0, id }) {
      const record = { kind, no: kept.facts.no, seq, id }
      state.apply(record)
      return journal.append(encode(record))
    },
    noteStep: (kind, kept, { seq = 0, id }) => note({ kind, no: kept.facts.no, seq, id }),

    putWill: (will, session) =>
      write({ kind: 'will', will: { ...will, facts: factsOf(session, 0, session.connectedAt) } }),
    dropWill: (clientId, connectedAt) => note({ kind: 'willDone', clientId, connectedAt }),
    will: (clientId) => state.wills.get(clientId),
    wills: () => [...state.wills.values()],

    async close() {
      clearInterval(timer)
      for (const { pump } of pumps.values()) pump.stop()
      await journal.close()
    }
  }
}

interface AcceptParts {
  parts: KeptParts
  state: ReturnType<typeof createSessionState>
  journal: Journal
}

function createAccept({ parts, state, journal }: AcceptParts): KeptSessions['accept'] {
  const { limits, retained } = parts
  /** Places in queues of messages that are on their way to the disk. */
  const reserved = new Map<Kept, number>()

  function targetsOf(topic: string, qos: number): { kept: Kept[]; targets: number[] } {
    const found: { kept: Kept[]; targets: number[] } = { kept: [], targets: [] }
    if (qos === 0) return found
    for (const [kept, granted] of state.match(topic)) {
      const length = kept.queue.size + (reserved.get(kept) ?? 0)
      if (length >= limits.queueLength || state.queuedBytes >= limits.queuedBytes) {
        parts.onDropped(kept.facts.clientId)
        continue
      }
      reserved.set(kept, (reserved.get(kept) ?? 0) + 1)
      found.kept.push(kept)
      found.targets.push(kept.facts.no * 4 + Math.min(qos, granted))
    }
    return found
  }

  function release(kept: Kept[]): void {
    for (const one of kept) {
      const count = (reserved.get(one) ?? 1) - 1
      if (count > 0) reserved.set(one, count)
      else reserved.delete(one)
    }
  }

  return async ({ topic, payload, qos, retain }, from) => {
    const { kept, targets } = targetsOf(topic, qos)
    const sender = from && state.find(from.clientId)
    const isRetained = retain && retained.takes(topic, payload)
    if (targets.length === 0 && !isRetained && !sender) return
    const record: MessageRecord = {
      kind: 'message',
      seq: state.nextSeq(),
      topic,
      payload,
      qos,
      retain: isRetained,
      from: sender?.facts.no ?? 0,
      fromId: sender ? (from?.id ?? 0) : 0,
      targets
    }
    try {
      await journal.append(encode(record), () => state.apply(record))
    } finally {
      release(kept)
    }
  }
}

function factsOf(session: Session, no: number, createdAt: number): KeptFacts {
  const { clientId, tenantId, username, ip, port, keepalive, protoVer, connectedAt } = session
  return { no, clientId, tenantId, username, ip, port, keepalive, protoVer, connectedAt, createdAt }
}

/** The connection that these facts were written down for. */
export function sessionOf({ no: _no, createdAt: _createdAt, ...facts }: KeptFacts): Session {
  return { ...facts, clean: false }
}

export type { Entry, Kept }
