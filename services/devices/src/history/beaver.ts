import { Readable } from 'node:stream'
import {
  AppError,
  BeaverPage,
  beaverPaging,
  beaverRange,
  oneOf,
  type Route,
  raw,
  route,
  type Static,
  Type
} from '@fleetgate/kit'
import { NumericId, orNull, pageReply, wishedOrder } from '../beaverIds.js'
import { inWorkflows } from '../entities/beaverValues.js'
import { toWire } from '../entities/storedValue.js'
import { aggregateTypes } from './aggregation.js'
import { clockOf, toCsv } from './csv.js'
import type { Aggregate, History } from './history.js'
import type { Sample } from './historyStore.js'

const latest = 8.64e15
/** Of one page: charts ask for all values of their time at once. */
const maxSamples = 20_000
const time = { type: 'integer', minimum: 0, maximum: latest }
const Time = Type.Integer({ minimum: 0, maximum: latest })

const Search = Type.Object({
  entity_id: Type.Optional(Type.Unsafe<string | number | null>({ ...NumericId, type: ['string', 'integer', 'null'] })),
  entity_ids: orNull<(string | number)[]>({ type: 'array', items: NumericId, minItems: 1, maxItems: 1000 }),
  start_timestamp: orNull<number>(time),
  end_timestamp: orNull<number>(time),
  ...beaverPaging
})
const AnyValue = Type.Optional(Type.Unsafe<string | number | boolean>({ type: ['string', 'number', 'boolean'] }))
export const Found = Type.Object({
  entity_id: Type.String(),
  timestamp: Type.String(),
  value: AnyValue,
  value_type: Type.String()
})

const Wish = Type.Object({
  entity_id: NumericId,
  aggregate_type: oneOf(aggregateTypes),
  start_timestamp: Time,
  end_timestamp: Time,
  bucket: orNull<number>({ type: 'integer', minimum: 1, maximum: 366 * 24 * 60 * 60 * 1000 })
})
const ValueType = Type.Optional(Type.String())
const AggregateReply = Type.Object({
  value: AnyValue,
  value_type: ValueType,
  count_result: Type.Optional(
    Type.Array(Type.Object({ value: AnyValue, value_type: ValueType, count: Type.Integer() }))
  ),
  buckets: Type.Optional(
    Type.Array(Type.Object({ start_timestamp: Type.String(), value: AnyValue, count: Type.Integer() }))
  )
})

/** The web client writes the times in snake case, the real system reads them in camel case. */
const Export = Type.Object({
  ids: Type.Array(Type.String({ pattern: '^[0-9]{1,19}(,[0-9]{1,19})*$' }), { minItems: 1, maxItems: 1000 }),
  start_timestamp: Type.Optional(Time),
  startTimestamp: Type.Optional(Time),
  end_timestamp: Type.Optional(Time),
  endTimestamp: Type.Optional(Time),
  time_zone: Type.Optional(Type.String({ maxLength: 64 })),
  timeZone: Type.Optional(Type.String({ maxLength: 64 }))
})

export interface HistoryRoutesOptions {
  history: History
  integrationName: (id: string) => string | undefined
  now: () => number
}

export function historyRoutes({ history, integrationName, now }: HistoryRoutesOptions): Route[] {
  return [
    route({
      method: 'post',
      path: '/entity/history/search',
      summary: 'Values of one or more entities, newest first or as `sorts` say (`timestamp`); both times are inclusive',
      needs: ['dashboard.view', 'dashboard.add', 'dashboard.edit', 'entity_data.view', ...inWorkflows],
      body: Search,
      reply: BeaverPage(Found),
      handle: async ({ body, caller }) => {
        const span = { from: body.start_timestamp ?? 0, to: body.end_timestamp ?? now() }
        const isOldestFirst = wishedOrder(body.sorts, { timestamp: 'at' })?.direction === 1
        const page = { ...beaverRange(body, maxSamples), isOldestFirst }
        const { items, total } = await history.search(entitiesOf(body), span, page, caller)
        return pageReply(body, { items: items.map(toFound), total }, maxSamples)
      }
    }),
    route({
      method: 'post',
      path: '/entity/history/aggregate',
      summary: 'One figure of the values of a time, or one per `bucket` of so many ms',
      needs: ['dashboard.view', 'dashboard.edit', ...inWorkflows],
      body: Wish,
      reply: AggregateReply,
      handle: async ({ body, caller }) => {
        const { aggregate_type: type, bucket } = body
        const id = String(body.entity_id)
        const span = { from: body.start_timestamp, to: body.end_timestamp }
        if (!bucket) return toAggregate(await history.aggregate(id, type, span, caller))
        const { entity, buckets } = await history.buckets(id, type, { ...span, size: bucket }, caller)
        return { value_type: entity.valueType, buckets: buckets.map(toBucket) }
      }
    }),
    route({
      method: 'get',
      path: '/entity/export',
      summary: 'Values of entities and their children as CSV',
      needs: 'entity_data.export',
      query: Export,
      handle: async ({ query, caller }) => {
        const span = {
          from: query.start_timestamp ?? query.startTimestamp ?? 0,
          to: query.end_timestamp ?? query.endTimestamp ?? now()
        }
        const clock = clockOf(query.time_zone ?? query.timeZone)
        const ids = query.ids.flatMap((some) => some.split(','))
        const rows = await history.exported(ids, span, caller)
        const file = `EntityData_${new Date(now()).toISOString().replaceAll(':', '-')}.csv`
        return raw({
          headers: {
            'content-type': 'text/csv; charset=utf-8',
            'content-disposition': `attachment; filename="${file}"`
          },
          body: Readable.from(toCsv(rows, { clock, integrationName }))
        })
      }
    })
  ]
}

function entitiesOf({ entity_id, entity_ids }: Static<typeof Search>): { id: string } | { ids: string[] } {
  if (entity_ids) return { ids: entity_ids.map(String) }
  if (entity_id !== undefined && entity_id !== null) return { id: String(entity_id) }
  throw new AppError('invalid_input', 'entity_id is required', { field: 'entity_id' })
}

export function toFound({ entityId, at, value, valueType }: Sample): Static<typeof Found> {
  return { entity_id: entityId, timestamp: String(Math.floor(at)), value: toWire(value), value_type: valueType }
}

/** Nothing at all where there are no values. */
function toAggregate({ entity, value, counts }: Aggregate): Static<typeof AggregateReply> {
  const value_type = entity.valueType
  if (counts) {
    const count_result = counts.map(({ value, count }) => ({ value: toWire(value), value_type, count }))
    return counts.length > 0 ? { count_result } : {}
  }
  return value === undefined ? {} : { value: toWire(value), value_type }
}

function toBucket({ start, value, count }: { start: number; value?: Sample['value'] | undefined; count: number }) {
  return { start_timestamp: String(start), count, ...(value === undefined ? {} : { value: toWire(value) }) }
}
