import { newId } from '@fleetgate/kit'
import { type Page, type PageOf, pageOf, type Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

export const auditResults = ['started', 'succeeded', 'refused', 'failed'] as const
export type AuditResult = (typeof auditResults)[number]

/** Who did what, when, from where, to what, and how it ended. */
export interface AuditEntry {
  id: string
  tenantId: string
  /** Epoch ms. */
  at: number
  action: string
  /** Ids and names of what was touched. */
  targets: string[]
  /** Empty where nobody was signed in. */
  userId: string
  email: string
  serviceTokenId?: string | undefined
  address: string
  requestId: string
  /** `started` stays only where the process died before the end: the change may have happened. */
  result: AuditResult
  /** Why it was refused or failed. */
  error?: string | undefined
}

type AuditDoc = Omit<AuditEntry, 'id'> & { _id: string }

const schema = new Schema<AuditDoc>({
  _id: String,
  tenantId: { type: String, required: true },
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
schema.index({ tenantId: 1, userId: 1, _id: -1 })
schema.index({ tenantId: 1, action: 1, _id: -1 })
schema.index({ tenantId: 1, targets: 1, _id: -1 })

export interface AuditFilter {
  tenantId: string
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
    async insert(entry: Omit<AuditEntry, 'id'>): Promise<string> {
      const id = newId(entry.at)
      await model.create({ _id: id, ...entry })
      return id
    },
    async finish(id: string, { result, error, targets }: Pick<AuditEntry, 'result' | 'error' | 'targets'>) {
      await model.updateOne({ _id: id }, { $set: { result, targets, ...(error === undefined ? {} : { error }) } })
    },
    /** Newest first. */
    async search({ tenantId, userId, action, target, from, to }: AuditFilter, page: Page): Promise<PageOf<AuditEntry>> {
      const filter = {
        tenantId,
        ...(userId === undefined ? {} : { userId }),
        ...(action === undefined ? {} : { action }),
        ...(target === undefined ? {} : { targets: target }),
        ...(from === undefined && to === undefined ? {} : { _id: span(from, to) })
      }
      const { items, total } = await pageOf(model.find(filter).sort({ _id: -1 }), page)
      return { items: items.map(toEntry), total }
    },
    async purge(before: number): Promise<void> {
      await model.deleteMany({ _id: { $lt: firstIdOf(before) } })
    }
  }
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

function toEntry(doc: AuditDoc): AuditEntry {
  return {
    id: doc._id,
    tenantId: doc.tenantId,
    at: doc.at,
    action: doc.action,
    targets: [...doc.targets],
    userId: doc.userId,
    email: doc.email,
    serviceTokenId: doc.serviceTokenId,
    address: doc.address,
    requestId: doc.requestId,
    result: doc.result,
    error: doc.error
  }
}
