import { type Page, type PageOf, pageOf, type Store } from '@fleetgate/store'
import { Schema } from 'mongoose'
import { passDuplicates } from '../executions/executionStore.js'
import { type Alert, type AlertKind, alertKinds } from './alert.js'

const alertSchema = new Schema<Alert>({
  _id: { type: String, required: true },
  tenantId: { type: String, required: true },
  kind: { type: String, enum: alertKinds, required: true },
  subjectId: { type: Number, required: true },
  message: { type: String, required: true },
  raisedAt: { type: Number, required: true },
  open: Boolean,
  closedAt: Number
})
alertSchema.index({ tenantId: 1, raisedAt: -1 })
alertSchema.index({ tenantId: 1, kind: 1, raisedAt: -1 })
const isOpen = { partialFilterExpression: { open: true } }
alertSchema.index({ tenantId: 1, kind: 1, subjectId: 1 }, isOpen)
alertSchema.index({ kind: 1, _id: 1 }, isOpen)

export interface AlertFilter {
  tenantId: string
  kind?: AlertKind | undefined
  open?: boolean | undefined
  since?: number | undefined
}

export interface AlertStore {
  /** Raises what was not raised before. */
  raise(alerts: readonly Alert[]): Promise<void>
  countOpen(tenantId: string): Promise<number>
  list(filter: AlertFilter, page: Page): Promise<PageOf<Alert>>
  find(tenantId: string, alertId: string): Promise<Alert | undefined>
  /** Open alerts of every tenant, in order of their id. */
  openPage(kind: AlertKind, after: string, limit: number): Promise<Alert[]>
  close(alertIds: readonly string[], at: number): Promise<void>
  closeOf(tenantId: string, of: { kind: AlertKind; subjectId: number; at: number }): Promise<void>
}

export function createAlertStore(store: Store): AlertStore {
  const model = store.model<Alert>('alerts', alertSchema)
  const closed = (at: number) => ({ $set: { closedAt: at }, $unset: { open: 1 as const } })

  return {
    async raise(alerts) {
      if (alerts.length > 0) await model.insertMany([...alerts], { ordered: false }).catch(passDuplicates)
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

    async close(alertIds, at) {
      await model.updateMany({ _id: { $in: [...alertIds] }, open: true }, closed(at))
    },

    async closeOf(tenantId, { kind, subjectId, at }) {
      await model.updateMany({ tenantId, kind, subjectId, open: true }, closed(at))
    }
  }
}
