import { isDuplicateKey, type Store } from '@fleetgate/store'
import { type Model, mongo, Schema } from 'mongoose'
import type { Owner } from './owners.js'

/** The last connection of a client, and whether it lasts. */
export interface Presence {
  tenantId: string
  clientId: string
  username: string
  node: string
  ip: string
  port: number
  connectedAt: number
  disconnectedAt?: number | undefined
  reason?: string | undefined
  online: boolean
  keepalive: number
  protoVer: number
  clean: boolean
}

export interface PresenceStore {
  /**
   * Answers the client ids whose rows belong to another tenant; these are not written. A row of an older connection than the
   * one that stands is left out: `connectedAt` decides, and of one connection its end.
   */
  write(rows: Presence[]): Promise<string[]>
  owners(clientIds: string[]): Promise<Map<string, Owner>>
  find(tenantId: string, clientId: string, node?: string): Promise<Presence | undefined>
  /** Of any tenant, connected or not. */
  lastUser(clientId: string): Promise<{ tenantId: string; username: string } | undefined>
  /** Online clients of every tenant in order of client id. */
  listOnline(after: string, limit: number): Promise<Presence[]>
  /** Rows of this node that say online, or went offline since. */
  leftBehind(node: string, since: number): AsyncIterable<Presence>
  setAllOffline(node: string, at: number, reason: string): Promise<void>
}

const fields =
  '-_id tenantId clientId username node ip port connectedAt disconnectedAt reason online keepalive protoVer clean'

function schemaOf(): Schema<Presence> {
  return new Schema<Presence>({
    tenantId: { type: String, required: true },
    clientId: { type: String, required: true, unique: true },
    username: String,
    node: String,
    ip: String,
    port: Number,
    connectedAt: Number,
    disconnectedAt: Number,
    reason: String,
    online: Boolean,
    keepalive: Number,
    protoVer: Number,
    clean: Boolean
  })
    .index({ online: 1, clientId: 1 })
    .index({ node: 1, disconnectedAt: 1 })
}

export function createPresenceStore(store: Store): PresenceStore {
  const model = store.model<Presence>('presence', schemaOf())
  const lean = (filter: Record<string, unknown>) => model.find(filter).select(fields).lean<Presence[]>()

  return {
    write: (rows) => write(model, rows),

    async owners(clientIds) {
      const rows = await model
        .find({ clientId: { $in: clientIds } })
        .select('-_id clientId tenantId connectedAt')
        .lean<Presence[]>()
      return new Map(rows.map(({ clientId, tenantId, connectedAt }) => [clientId, { tenantId, connectedAt }]))
    },

    async find(tenantId, clientId, node) {
      const filter = { tenantId, clientId, online: true, ...(node === undefined ? {} : { node }) }
      return (await model.findOne(filter).select(fields).lean<Presence>()) ?? undefined
    },

    async lastUser(clientId) {
      const row = await model.findOne({ clientId }).select('-_id tenantId username').lean<Presence>()
      return row ? { tenantId: row.tenantId, username: row.username } : undefined
    },

    listOnline: (after, limit) =>
      lean({ online: true, clientId: { $gt: after } })
        .sort({ clientId: 1 })
        .limit(limit),

    async *leftBehind(node, since) {
      yield* lean({ node, online: true }).cursor() as AsyncIterable<Presence>
      yield* lean({ node, online: false, disconnectedAt: { $gte: since } }).cursor() as AsyncIterable<Presence>
    },

    async setAllOffline(node, at, reason) {
      await model.updateMany({ node, online: true }, { $set: { online: false, disconnectedAt: at, reason } })
    }
  }
}

/**
 * With several replicas rows of one client may arrive late: one of an older connection changes nothing, nor does the
 * beginning of a connection whose end is known. The filter names the tenant too. What it does not match becomes an insert
 * that the unique index refuses, and the row that stands tells why.
 */
async function write(model: Model<Presence>, rows: Presence[], isAgain = false): Promise<string[]> {
  const operations = rows.map((row) => {
    const { tenantId, clientId, disconnectedAt, reason, ...rest } = row
    const gone = disconnectedAt === undefined ? { $unset: { disconnectedAt: 1, reason: 1 } } : {}
    const set = disconnectedAt === undefined ? rest : { ...rest, disconnectedAt, reason }
    return {
      updateOne: { filter: { clientId, tenantId, $or: olderThan(row) }, update: { $set: set, ...gone }, upsert: true }
    }
  })
  try {
    // The driver's own: casting ten thousand rows that we have made ourselves takes longer than writing them.
    await model.collection.bulkWrite(operations as never, { ordered: false })
    return []
  } catch (error) {
    return settleRefused(model, refusedRows(error, rows), isAgain)
  }
}

function olderThan({ connectedAt, online }: Presence): Record<string, unknown>[] {
  const older = { connectedAt: { $lt: connectedAt } }
  return [older, online ? { connectedAt, online: true } : { connectedAt }]
}

/** Ids of other tenants. A row that lost to a newer one of its own tenant is done; one that lost to the first is tried again. */
async function settleRefused(model: Model<Presence>, refused: Presence[], isAgain: boolean): Promise<string[]> {
  const clientIds = refused.map(({ clientId }) => clientId)
  const found = await model
    .find({ clientId: { $in: clientIds } })
    .select('-_id clientId tenantId')
    .lean<Presence[]>()
  const owner = new Map(found.map(({ clientId, tenantId }) => [clientId, tenantId]))
  const isOwn = ({ clientId, tenantId }: Presence) => owner.get(clientId) === tenantId
  const own = refused.filter(isOwn)
  const foreign = refused.filter((row) => !isOwn(row)).map(({ clientId }) => clientId)
  return own.length === 0 || isAgain ? foreign : [...foreign, ...(await write(model, own, true))]
}

function refusedRows(error: unknown, rows: Presence[]): Presence[] {
  if (!(error instanceof mongo.MongoBulkWriteError)) throw error
  const errors = Array.isArray(error.writeErrors) ? error.writeErrors : [error.writeErrors]
  // A lost connection comes as such an error too, with no write to blame.
  if (errors.length === 0 || !errors.every(isDuplicateKey)) throw error
  return errors.flatMap(({ index }) => rows[index] ?? [])
}
