import { type Bus, type Log, serviceTokenRevoked } from '@fleetgate/kit'
import {
  createOutbox,
  isDuplicateKey,
  type OutboxEntry,
  outboxField,
  type Page,
  type PageOf,
  pageOf,
  type Store
} from '@fleetgate/store'
import { Schema } from 'mongoose'

/** A key for a program, made by a person and limited to some of that person's codes. */
export interface ServiceToken {
  id: string
  tenantId: string
  userId: string
  name: string
  codes: string[]
  secretHash: string
  /** Epoch ms, all of them. */
  createdAt: number
  expiresAt: number
  /** To the minute. */
  lastUsedAt?: number | undefined
}

interface ServiceTokenDoc extends Omit<ServiceToken, 'id'> {
  _id: string
  /** `<user>:<number>`, unique, so that the database holds the limit; absent once revoked. */
  slot?: string
  revokedAt?: number
  outbox?: OutboxEntry[]
}

const schema = new Schema<ServiceTokenDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  userId: { type: String, required: true },
  name: { type: String, required: true },
  codes: [String],
  secretHash: { type: String, required: true },
  createdAt: { type: Number, required: true },
  expiresAt: { type: Number, required: true, index: true },
  lastUsedAt: Number,
  slot: { type: String, unique: true, sparse: true },
  revokedAt: { type: Number, index: true, sparse: true },
  outbox: outboxField
})
schema.index({ tenantId: 1, userId: 1, _id: -1 })
schema.index({ tenantId: 1, _id: -1 })

const living = { revokedAt: { $exists: false } }

export type ServiceTokenStore = ReturnType<typeof createServiceTokenStore>

export function createServiceTokenStore({ store, bus, log }: { store: Store; bus: Bus; log: Log }) {
  const model = store.model<ServiceTokenDoc>('service_tokens', schema)
  const outbox = createOutbox({ model, bus, log })

  async function freeSlots(userId: string, limit: number): Promise<string[]> {
    const slots = Array.from({ length: limit }, (_, number) => `${userId}:${number}`)
    const taken = await model
      .find({ slot: { $in: slots } })
      .select('slot')
      .lean()
    const used = new Set(taken.map(({ slot }) => slot))
    return slots.filter((slot) => !used.has(slot))
  }

  return {
    outbox,
    /** False when the user has `limit` tokens already. */
    async insert({ id, ...rest }: ServiceToken, limit: number): Promise<boolean> {
      await model.deleteMany({ tenantId: rest.tenantId, userId: rest.userId, expiresAt: { $lte: rest.createdAt } })
      for (;;) {
        const [slot] = await freeSlots(rest.userId, limit)
        if (slot === undefined) return false
        try {
          await model.create({ _id: id, ...rest, slot })
          return true
        } catch (error) {
          // Another request took the slot; the next round sees it.
          if (!isDuplicateKey(error)) throw error
        }
      }
    },
    async find(id: string): Promise<ServiceToken | undefined> {
      const doc = await model.findOne({ _id: id, ...living }).lean()
      return doc ? toServiceToken(doc) : undefined
    },
    /** Newest first; without a user those of the whole tenant. */
    async list(of: { tenantId: string; userId?: string | undefined }, page: Page): Promise<PageOf<ServiceToken>> {
      const { tenantId, userId } = of
      const filter = { tenantId, ...(userId === undefined ? {} : { userId }), ...living }
      const { items, total } = await pageOf(model.find(filter).sort({ _id: -1 }), page)
      return { items: items.map(toServiceToken), total }
    },
    async used(id: string, at: number): Promise<void> {
      await model.updateOne({ _id: id }, { $set: { lastUsedAt: at } })
    },
    /** False where there is no such token (of that user, where one is given). */
    async revoke(of: { tenantId: string; userId?: string | undefined; id: string }, at: number): Promise<boolean> {
      const { tenantId, userId, id } = of
      const entry = outbox.entry(serviceTokenRevoked, { tokenId: id, tenantId, at })
      const result = await model.updateOne(
        { _id: id, tenantId, ...(userId === undefined ? {} : { userId }), ...living },
        { $set: { revokedAt: at }, $unset: { slot: 1 }, $push: { outbox: entry } }
      )
      if (result.matchedCount === 1) await outbox.flush([id])
      return result.matchedCount === 1
    },
    /** The event that deletes a user has told everybody already. */
    async removeOf(users: { tenantId: string; userId: string }[]): Promise<void> {
      await model.deleteMany({ $or: users.map(({ tenantId, userId }) => ({ tenantId, userId })) })
    },
    async purge(now: number): Promise<void> {
      await model.deleteMany({ expiresAt: { $lt: now } })
      await model.deleteMany({ revokedAt: { $exists: true }, outbox: { $size: 0 } })
    }
  }
}

function toServiceToken(doc: ServiceTokenDoc): ServiceToken {
  return {
    id: doc._id,
    tenantId: doc.tenantId,
    userId: doc.userId,
    name: doc.name,
    codes: [...doc.codes],
    secretHash: doc.secretHash,
    createdAt: doc.createdAt,
    expiresAt: doc.expiresAt,
    lastUsedAt: doc.lastUsedAt
  }
}
