import type { Found, Range } from '@fleetgate/kit'
import { pageOf, type Store } from '@fleetgate/store'
import { type QueryFilter, Schema } from 'mongoose'
import type { LogEntry, QueryType } from './log.js'

type LogDoc = Omit<LogEntry, 'id'> & { _id: string; expiresAt: Date }

const keptDays = 365
const text = { type: String, required: true }
const schema = new Schema<LogDoc>({
  _id: String,
  tenantId: text,
  userId: text,
  userName: text,
  clusterId: String,
  clusterName: String,
  operateType: text,
  queryType: text,
  status: text,
  comments: String,
  createdAt: { type: Number, required: true },
  updatedAt: { type: Number, required: true },
  expiresAt: { type: Date, required: true }
})
schema.index({ tenantId: 1, updatedAt: 1, _id: 1 })
schema.index({ tenantId: 1, createdAt: 1, _id: 1 })
schema.index({ tenantId: 1, clusterId: 1, updatedAt: 1 })
schema.index({ expiresAt: 1 }, { expireAfterSeconds: 0 })

export interface LogFilter {
  userName?: string | undefined
  userId?: string | undefined
  queryType?: QueryType | undefined
  clusterId?: string | undefined
  sort: { field: 'createdAt' | 'updatedAt'; direction: 1 | -1 }
}

export type LogStore = ReturnType<typeof createLogStore>

export function createLogStore(store: Store) {
  const model = store.model<LogDoc>('logs', schema)
  return {
    async put({ id, ...rest }: LogEntry): Promise<void> {
      const expiresAt = new Date(rest.createdAt + keptDays * 86_400_000)
      await model.updateOne({ _id: id }, { $set: { ...rest, expiresAt } }, { upsert: true })
    },
    async list(
      tenantId: string,
      { userName, userId, queryType, clusterId, sort }: LogFilter,
      range: Range
    ): Promise<Found<LogEntry>> {
      const filter: QueryFilter<LogDoc> = { tenantId }
      if (userName !== undefined) filter.userName = userName
      if (userId !== undefined) filter.userId = userId
      if (queryType !== undefined) filter.queryType = queryType
      if (clusterId !== undefined) filter.clusterId = clusterId
      const found = await pageOf(model.find(filter).sort({ [sort.field]: sort.direction, _id: sort.direction }), range)
      return { items: found.items.map(toEntry), total: found.total }
    }
  }
}

function toEntry({ _id, ...doc }: LogDoc): LogEntry {
  const { tenantId, userId, userName, operateType, queryType, status, createdAt, updatedAt } = doc
  return {
    id: _id,
    tenantId,
    userId,
    userName,
    clusterId: doc.clusterId ?? '',
    clusterName: doc.clusterName ?? '',
    operateType,
    queryType,
    status,
    comments: doc.comments ?? '',
    createdAt,
    updatedAt
  }
}
