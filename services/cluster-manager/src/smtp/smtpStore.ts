import type { Found, Range } from '@fleetgate/kit'
import { containsPattern, pageOf, type Store, toConflict } from '@fleetgate/store'
import { type QueryFilter, Schema } from 'mongoose'
import { passwordContext, type SmtpServer, securities } from './smtp.js'

type SmtpDoc = Omit<SmtpServer, 'id' | 'caCert'> & {
  _id: string
  caCert?: string | undefined
  /** Empty where there is none. Never part of a list. */
  sealedPassword: string
}

const schema = new Schema<SmtpDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  name: { type: String, required: true },
  address: { type: String, required: true },
  port: { type: Number, required: true },
  security: { type: String, enum: securities, required: true },
  from: { type: String, required: true },
  caCert: String,
  hasPassword: { type: Boolean, required: true },
  revision: { type: Number, required: true },
  createdAt: { type: Number, required: true },
  updatedAt: { type: Number, required: true },
  sealedPassword: { type: String, select: false }
})
schema.index({ tenantId: 1, address: 1, name: 1 }, { unique: true })
schema.index({ tenantId: 1, createdAt: 1, _id: 1 })

export interface SmtpFilter {
  /** Part of the address, whatever its case. */
  address?: string | undefined
  sort: { field: 'name' | 'address' | 'createdAt' | 'updatedAt'; direction: 1 | -1 }
}

/** So many servers of a tenant take part in sending. */
const maxInTurn = 10
const taken = 'there is a server with this address and name already'

export type SmtpStore = ReturnType<typeof createSmtpStore>

export function createSmtpStore(store: Store) {
  const model = store.model<SmtpDoc>('smtp_servers', schema)
  store.declareSealed(model, {
    paths: ['sealedPassword'],
    textsOf: ({ _id, sealedPassword }) => [
      { path: 'sealedPassword', sealed: sealedPassword, context: passwordContext(_id) }
    ]
  })
  return {
    async insert({ id, ...rest }: SmtpServer, sealedPassword: string): Promise<void> {
      await model.create({ _id: id, ...rest, sealedPassword }).catch((error) => toConflict(error, taken))
    },

    async find(tenantId: string, id: string): Promise<SmtpServer | undefined> {
      const doc = await model.findOne({ _id: id, tenantId }).lean()
      return doc ? toServer(doc) : undefined
    },

    async list(tenantId: string, { address, sort }: SmtpFilter, range: Range): Promise<Found<SmtpServer>> {
      const filter: QueryFilter<SmtpDoc> = { tenantId }
      if (address !== undefined) filter.address = containsPattern(address)
      const found = await pageOf(model.find(filter).sort({ [sort.field]: sort.direction, _id: sort.direction }), range)
      return { items: found.items.map(toServer), total: found.total }
    },

    /** False where it is gone or was changed since; without `sealedPassword` the kept one stays. */
    async replace(server: SmtpServer, revision: number, sealedPassword?: string): Promise<boolean> {
      const { id, tenantId, createdAt, caCert, ...rest } = server
      const set = { ...rest, ...(caCert === undefined ? {} : { caCert }) }
      const change = {
        $set: sealedPassword === undefined ? set : { ...set, sealedPassword },
        ...(caCert === undefined ? { $unset: { caCert: 1 as const } } : {})
      }
      const result = await model
        .updateOne({ _id: id, tenantId, revision }, change)
        .catch((error) => toConflict(error, taken))
      return result.matchedCount === 1
    },

    async remove(tenantId: string, id: string): Promise<boolean> {
      return (await model.deleteOne({ _id: id, tenantId })).deletedCount === 1
    },

    async has(tenantId: string): Promise<boolean> {
      return (await model.exists({ tenantId })) !== null
    },

    /** With their sealed passwords, the oldest first. */
    async all(tenantId: string): Promise<(SmtpServer & { sealed: string })[]> {
      const docs = await model
        .find({ tenantId })
        .sort({ createdAt: 1, _id: 1 })
        .limit(maxInTurn)
        .select('+sealedPassword')
        .lean()
      return docs.map((doc) => ({ ...toServer(doc), sealed: doc.sealedPassword }))
    }
  }
}

function toServer(doc: Omit<SmtpDoc, 'sealedPassword'>): SmtpServer {
  const { _id, tenantId, name, address, port, security, from, hasPassword, revision, createdAt, updatedAt } = doc
  const server = { id: _id, tenantId, name, address, port, security, from, hasPassword, revision, createdAt, updatedAt }
  return doc.caCert === undefined ? server : { ...server, caCert: doc.caCert }
}
