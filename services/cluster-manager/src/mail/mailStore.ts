import { type Bus, type Found, type Log, mailFailed, type Origin, type Range } from '@fleetgate/kit'
import { createOutbox, isDuplicateKey, type OutboxEntry, outboxField, pageOf, type Store } from '@fleetgate/store'
import { Schema } from 'mongoose'
import { type Mail, type MailState, mailStates, type Refusal } from './mail.js'

type MailDoc = Mail & {
  _id: string
  /** No other replica sends it before. Epoch ms. */
  leaseUntil: number
  /** When it is deleted, once it has ended. */
  purgeAt?: Date
  outbox?: OutboxEntry[]
}

const schema = new Schema<MailDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  messageId: { type: String, required: true },
  to: { type: [String], required: true },
  open: { type: [String], required: true },
  refused: { type: [new Schema<Refusal>({ address: String, reason: String }, { _id: false })], required: true },
  subject: { type: String, required: true },
  text: String,
  state: { type: String, enum: mailStates, required: true },
  attempts: { type: Number, required: true },
  nextAttemptAt: { type: Number, required: true },
  reason: String,
  epoch: { type: Number, required: true },
  leaseUntil: { type: Number, required: true },
  origin: {
    type: new Schema<Origin>({ requestId: String, traceparent: String }, { _id: false }),
    default: undefined
  },
  createdAt: { type: Number, required: true },
  sentAt: Number,
  purgeAt: Date,
  outbox: outboxField
})
const waiting = { partialFilterExpression: { state: 'WAITING' } }
schema.index({ nextAttemptAt: 1 }, waiting)
schema.index({ tenantId: 1 }, waiting)
schema.index({ tenantId: 1, createdAt: -1, _id: -1 })
schema.index({ tenantId: 1, state: 1, createdAt: -1, _id: -1 })
schema.index({ purgeAt: 1 }, { expireAfterSeconds: 0 })

export interface MailStoreOptions {
  bus: Bus
  log: Log
  /** How long a mail, and with it its messageId, is kept after its end. */
  keepMs: number
}

export interface Claim {
  now: number
  leaseMs: number
  /** Whose mails are being sent here already: one slow server does not hold up the others. */
  except: readonly string[]
}

/** What became of an attempt: who is left, and what was said. */
export interface Attempted {
  open: string[]
  refused: Refusal[]
  reason: string | undefined
}

export type MailStore = ReturnType<typeof createMailStore>

export function createMailStore(store: Store, { bus, log, keepMs }: MailStoreOptions) {
  const model = store.model<MailDoc>('mails', schema)
  const outbox = createOutbox({ model, bus, log })
  const idOf = ({ tenantId, messageId }: Pick<Mail, 'tenantId' | 'messageId'>) => `${tenantId}:${messageId}`
  /** Matches only while the lease of this attempt is the latest one. */
  const fence = (mail: Mail) => ({ _id: idOf(mail), state: 'WAITING' as const, epoch: mail.epoch })

  return {
    outbox,

    /** False where it is there already. */
    async insert(mail: Mail): Promise<boolean> {
      try {
        await model.create({ _id: idOf(mail), ...mail, leaseUntil: 0 })
        return true
      } catch (error) {
        if (isDuplicateKey(error)) return false
        throw error
      }
    },

    /** Takes a mail that is due, for one attempt; of several replicas one gets it. */
    async claim({ now, leaseMs, except }: Claim): Promise<Mail | undefined> {
      const due = { state: 'WAITING' as const, nextAttemptAt: { $lte: now }, leaseUntil: { $lte: now } }
      const take = { $set: { leaseUntil: now + leaseMs }, $inc: { epoch: 1, attempts: 1 } }
      const doc = await model
        .findOneAndUpdate({ ...due, tenantId: { $nin: [...except] } }, take, { returnDocument: 'after' })
        .sort({ nextAttemptAt: 1 })
        .lean()
      return doc ? toMail(doc) : undefined
    },

    /** Every one of these answers false where another lease has begun meanwhile. */
    async sent(mail: Mail, at: number): Promise<boolean> {
      const final = { state: 'SENT' as const, open: [], sentAt: at, leaseUntil: 0, purgeAt: new Date(at + keepMs) }
      return (await model.updateOne(fence(mail), { $set: final, $unset: { reason: 1 } })).matchedCount === 1
    },

    async putOff(mail: Mail, { open, refused, reason }: Attempted, at: number, attempts: number): Promise<boolean> {
      const wait = { open, refused, reason, attempts, nextAttemptAt: at, leaseUntil: 0 }
      return (await model.updateOne(fence(mail), { $set: wait })).matchedCount === 1
    },

    async failed(mail: Mail, { open, refused, reason = '' }: Attempted, at: number): Promise<boolean> {
      const { tenantId, messageId } = mail
      const final = { state: 'FAILED' as const, open, refused, reason, leaseUntil: 0, purgeAt: new Date(at + keepMs) }
      const event = outbox.entry(mailFailed, { tenantId, messageId, reason, failedAt: at })
      const result = await model.updateOne(fence(mail), { $set: final, $push: { outbox: event } })
      if (result.matchedCount === 1) await outbox.flush([idOf(mail)])
      return result.matchedCount === 1
    },

    /** What waits for a server is due at once. */
    async wake(tenantId: string, now: number): Promise<void> {
      await model.updateMany(
        { tenantId, state: 'WAITING', nextAttemptAt: { $gt: now } },
        { $set: { nextAttemptAt: now } }
      )
    },

    async list(tenantId: string, state: MailState | undefined, range: Range): Promise<Found<Mail>> {
      const filter = { tenantId, ...(state === undefined ? {} : { state }) }
      const found = await pageOf(model.find(filter).sort({ createdAt: -1, _id: -1 }), range)
      return { items: found.items.map(toMail), total: found.total }
    }
  }
}

function toMail(doc: Omit<MailDoc, '_id'>): Mail {
  return {
    tenantId: doc.tenantId,
    messageId: doc.messageId,
    to: doc.to,
    open: doc.open,
    refused: doc.refused.map(({ address, reason }) => ({ address, reason })),
    subject: doc.subject,
    text: doc.text,
    state: doc.state,
    attempts: doc.attempts,
    nextAttemptAt: doc.nextAttemptAt,
    reason: doc.reason,
    epoch: doc.epoch,
    origin: doc.origin,
    createdAt: doc.createdAt,
    sentAt: doc.sentAt
  }
}
