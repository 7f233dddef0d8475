import { AppError, type Caller } from '@fleetgate/kit'
import type { Entity } from '../entities/entity.js'
import type { EntityStore } from '../entities/entityStore.js'
import { fromBson, type StoredValue } from '../entities/storedValue.js'
import type { ReachOf } from '../grants/reach.js'
import {
  type Aggregated,
  type AggregateType,
  bucketStages,
  checkAggregate,
  computedOf,
  wholeStages
} from './aggregation.js'
import type { HistoryStore, Sample, SamplePage, Span } from './historyStore.js'

export interface Aggregate {
  entity: Entity
  /** Nothing where the span is empty. */
  value?: StoredValue | undefined
  counts?: { value: StoredValue; count: number }[]
}

export interface Bucket {
  start: number
  value?: StoredValue | undefined
  count: number
}

export interface ExportRow {
  entity: Entity
  sample: Sample
}

export type History = ReturnType<typeof createHistory>

export interface HistoryOptions {
  store: HistoryStore
  entities: Pick<EntityStore, 'find' | 'findByIds' | 'childrenOf'>
  reachOf: ReachOf
}

const maxBuckets = 10_000

/** The values of entities over time, for those who may see the entity. */
export function createHistory({ store, entities, reachOf }: HistoryOptions) {
  async function find(id: string, caller: Caller): Promise<Entity> {
    const entity = await entities.find(caller.tenantId, id, await reachOf(caller))
    if (!entity) throw new AppError('not_found', 'there is no such entity')
    return entity
  }

  return {
    /** One entity must exist; of several those are searched that do. */
    async search(of: { id: string } | { ids: string[] }, span: Span, page: SamplePage, caller: Caller) {
      checkSpan(span)
      const found =
        'id' in of
          ? [await find(of.id, caller)]
          : await entities.findByIds(caller.tenantId, of.ids, await reachOf(caller))
      if (found.length === 0) return { items: [], total: 0 }
      return store.search(caller.tenantId, { ...span, entityIds: found.map(({ id }) => id) }, page)
    },

    async aggregate(id: string, type: AggregateType, span: Span, caller: Caller): Promise<Aggregate> {
      checkSpan(span)
      const entity = await find(id, caller)
      const { valueType, tenantId } = entity
      checkAggregate(type, valueType)
      const rows = await store.aggregate<Aggregated>(tenantId, id, span, wholeStages(type))
      if (type !== 'COUNT') return { entity, value: rows[0] && computedOf(type, valueType, rows[0]) }
      return { entity, counts: rows.map(({ _id, count }) => ({ value: fromBson(valueType, _id), count })) }
    },

    /** Of buckets of so many ms; those with nothing in them are left out. */
    async buckets(id: string, type: AggregateType, span: Span & { size: number }, caller: Caller) {
      checkSpan(span)
      if ((span.to - span.from) / span.size > maxBuckets) {
        throw new AppError('invalid_input', `bucket is too small: there would be more than ${maxBuckets}`, {
          field: 'bucket'
        })
      }
      const entity = await find(id, caller)
      checkAggregate(type, entity.valueType)
      const rows = await store.aggregate<Aggregated>(entity.tenantId, id, span, bucketStages(type, span.size))
      const buckets = rows.map(
        (row): Bucket => ({
          start: Number(row._id),
          value: computedOf(type, entity.valueType, row),
          count: row.count
        })
      )
      return { entity, buckets }
    },

    /** What can be seen of these, with their children, before the first row is read. */
    async exported(ids: string[], span: Span, caller: Caller): Promise<AsyncGenerator<ExportRow>> {
      checkSpan(span)
      const reach = await reachOf(caller)
      const found = await entities.findByIds(caller.tenantId, ids, reach)
      if (found.length === 0) throw new AppError('not_found', 'there is no such entity')
      const keys = found.filter(({ valueType }) => valueType === 'OBJECT').map(({ key }) => key)
      const children = keys.length > 0 ? await entities.childrenOf(caller.tenantId, keys, reach) : []
      const all = [...new Map([...found, ...children].map((entity) => [entity.id, entity])).values()]
      return rowsOf(store, all, span)
    }
  }
}

async function* rowsOf(store: HistoryStore, entities: Entity[], span: Span): AsyncGenerator<ExportRow> {
  for (const entity of entities) {
    for await (const sample of store.each(entity.tenantId, entity.id, span)) yield { entity, sample }
  }
}

function checkSpan({ from, to }: Span): void {
  if (to > from) return
  throw new AppError('invalid_input', 'end_timestamp must be later than start_timestamp', { field: 'end_timestamp' })
}
