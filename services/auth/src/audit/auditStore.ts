import { type AuditRecord, type DeedEnd, newId } from '@fleetgate/kit'
import { type AnyBulkWriteOperation, type Page, type PageOf, pageOf, type Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

type AuditDoc = Omit<AuditRecord, 'id'> & { _id: string }

/** Records from before others told theirs name no service. */
const own = 'auth'

const schema = new Schema<AuditDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  service: { type: String, default: own },
  at: { type: Number, required: true },
  action: { type: String, required: true },
  targets: [String],
  userId: String,
  email: String,
  serviceTokenId: String,
  address: String,
  requestId: String,
  result: { type: String, required: true },
  error: String
})
// Ids are in order of time, so each of these serves its filter, the span of time and the order of the list.
schema.index({ tenantId: 1, _id: -1 })
schema.index({ tenantId: 1, service: 1, _id: -1 })
schema.index({ tenantId: 1, userId: 1, _id: -1 })
schema.index({ tenantId: 1, action: 1, _id: -1 })
schema.index({ tenantId: 1, targets: 1, _id: -1 })

export interface AuditFilter {
  tenantId: string
  service?: string | undefined
  userId?: string | undefined
  action?: string | undefined
  target?: string | undefined
  /** Epoch ms, both ends included. */
  from?: number | undefined
  to?: number | undefined
}

export type AuditStore = ReturnType<typeof createAuditStore>

export function createAuditStore(store: Store) {
  const model = store.model<AuditDoc>('audit', schema)
  return {
    async insert(entry: Omit<AuditRecord, 'id'>): Promise<string> {
      const id = newId(entry.at)
      await model.create({ _id: id, ...entry })
      return id
    },
    async finish(id: string, { result, error, targets }: DeedEnd): Promise<void> {
      await model.updateOne({ _id: id }, { $set: { result, targets, ...(error === undefined ? {} : { error }) } })
    },
    /** Takes what other services tell, also again: what ended replaces what was begun, never the other way round. */
    async merge(records: readonly AuditRecord[]): Promise<void> {
      await model.bulkWrite(records.map(toMerge), { ordered: true })
    },
    /** Newest first. */
    async search(
      { tenantId, service, userId, action, target, from, to }: AuditFilter,
      page: Page
    ): Promise<PageOf<AuditRecord>> {
      const filter = {
        tenantId,
        ...(service === undefined ? {} : { service: service === own ? { $in: [own, null] } : service }),
        ...(userId === undefined ? {} : { userId }),
        ...(action === undefined ? {} : { action }),
        ...(target === undefined ? {} : { targets: target }),
        ...(from === undefined && to === undefined ? {} : { _id: span(from, to) })
      }
      const { items, total } = await pageOf(model.find(filter).sort({ _id: -1 }), page)
      return { items: items.map(toRecord), total }
    },
    async purge(before: number): Promise<void> {
      await model.deleteMany({ _id: { $lt: firstIdOf(before) } })
    }
  }
}

function toMerge({ id, ...record }: AuditRecord): AnyBulkWriteOperation<AuditDoc> {
  const update = record.result === 'started' ? { $setOnInsert: record } : { $set: record }
  return { updateOne: { filter: { _id: id }, update, upsert: true } }
}

function span(from: number | undefined, to: number | undefined) {
  return {
    ...(from === undefined ? {} : { $gte: firstIdOf(from) }),
    ...(to === undefined ? {} : { $lt: firstIdOf(to + 1) })
  }
}

/** See newId: 48 bits of time lead. */
function firstIdOf(at: number): string {
  return Math.max(0, Math.floor(at)).toString(16).padStart(12, '0')
}

function toRecord({ _id, serviceTokenId, error, ...doc }: AuditDoc): AuditRecord {
  return {
    id: _id,
    tenantId: doc.tenantId,
    service: doc.service,
    at: doc.at,
    action: doc.action,
    targets: [...doc.targets],
    userId: doc.userId,
    email: doc.email,
    ...(serviceTokenId === undefined ? {} : { serviceTokenId }),
    address: doc.address,
    requestId: doc.requestId,
    result: doc.result,
    ...(error === undefined ? {} : { error })
  }
}
