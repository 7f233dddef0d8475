import { AppError, type Route, recordOf, route, type Static, Type } from '@fleetgate/kit'
import { ById, NumericId, orNull } from '../beaverIds.js'
import type { Entity } from './entity.js'
import type { Ingest, Measured } from './ingest.js'
import { toWire } from './storedValue.js'
import type { Values } from './values.js'

const Exchange = Type.Object({ exchange: recordOf(Type.Unknown()) })
const Sample = Type.Object({
  entity_id: Type.Optional(NumericId),
  entity_key: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
  value: Type.Unknown(),
  timestamp: orNull<number>({ type: 'integer', minimum: 0, maximum: 8.64e15 })
})
const Samples = Type.Object({ samples: Type.Array(Sample, { minItems: 1, maxItems: 5000 }) })
const AnyValue = Type.Unsafe<string | number | boolean>({ type: ['string', 'number', 'boolean'] })

/** The time as both versions of the real system call it. */
export const Status = Type.Object({
  value: Type.Optional(AnyValue),
  value_type: Type.Optional(Type.String()),
  updated_at: Type.Optional(Type.String()),
  timestamp: Type.Optional(Type.String())
})

/** Later versions of the real system let the editor of workflows read, write and call too. */
export const inWorkflows = ['workflow.add', 'workflow.edit'] as const
const onScreens = ['integration.view', 'dashboard.view', 'dashboard.edit', ...inWorkflows] as const

export function valueRoutes(values: Values, ingest: Ingest): Route[] {
  return [
    route({
      method: 'get',
      path: '/entity/:id/status',
      summary: 'The latest value of an entity; empty where it never had one',
      needs: ['dashboard.view', 'dashboard.edit', ...inWorkflows],
      params: ById,
      reply: Status,
      handle: async ({ params, caller }) => toStatus(await values.get(params.id, caller))
    }),
    route({
      method: 'post',
      path: '/entity/batch-get-status',
      summary: 'The latest values of entities by their ids; those without one are left out',
      needs: ['dashboard.view', 'dashboard.edit', ...inWorkflows],
      body: Type.Object({ entity_ids: Type.Array(NumericId, { maxItems: 5000 }) }),
      reply: recordOf(Status),
      handle: async ({ body, caller }) => {
        const found = await values.list(body.entity_ids.map(String), caller)
        return Object.fromEntries(found.filter(({ latest }) => latest).map((entity) => [entity.id, toStatus(entity)]))
      }
    }),
    route({
      method: 'post',
      path: '/entity/property/update',
      summary: 'Write properties, by their keys',
      needs: onScreens,
      body: Exchange,
      handle: ({ body, caller }) => values.updateProperties(body.exchange, caller)
    }),
    route({
      method: 'post',
      path: '/entity/service/call',
      summary: 'Call services, by their keys or those of their parameters',
      needs: onScreens,
      body: Exchange,
      reply: recordOf(Type.Unknown()),
      handle: ({ body, caller }) => values.callServices(body.exchange, caller)
    }),
    route({
      method: 'post',
      path: '/entity/ingest',
      summary: 'Store measured values of properties and events: all of them, or none and why',
      needs: 'entity_data.edit',
      body: Samples,
      reply: Type.Object({ stored: Type.Integer(), repeated: Type.Integer() }),
      handle: ({ body, caller }) => ingest.ingest(body.samples.map(toMeasured), caller)
    })
  ]
}

function toMeasured({ entity_id, entity_key, value, timestamp }: Static<typeof Sample>, index: number): Measured {
  if (entity_id === undefined && entity_key === undefined) {
    const field = `samples.${index}`
    throw new AppError('invalid_input', `${field} needs entity_id or entity_key`, { field })
  }
  return {
    id: entity_id === undefined ? undefined : String(entity_id),
    key: entity_key,
    value,
    at: timestamp ?? undefined
  }
}

export function toStatus({ latest, valueType }: Entity): Static<typeof Status> {
  if (!latest) return {}
  const at = String(Math.floor(latest.at))
  return { value: toWire(latest.value), value_type: valueType, updated_at: at, timestamp: at }
}
