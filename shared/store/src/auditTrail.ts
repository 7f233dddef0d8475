import {
  type AuditRecord,
  type Bus,
  changeRecorded,
  type Deed,
  type Deeds,
  type Log,
  newId
} from '@fleetgate/contracts'
import { Schema } from 'mongoose'
import { createOutbox, type OutboxEntry, outboxField } from './outbox.js'
import type { Store } from './store.js'

interface TrailDoc {
  _id: string
  tenantId: string
  /** Epoch ms. */
  at: number
  /** As it was begun, as JSON text. */
  record: string
  /** Epoch ms; from then on the record waits in the outbox, and once it has left, for nothing. */
  endedAt?: number
  outbox?: OutboxEntry[]
}

interface Ended {
  id: string
  write: object
}

const schema = new Schema<TrailDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  at: { type: Number, required: true },
  record: { type: String, required: true },
  endedAt: Number,
  outbox: outboxField
})
schema.index({ endedAt: 1, at: 1 })

/** Few requests take that long: whoever was at work on it has most likely died. One that lives tells its end behind that. */
const lostAfterMs = 2 * 60_000
const sweepMs = 15_000
const lostAtOnce = 200
/** Ends that come within so long are written and told together: each by itself would cost more than its change. */
const gatherMs = 100
const againMs = 1_000

export interface AuditTrailOptions {
  store: Store
  bus: Bus
  log: Log
  service: string
  now?: () => number
  sweepMs?: number
}

export interface AuditTrail extends Deeds {
  start(): void
  stop(): Promise<void>
}

/**
 * Records of changes on their way to auth. Each is on disk before its change begins and leaves once the stream has it, so none is lost
 * while NATS is away or when a process dies; told twice, it counts once. The end follows a moment later: a process that dies within it leaves `started`.
 */
export function createAuditTrail({
  store,
  bus,
  log,
  service,
  now = Date.now,
  ...options
}: AuditTrailOptions): AuditTrail {
  const model = store.model<TrailDoc>('auditTrail', schema)
  const outbox = createOutbox({ model, bus, log })
  /** The driver's own: with what mongoose does around it a record would cost half as much again. */
  const documents = model.collection
  let ended: Ended[] = []
  let gathering: NodeJS.Timeout | undefined
  let writing = Promise.resolve()
  let timer: NodeJS.Timeout | undefined
  let running = Promise.resolve()

  function writeSoon(afterMs: number): void {
    gathering ??= setTimeout(() => {
      gathering = undefined
      writing = writing.then(writeEnds)
    }, afterMs)
  }

  /** Never rejects: what could not be written is written later. */
  async function writeEnds(): Promise<void> {
    const taken = ended
    if (taken.length === 0) return
    ended = []
    try {
      await documents.bulkWrite(taken.map(({ write }) => write) as never, { ordered: false })
      void outbox.flush(taken.map(({ id }) => id))
    } catch (err) {
      log.warn({ err }, 'ends of changes not recorded, trying again')
      ended = [...taken, ...ended]
      writeSoon(againMs)
    }
  }

  async function tellLost(): Promise<void> {
    const lost = await model
      .find({ endedAt: null, at: { $lt: now() - lostAfterMs } })
      .limit(lostAtOnce)
      .lean<TrailDoc[]>()
    for (const { _id, record } of lost) {
      const begun = JSON.parse(record) as AuditRecord
      const entry = outbox.entry(changeRecorded, begun, { requestId: begun.requestId })
      await model.updateOne({ _id, endedAt: null }, { $set: { endedAt: now() }, $push: { outbox: entry } })
    }
    if (lost.length > 0) await outbox.flush(lost.map(({ _id }) => _id))
  }

  async function sweep(): Promise<void> {
    try {
      await tellLost()
      await model.deleteMany({ endedAt: { $lte: now() }, outbox: { $size: 0 } })
    } catch (err) {
      log.warn({ err }, 'records of changes not swept, trying again later')
    }
  }

  function turn(): void {
    running = sweep().then(() => {
      if (timer) timer = setTimeout(turn, options.sweepMs ?? sweepMs)
    })
  }

  return {
    async begin(deed: Deed) {
      const begun: AuditRecord = { ...deed, id: newId(now()), service, at: now(), result: 'started' }
      const kept = { tenantId: begun.tenantId, at: begun.at, record: JSON.stringify(begun) }
      await documents.insertOne({ _id: begun.id, ...kept } as never)
      return async (end) => {
        const entry = outbox.entry(changeRecorded, { ...begun, ...end })
        const update = { $set: { endedAt: now() }, $push: { outbox: entry }, $setOnInsert: kept }
        ended.push({ id: begun.id, write: { updateOne: { filter: { _id: begun.id }, update, upsert: true } } })
        writeSoon(gatherMs)
      }
    },
    start() {
      outbox.start()
      timer ??= setTimeout(turn, options.sweepMs ?? sweepMs)
    },
    async stop() {
      clearTimeout(timer)
      clearTimeout(gathering)
      timer = undefined
      await running
      await writing
      await writeEnds()
      clearTimeout(gathering)
      await outbox.stop()
    }
  }
}
