import { type AlertKind, alertKinds } from '@fleetgate/kit'
import { type OutboxEntry, outboxField, type Page, type PageOf, pageOf, type Store } from '@fleetgate/store'
import { type Model, Schema } from 'mongoose'
import { passDuplicates } from '../executions/executionStore.js'
import type { Alert } from './alert.js'

type AlertDoc = Alert & { outbox?: OutboxEntry[] }

const alertSchema = new Schema<AlertDoc>({
  _id: { type: String, required: true },
  tenantId: { type: String, required: true },
  kind: { type: String, enum: alertKinds, required: true },
  subjectId: { type: Number, required: true },
  message: { type: String, required: true },
  raisedAt: { type: Number, required: true },
  open: Boolean,
  closedAt: Number,
  unmailed: Boolean,
  outbox: outboxField
})
alertSchema.index({ tenantId: 1, raisedAt: -1 })
alertSchema.index({ tenantId: 1, kind: 1, raisedAt: -1 })
const isOpen = { partialFilterExpression: { open: true } }
alertSchema.index({ tenantId: 1, kind: 1, subjectId: 1 }, isOpen)
alertSchema.index({ kind: 1, _id: 1 }, isOpen)
alertSchema.index({ closedAt: 1 }, { partialFilterExpression: { closedAt: { $exists: true } } })
alertSchema.index({ tenantId: 1, raisedAt: 1 }, { name: 'unmailed', partialFilterExpression: { unmailed: true } })

export interface AlertFilter {
  tenantId: string
  kind?: AlertKind | undefined
  open?: boolean | undefined
  since?: number | undefined
}

type EntryOf = (alert: Alert) => OutboxEntry

export interface AlertStore {
  model: Model<AlertDoc>
  /** Raises what was not raised before. */
  raise(alerts: readonly Alert[], entryOf: EntryOf): Promise<void>
  countOpen(tenantId: string): Promise<number>
  list(filter: AlertFilter, page: Page): Promise<PageOf<Alert>>
  find(tenantId: string, alertId: string): Promise<Alert | undefined>
  /** Open alerts of every tenant, in order of their id. */
  openPage(kind: AlertKind, after: string, limit: number): Promise<Alert[]>
  openOf(tenantId: string, kind: AlertKind, subjectId: number): Promise<Alert[]>
  /** Closes those that are still open. */
  close(alerts: readonly Alert[], at: number, entryOf: EntryOf): Promise<void>
  /** Tenants with alerts of which no mail was sent. */
  unmailedTenants(): Promise<string[]>
  /** The oldest first. */
  unmailed(tenantId: string, limit: number): Promise<Alert[]>
  setMailed(tenantId: string, alertIds: readonly string[]): Promise<void>
  /** Deletes at most so many that were closed before this time, of every tenant; answers how many. */
  removeClosed(before: number, limit: number): Promise<number>
}

export function createAlertStore(store: Store): AlertStore {
  const model = store.model<AlertDoc>('alerts', alertSchema)

  return {
    model,

    async raise(alerts, entryOf) {
      if (alerts.length === 0) return
      const docs = alerts.map((alert) => ({ ...alert, unmailed: true as const, outbox: [entryOf(alert)] }))
      await model.insertMany(docs, { ordered: false }).catch(passDuplicates)
    },

    countOpen: (tenantId) => model.countDocuments({ tenantId, open: true }),

    list({ tenantId, kind, open, since }, page) {
      const query = model.find({
        tenantId,
        ...(kind === undefined ? {} : { kind }),
        ...(since === undefined ? {} : { raisedAt: { $gte: since } }),
        ...(open === undefined ? {} : { open: open ? true : { $exists: false } })
      })
      return pageOf(query.sort('-raisedAt'), page) as Promise<PageOf<Alert>>
    },

    find: async (tenantId, alertId) => (await model.findOne({ _id: alertId, tenantId }).lean<Alert>()) ?? undefined,

    openPage: (kind, after, limit) =>
      model
        .find({ kind, open: true, _id: { $gt: after } })
        .sort({ _id: 1 })
        .limit(limit)
        .lean<Alert[]>()
        .exec(),

    openOf: (tenantId, kind, subjectId) => model.find({ tenantId, kind, subjectId, open: true }).lean<Alert[]>().exec(),

    async close(alerts, at, entryOf) {
      if (alerts.length === 0) return
      const writes = alerts.map((alert) => ({
        updateOne: {
          filter: { _id: alert._id, open: true as const },
          update: { $set: { closedAt: at }, $unset: { open: 1 as const }, $push: { outbox: entryOf(alert) } }
        }
      }))
      await model.bulkWrite(writes, { ordered: false })
    },

    unmailedTenants: () => model.distinct('tenantId', { unmailed: true }).exec(),

    unmailed: (tenantId, limit) =>
      model.find({ tenantId, unmailed: true }).sort({ raisedAt: 1 }).limit(limit).lean<Alert[]>().exec(),

    async setMailed(tenantId, alertIds) {
      await model.updateMany({ _id: { $in: [...alertIds] }, tenantId, unmailed: true }, { $unset: { unmailed: 1 } })
    },

    async removeClosed(before, limit) {
      // What an entry of the outbox or a mail is still to be made of stays.
      const isDone = { closedAt: { $lt: before }, unmailed: { $exists: false }, 'outbox.0': { $exists: false } }
      const found = await model.find(isDone, { _id: 1 }).sort({ closedAt: 1 }).limit(limit).lean<Pick<Alert, '_id'>[]>()
      if (found.length > 0) await model.deleteMany({ _id: { $in: found.map(({ _id }) => _id) } })
      return found.length
    }
  }
}
