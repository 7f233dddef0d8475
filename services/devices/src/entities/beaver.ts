import {
  AppError,
  BeaverPage,
  beaverPaging,
  beaverRange,
  oneOf,
  type Route,
  recordOf,
  route,
  type Static,
  Type
} from '@fleetgate/kit'
import { ById, NumericId, orNull, pageReply, thingOrders, wishedOrder } from '../beaverIds.js'
import type { OrderedPage } from '../order.js'
import { type Column, type Condition, columns, operators } from './advancedSearch.js'
import { inWorkflows } from './beaverValues.js'
import type { Entities, EntityView } from './entities.js'
import { accessMods, type Entity, entityTypes } from './entity.js'
import { identifierPattern, isCustomized } from './entityKeys.js'
import { toWire, valueTypes } from './storedValue.js'

/** Editors of workflows ask for all entities at once (`page_size` 99999), to choose among them. */
const maxSelectable = 10_000

const Text = Type.Optional(Type.String())
const Attribute = recordOf(Type.Unknown())
const Name = Type.String({ minLength: 1, maxLength: 127, pattern: '\\S' })
const Identifier = Type.String({ minLength: 1, maxLength: 50, pattern: identifierPattern })

function several<const T extends readonly string[]>(values: T) {
  return orNull<T[number][]>({ type: 'array', items: { type: 'string', enum: [...values] }, maxItems: 20 })
}
const texts = { type: 'array', items: { type: 'string', maxLength: 512 }, maxItems: 1000 }
const ids = { type: 'array', items: NumericId, maxItems: 1000 }
const flag = { type: 'boolean' }

const Search = Type.Object({
  keyword: orNull<string>({ type: 'string', maxLength: 256 }),
  entity_type: several(entityTypes),
  entity_value_type: several(valueTypes),
  entity_access_mod: several(accessMods),
  exclude_children: orNull<boolean>(flag),
  entity_ids: orNull<(string | number)[]>(ids),
  entity_keys: orNull<string[]>(texts),
  entity_names: orNull<string[]>(texts),
  entity_source_name: orNull<string>({ type: 'string', maxLength: 256 }),
  customized: orNull<boolean>(flag),
  show_hidden: orNull<boolean>(flag),
  ...beaverPaging
})

const Draft = Type.Object({
  identifier: Identifier,
  name: Name,
  type: oneOf(entityTypes),
  access_mod: orNull<(typeof accessMods)[number]>({ type: 'string', enum: [...accessMods, null] }),
  value_type: oneOf(valueTypes),
  value_attribute: orNull<Record<string, unknown>>({ type: 'object' }),
  visible: orNull<boolean>(flag),
  parent_identifier: orNull<string>({ type: 'string', maxLength: 50, pattern: `${identifierPattern}|^$` })
})

const Value = Type.Optional(Type.Unsafe<string | number | boolean>({ type: ['string', 'number', 'boolean'] }))
const Listed = Type.Object({
  device_name: Text,
  integration_name: Text,
  entity_id: Type.String(),
  entity_key: Type.String(),
  entity_name: Type.String(),
  entity_parent_name: Text,
  entity_type: Type.String(),
  entity_access_mod: Text,
  entity_value_attribute: Attribute,
  entity_value_type: Type.String(),
  entity_is_customized: Type.Boolean(),
  entity_created_at: Type.Integer(),
  entity_updated_at: Type.Integer(),
  entity_description: Text,
  entity_latest_value: Value,
  entity_tags: Type.Optional(
    Type.Array(
      Type.Object({ id: Type.String(), name: Type.String(), description: Type.String(), color: Type.String() })
    )
  )
})
/** Beaver IoT 1.3's; columns of an entity are also taken without `ENTITY_`. */
const Advanced = Type.Object({
  entity_filter: recordOf(
    Type.Object({
      operator: oneOf(operators),
      values: Type.Optional(Type.Array(Type.String({ maxLength: 512 }), { maxItems: 100 }))
    })
  ),
  ...beaverPaging
})
/** The real system writes the id as a number, which JavaScript cannot read: a string here, as everywhere else. */
const Meta = Type.Object({
  id: Type.String(),
  key: Type.String(),
  name: Type.String(),
  type: Type.String(),
  access_mod: Text,
  value_attribute: Attribute,
  value_type: Type.String(),
  customized: Type.Boolean(),
  created_at: Type.Integer(),
  updated_at: Type.Integer(),
  description: Text
})

