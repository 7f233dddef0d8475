import { type Bus, type Log, resourceCreated, resourceDeleted } from '@fleetgate/kit'
import {
  containsPattern,
  createOutbox,
  type OutboxEntry,
  outboxField,
  type PageOf,
  pageOf,
  type QueryFilter,
  type Store,
  toConflict
} from '@fleetgate/store'
import { Schema } from 'mongoose'
import { type Dashboard, sizeOf, type Widget } from './dashboard.js'

/** Widget data is kept as JSON text: it is the client's own, and its keys may hold dots and dollar signs. */
interface DashboardDoc {
  _id: string
  /** Empty once deleted: no query of a tenant finds it while its event waits. */
  tenantId: string
  userId: string
  name: string
  widgets: { id: string; data: string }[]
  /** Characters of the data of all widgets. */
  size?: number
  /** Ids of uploaded images that the widgets show. */
  images?: string[]
  revision: number
  createdAt: number
  outbox?: OutboxEntry[]
}

const schema = new Schema<DashboardDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  userId: { type: String, required: true },
  name: { type: String, required: true },
  widgets: [{ _id: false, id: { type: String, required: true }, data: { type: String, required: true } }],
  size: Number,
  images: { type: [String], default: undefined },
  revision: { type: Number, required: true },
  createdAt: { type: Number, required: true },
  outbox: outboxField
})
schema.index({ tenantId: 1, name: 1 }, { unique: true })
schema.index({ tenantId: 1, createdAt: 1, _id: 1 })
// Their sizes are added up from the index alone.
schema.index({ tenantId: 1, _id: 1, size: 1 })
schema.index({ tenantId: 1, images: 1 })

export type DashboardStore = ReturnType<typeof createDashboardStore>

/** A dashboard by its name, for other services. */
export interface DashboardName {
  id: string
  name: string
  createdAt: number
  userId: string
}

export interface DashboardSearch {
  tenantId: string
  /** All where neither is given. */
  ids?: string[] | undefined
  parentIds?: string[] | undefined
  exceptIds?: string[] | undefined
  keyword?: string | undefined
  offset: number
  limit: number
}

export interface DashboardStoreOptions {
  store: Store
  bus: Bus
  log: Log
  now: () => number
}

export function createDashboardStore({ store, bus, log, now }: DashboardStoreOptions) {
  const model = store.model<DashboardDoc>('dashboards', schema)
  const outbox = createOutbox({ model, bus, log })
  return {
    outbox,
    async insert({ id, widgets, ...rest }: Dashboard): Promise<void> {
      const { tenantId, userId } = rest
      const entry = outbox.entry(resourceCreated, { tenantId, userId, resource: { id, type: 'DASHBOARD' }, at: now() })
      await model.create({ _id: id, ...rest, widgets: widgets.map(toDoc), outbox: [entry] }).catch(nameTaken)
      void outbox.flush([id])
    },
    async find(tenantId: string, id: string): Promise<Dashboard | undefined> {
      const doc = await model.findOne({ _id: id, tenantId }).lean()
      return doc ? toDashboard(doc) : undefined
    },
    /** In order of creation; of these ids only, where some are given. */
    async list(tenantId: string, limit: number, ids?: Iterable<string>): Promise<Dashboard[]> {
      const among = ids ? { _id: { $in: [...ids] } } : {}
      const docs = await model
        .find({ tenantId, ...among })
        .sort({ createdAt: 1, _id: 1 })
        .limit(limit)
        .lean()
      return docs.map(toDashboard)
    },
    async count(tenantId: string): Promise<number> {
      return model.countDocuments({ tenantId })
    },
    /** False when the dashboard changed or went since it was read. */
    async replace(was: Dashboard, change: { name: string; widgets: Widget[] }): Promise<boolean> {
      const { name } = change
      const widgets = change.widgets.map(toDoc)
      const own = { name, widgets, size: sizeOf(change.widgets), images: imagesIn(widgets) }
      const result = await model
        .updateOne(
          { _id: was.id, tenantId: was.tenantId, revision: was.revision },
          { $set: own, $inc: { revision: 1 } }
        )
        .catch(nameTaken)
      return result.matchedCount === 1
    },
    /** Characters of the widgets of all other dashboards of the tenant. */
    async sizeOfOthers({ id, tenantId }: Dashboard): Promise<number> {
      const [others] = await model.aggregate<{ size: number }>([
        { $match: { tenantId, _id: { $ne: id } } },
        { $group: { _id: null, size: { $sum: '$size' } } }
      ])
      return others?.size ?? 0
    },
    async remove(tenantId: string, id: string): Promise<boolean> {
      const entry = outbox.entry(resourceDeleted, { tenantId, resource: { id, type: 'DASHBOARD' }, at: now() })
      const result = await model.updateOne(
        { _id: id, tenantId },
        { $set: { tenantId: '', userId: '', name: id, widgets: [], size: 0, images: [] }, $push: { outbox: entry } }
      )
      if (result.matchedCount === 1) void outbox.flush([id])
      return result.matchedCount === 1
    },
    /** Newest first. */
    async search({ offset, limit, ...wish }: DashboardSearch): Promise<PageOf<DashboardName>> {
      const query = model.find(filterOf(wish)).select('-widgets').sort({ createdAt: -1, _id: -1 })
      const { items, total } = await pageOf(query, { offset, limit })
      return { items: items.map(({ _id, name, createdAt, userId }) => ({ id: _id, name, createdAt, userId })), total }
    },
    /** Those of the images that a dashboard shows. */
    async imagesNamed(tenantId: string, ids: string[]): Promise<Set<string>> {
      const docs = await model.find({ tenantId, images: { $in: ids } }, { _id: 0, images: 1 }).lean()
      return new Set(docs.flatMap(({ images = [] }) => images))
    },
    /** Drops what is left of deleted dashboards once that is published. */
    async purge(): Promise<void> {
      await model.deleteMany({ tenantId: '', outbox: { $size: 0 } })
    }
  }
}

function filterOf({ tenantId, ids, parentIds, exceptIds = [], keyword }: Omit<DashboardSearch, 'offset' | 'limit'>) {
  // Nothing stands above a dashboard: with parents alone there is none.
  const among = ids || parentIds ? { $in: ids ?? [] } : {}
  const name = keyword ? { name: containsPattern(keyword) } : {}
  const filter: QueryFilter<DashboardDoc> = { tenantId, _id: { ...among, $nin: exceptIds }, ...name }
  return filter
}

function nameTaken(error: unknown): never {
  return toConflict(error, 'a dashboard of this name exists', { field: 'name', wireCode: 'dashboard_name_exist' })
}

/** However the client keeps their addresses or keys: ids are long enough to be found anywhere. */
function imagesIn(widgets: readonly { data: string }[]): string[] {
  const found = widgets.flatMap(({ data }) => [...data.matchAll(/\bpublic\/([A-Za-z0-9_-]{32})(?![A-Za-z0-9_-])/g)])
  return [...new Set(found.map(([, id = '']) => id))]
}

function toDoc({ id, data }: Widget): { id: string; data: string } {
  return { id, data: JSON.stringify(data) }
}

function toDashboard(doc: DashboardDoc): Dashboard {
  return {
    id: doc._id,
    tenantId: doc.tenantId,
    userId: doc.userId,
    name: doc.name,
    widgets: doc.widgets.map(({ id, data }) => ({ id, data: JSON.parse(data) as Widget['data'] })),
    revision: doc.revision,
    createdAt: doc.createdAt
  }
}
