import { type Bus, functionCodes, type Log, serviceTokenRevoked } from '@fleetgate/kit'
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

/** What makes a service token an access key (AK/SK): it signs requests instead of travelling with them. */
export interface AccessKey {
  key: string
  /** A signature is checked with the secret itself, so a hash of it would not do. */
  sealedSecret: string
  description: string
  /** An inactive one rests until it is activated. */
  isActive: boolean
}

/** A key for a program, made by a person and limited to some of that person's codes. */
export interface ServiceToken {
  id: string
  tenantId: string
  userId: string
  name: string
  codes: string[]
  /** Of nothing for an access key: no text is its token. */
  secretHash: string
  access?: AccessKey | undefined
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

const accessSchema = new Schema<AccessKey>(
  { key: String, sealedSecret: String, description: String, isActive: Boolean },
  { _id: false }
)

const schema = new Schema<ServiceTokenDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  userId: { type: String, required: true },
  name: { type: String, required: true },
  codes: [String],
  secretHash: String,
  access: accessSchema,
  createdAt: { type: Number, required: true },
  expiresAt: { type: Number, required: true, index: true },
  lastUsedAt: Number,
  slot: { type: String, unique: true, sparse: true },
  revokedAt: { type: Number, index: true, sparse: true },
  outbox: outboxField
})
schema.index({ tenantId: 1, userId: 1, _id: -1 })
schema.index({ tenantId: 1, _id: -1 })
schema.index({ 'access.key': 1 }, { unique: true, sparse: true })

const living = { revokedAt: { $exists: false } }

/** Of a user, or of the whole tenant where none is given. */
interface Owner {
  tenantId: string
  userId?: string | undefined
}

export type ServiceTokenStore = ReturnType<typeof createServiceTokenStore>

export function createServiceTokenStore({ store, bus, log }: { store: Store; bus: Bus; log: Log }) {
  const model = store.model<ServiceTokenDoc>('service_tokens', schema)
  store.declareSealed(model, {
    paths: ['access.sealedSecret'],
    textsOf: ({ tenantId, access }) =>
      access
        ? [{ path: 'access.sealedSecret', sealed: access.sealedSecret, context: accessContext(tenantId, access.key) }]
        : []
  })
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

  function revoked(tokenId: string, tenantId: string, at: number): OutboxEntry {
    return outbox.entry(serviceTokenRevoked, { tokenId, tenantId, at })
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
    /** Only auth itself asks without a tenant: a signature names none. */
    async findByAccessKey(key: string, owner?: Owner): Promise<ServiceToken | undefined> {
      const doc = await model.findOne({ 'access.key': key, ...(owner && ofOwner(owner)), ...living }).lean()
      return doc ? toServiceToken(doc) : undefined
    },
    /** Whoever has heard of the key lately is told to ask again. False where there is no such token any more. */
    async changeAccess({ id, tenantId }: ServiceToken, change: Partial<AccessKey>, at: number): Promise<boolean> {
      const fields = Object.entries(change).map(([name, value]) => [`access.${name}`, value])
      const result = await model.updateOne(
        { _id: id, tenantId, ...living },
        { $set: Object.fromEntries(fields), $push: { outbox: revoked(id, tenantId, at) } }
      )
      if (result.matchedCount === 1) await outbox.flush([id])
      return result.matchedCount === 1
    },
    /** Newest first. */
    async list(of: Owner, page: Page): Promise<PageOf<ServiceToken>> {
      const filter = { ...ofOwner(of), ...living }
      const { items, total } = await pageOf(model.find(filter).sort({ _id: -1 }), page)
      return { items: items.map(toServiceToken), total }
    },
    async used(id: string, at: number): Promise<void> {
      await model.updateOne({ _id: id }, { $set: { lastUsedAt: at } })
    },
    /** False where there is no such token (of that user, where one is given). */
    async revoke({ id, ...of }: Owner & { id: string }, at: number): Promise<boolean> {
      const result = await model.updateOne(
        { _id: id, ...ofOwner(of), ...living },
        { $set: { revokedAt: at }, $unset: { slot: 1 }, $push: { outbox: revoked(id, of.tenantId, at) } }
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

/** What the secret of an access key is sealed with. */
export function accessContext(tenantId: string, key: string): string {
  return `accessKey:${tenantId}:${key}`
}

function ofOwner({ tenantId, userId }: Owner): Owner {
  return { tenantId, ...(userId === undefined ? {} : { userId }) }
}

/** An access key is not limited: it may what its person may, whatever codes there will be. */
function toServiceToken(doc: ServiceTokenDoc): ServiceToken {
  return {
    id: doc._id,
    tenantId: doc.tenantId,
    userId: doc.userId,
    name: doc.name,
    codes: doc.access ? [...functionCodes] : [...doc.codes],
    secretHash: doc.secretHash,
    access: doc.access,
    createdAt: doc.createdAt,
    expiresAt: doc.expiresAt,
    lastUsedAt: doc.lastUsedAt
  }
}
