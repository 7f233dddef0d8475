import {
  AppError,
  type Bus,
  type CommandContract,
  commandSubject,
  commands,
  detached,
  type EventContract,
  encodePayload,
  eventSubject,
  type Log,
  newId,
  type Origin,
  originOr,
  type Static,
  type TSchema
} from '@fleetgate/contracts'
import { type Model, Schema } from 'mongoose'

/** A message that waits in the document whose write caused it. */
export interface OutboxEntry {
  id: string
  /** The full NATS subject. */
  subject: string
  /** The payload as JSON text, so that no key of it is taken for an operator or a path. */
  data: string
  at: number
  requestId?: string
  traceparent?: string
}

export interface Outbox {
  /**
   * An entry for the document's `outbox`: `$push: { outbox: entry }` or part of an insert, in the same write. It keeps the origin
   * of the work that made it, whichever replica sends it.
   */
  entry<S extends TSchema>(
    contract: EventContract<S> | CommandContract<S>,
    data: Static<S>,
    origin?: Origin
  ): OutboxEntry
  /** Publishes what waits in these documents. Never rejects: what fails is left to the sweep. */
  flush(ids?: unknown[]): Promise<void>
  start(): void
  stop(): Promise<void>
}

const entrySchema = new Schema<OutboxEntry>(
  {
    // Sparse: only documents with something to send stand in the index.
    id: { type: String, required: true, index: { sparse: true } },
    subject: { type: String, required: true },
    data: { type: String, required: true },
    at: { type: Number, required: true },
    requestId: String,
    traceparent: String
  },
  { _id: false, id: false }
)

/** Schema part: `outbox: outboxField`. Reads leave it out unless asked for. */
export const outboxField = { type: [entrySchema], select: false, default: undefined }

const sweepMs = 1_000
const documentsAtOnce = 200
const publishMs = 3_000

interface Waiting {
  _id: unknown
  outbox?: OutboxEntry[]
}

type Filter = Record<string, unknown>

/**
 * Store first, publish second: entries are written with their document, published under their id (so that the
 * stream drops repeats) and then pulled. A sweep each second sends what a crash or an outage left behind.
 */
export function createOutbox<T>({ model, bus, log }: { model: Model<T>; bus: Bus; log: Log }): Outbox {
  const send = createSender(model as unknown as Model<Waiting>, bus, log)
  let collected: unknown[] = []
  let collecting: Promise<void> | undefined
  let last: Promise<void> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined

  /** One after the other: two at once would publish the same entries. */
  function enqueue(work: () => Promise<void>): Promise<void> {
    // On behalf of all who wrote: each entry has an origin of its own.
    last = last.then(() => detached(work))
    return last
  }

  async function sweep(): Promise<void> {
    // Younger entries are with the flush of the request that wrote them.
    await enqueue(() => send({ 'outbox.at': { $lt: Date.now() - sweepMs } }))
    if (timer) timer = setTimeout(sweep, sweepMs)
  }

  return {
    entry(contract, data, origin = {}) {
      const { requestId, traceparent } = originOr(origin)
      const isCommand = commands.some((command) => command === contract)
      const subject = isCommand ? commandSubject(contract) : eventSubject(contract)
      const entry = { id: newId(), subject, data: encodePayload(contract.data, data), at: Date.now() }
      return { ...entry, ...(requestId && { requestId }), ...(traceparent && { traceparent }) }
    },
    flush(ids) {
      if (!ids) return enqueue(() => send({}))
      collected.push(...ids)
      // Whoever comes while one is at work goes together in the next: one read and one write for all.
      collecting ??= enqueue(() => {
        const together = collected
        collected = []
        collecting = undefined
        return send({ _id: { $in: together } })
      })
      return collecting
    },
    start() {
      timer ??= setTimeout(sweep, 0)
    },
    async stop() {
      clearTimeout(timer)
      timer = undefined
      await last
    }
  }
}

/** Publishes and pulls what waits in the documents of a filter; never rejects. */
function createSender(model: Model<Waiting>, bus: Bus, log: Log): (filter: Filter) => Promise<void> {
  const collection = model.collection.collectionName

  async function publish({ id, subject, data, requestId, traceparent }: OutboxEntry): Promise<void> {
    try {
      await bus.publishRaw(subject, data, { id, requestId, traceparent, deadlineMs: publishMs })
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'body_too_large')) throw error
      log.error({ err: error, collection, subject, id }, 'outbox entry can never be sent, dropped')
    }
  }

  /** Entries of one document go in order; the first failure leaves the rest for later. */
  async function publishAll(document: Waiting): Promise<string[]> {
    const sent: string[] = []
    try {
      for (const entry of document.outbox ?? []) {
        await publish(entry)
        sent.push(entry.id)
      }
    } catch (error) {
      log.warn({ err: error, collection }, 'outbox not sent, trying again')
    }
    return sent
  }

  async function sendSome(filter: Filter): Promise<boolean> {
    // A range on the index: it holds only documents with entries.
    const waiting = { ...filter, 'outbox.id': { $gt: '' } }
    const documents = await model.find(waiting).select('outbox').limit(documentsAtOnce).lean<Waiting[]>()
    const sent = await Promise.all(documents.map(publishAll))
    const pulls = documents.flatMap(({ _id }, index) => {
      const ids = sent[index] ?? []
      const update = { $pull: { outbox: { id: { $in: ids } } } }
      return ids.length > 0 ? [{ updateOne: { filter: { _id }, update } }] : []
    })
    if (pulls.length > 0) await model.bulkWrite(pulls, { ordered: false })
    return documents.length === documentsAtOnce && pulls.length > 0
  }

  return async (filter) => {
    try {
      let isMore = bus.isReady()
      while (isMore) isMore = await sendSome(filter)
    } catch (error) {
      log.warn({ err: error, collection }, 'outbox not read, trying again')
    }
  }
}