export function entityRoutes(entities: Entities): Route[] {
  return [
    route({
      method: 'post',
      path: '/entity/search',
      summary: 'Entities, newest first or as `sorts` say (`key`, `created_at`); begins anew behind the end',
      needs: ['dashboard.edit', 'entity_custom.view', 'entity_data.view', ...inWorkflows],
      body: Search,
      reply: BeaverPage(Listed),
      handle: async ({ body, caller }) => {
        const { items, total, offset } = await entities.search(toWish(body), rangeOf(body, maxSelectable), caller)
        const asked = offset === 0 ? { ...body, page_number: 1 } : body
        return pageReply(asked, { items: items.map(toListed), total }, maxSelectable)
      }
    }),
    route({
      method: 'post',
      path: '/entity/advanced-search',
      summary: 'Entities for which every column of the filter holds, newest first; begins anew behind the end',
      needs: ['dashboard.edit', 'entity_custom.view', 'entity_data.view', ...inWorkflows],
      body: Advanced,
      reply: BeaverPage(Listed),
      handle: async ({ body, caller }) => {
        const wish = toConditions(body.entity_filter)
        const { items, total, offset } = await entities.advancedSearch(wish, rangeOf(body), caller)
        const asked = offset === 0 ? { ...body, page_number: 1 } : body
        return pageReply(asked, { items: items.map(toListed), total })
      }
    }),
    route({
      method: 'get',
      path: '/entity/:id/children',
      summary: 'The entities below one',
      needs: ['dashboard.view', 'dashboard.add', 'dashboard.edit', 'integration.view', ...inWorkflows],
      params: ById,
      reply: Type.Array(Listed),
      handle: async ({ params, caller }) => (await entities.children(params.id, caller)).map(toListed)
    }),
    route({
      method: 'get',
      path: '/entity/:id/meta',
      summary: 'What an entity is',
      needs: 'signedIn',
      params: ById,
      reply: Meta,
      handle: async ({ params, caller }) => toMeta(await entities.get(params.id, caller))
    }),
    ...customRoutes(entities)
  ]
}

function customRoutes(entities: Entities): Route[] {
  return [
    route({
      method: 'post',
      path: '/entity',
      summary: 'Create a custom entity, with the key system.integration.<identifier>',
      needs: 'entity_custom.add',
      body: Draft,
      reply: Meta,
      handle: async ({ body, caller }) => toMeta(await entities.add(toDraft(body), caller))
    }),
    route({
      method: 'put',
      path: '/entity/:id',
      summary: 'Rename an entity; of a custom one also change the attribute',
      needs: ['entity_data.edit', 'entity_custom.edit'],
      params: ById,
      body: Type.Object({ name: Name, value_attribute: orNull<Record<string, unknown>>({ type: 'object' }) }),
      reply: Meta,
      handle: async ({ params, body, caller }) => {
        const change = { name: body.name, attribute: body.value_attribute ?? undefined }
        return toMeta(await entities.update(params.id, change, caller))
      }
    }),
    route({
      method: 'post',
      path: '/entity/delete',
      summary:
        'Delete custom entities with their children and their history, and services of workflows with those; others are passed over',
      needs: 'entity_custom.delete',
      body: Type.Object({ entity_ids: Type.Array(NumericId, { maxItems: 1000 }) }),
      handle: ({ body, caller }) => entities.remove(body.entity_ids.map(String), caller)
    })
  ]
}

function rangeOf(body: Static<typeof Search> | Static<typeof Advanced>, most?: number): OrderedPage {
  return { ...beaverRange(body, most), order: wishedOrder(body.sorts, thingOrders) }
}

function toConditions(given: Static<typeof Advanced>['entity_filter']): Partial<Record<Column, Condition>> {
  const conditions = Object.entries(given).map(([name, { operator, values = [] }]) => {
    const column = columns.find((one) => one === name || one === `ENTITY_${name}`)
    if (!column) throw new AppError('invalid_input', `entity_filter has no column ${name}`, { field: 'entity_filter' })
    return [column, { operator, values }]
  })
  return Object.fromEntries(conditions) as Partial<Record<Column, Condition>>
}

function toWish(body: Static<typeof Search>) {
  return {
    keyword: body.keyword ?? undefined,
    types: body.entity_type ?? undefined,
    valueTypes: body.entity_value_type ?? undefined,
    accessMods: body.entity_access_mod ?? undefined,
    withoutChildren: body.exclude_children ?? undefined,
    ids: body.entity_ids?.map(String),
    keys: body.entity_keys ?? undefined,
    names: body.entity_names ?? undefined,
    sourceName: body.entity_source_name ?? undefined,
    isCustomized: body.customized ?? undefined,
    withHidden: body.show_hidden ?? undefined
  }
}

function toDraft(body: Static<typeof Draft>) {
  return {
    identifier: body.identifier,
    name: body.name,
    type: body.type,
    accessMod: body.access_mod ?? undefined,
    valueType: body.value_type,
    attribute: body.value_attribute ?? {},
    isVisible: body.visible ?? true,
    parentIdentifier: body.parent_identifier || undefined
  }
}

function toListed({ entity, integrationName, parentName, tags }: EntityView): Static<typeof Listed> {
  return {
    device_name: entity.deviceName,
    integration_name: integrationName,
    entity_id: entity.id,
    entity_key: entity.key,
    entity_name: entity.name,
    entity_parent_name: parentName,
    entity_type: entity.type,
    entity_access_mod: entity.accessMod,
    entity_value_attribute: entity.attribute,
    entity_value_type: entity.valueType,
    entity_is_customized: isCustomized(entity),
    entity_created_at: entity.createdAt,
    entity_updated_at: entity.updatedAt,
    entity_description: entity.description,
    entity_latest_value: entity.latest && toWire(entity.latest.value),
    entity_tags:
      tags.length === 0 ? undefined : tags.map(({ id, name, description, color }) => ({ id, name, description, color }))
  }
}

function toMeta(entity: Entity): Static<typeof Meta> {
  return {
    id: entity.id,
    key: entity.key,
    name: entity.name,
    type: entity.type,
    access_mod: entity.accessMod,
    value_attribute: entity.attribute,
    value_type: entity.valueType,
    customized: isCustomized(entity),
    created_at: entity.createdAt,
    updated_at: entity.updatedAt,
    description: entity.description
  }
}
