import {
  BeaverPage,
  beaverCreator,
  beaverPaging,
  beaverRange,
  type Route,
  recordOf,
  route,
  type Static,
  Type,
  toBeaverCreator,
  type UserNames
} from '@fleetgate/kit'
import { ById, NumericId, orNull, pageReply, thingOrders, wishedOrder } from '../beaverIds.js'
import type { Entity } from '../entities/entity.js'
import type { Devices, DeviceView } from './device.js'

const Name = Type.String({ minLength: 1, maxLength: 64, pattern: '\\S' })
const Data = recordOf(Type.Unknown())
const Text = Type.Optional(Type.String())

const Draft = Type.Object({
  name: Name,
  integration: Type.String({ minLength: 1, maxLength: 128 }),
  param_entities: Type.Unsafe<Record<string, unknown> | null>({ type: ['object', 'null'], default: null }),
  group_name: orNull<string>({ type: 'string', maxLength: 127 })
})
const Search = Type.Object({
  name: orNull<string>({ type: 'string', maxLength: 256 }),
  identifier: orNull<string>({ type: 'string', maxLength: 256 }),
  id_list: Type.Optional(Type.Array(NumericId, { maxItems: 1000 })),
  group_id: Type.Optional(Type.Union([NumericId, Type.Null()])),
  filter_not_grouped: orNull<boolean>({ type: 'boolean' }),
  template: Type.Optional(Type.Unsafe<string | number | null>({ type: ['string', 'integer', 'null'], maxLength: 128 })),
  ...beaverPaging
})
const Listed = {
  id: Type.String(),
  key: Type.String(),
  name: Type.String(),
  integration: Type.String(),
  additional_data: Data,
  created_at: Type.Integer(),
  updated_at: Type.Integer(),
  integration_name: Text,
  template: Text,
  group_id: Text,
  group_name: Text,
  deletable: Type.Boolean(),
  identifier: Type.String(),
  ...beaverCreator
}
const EntityReply = Type.Object({
  id: Type.String(),
  key: Type.String(),
  name: Type.String(),
  type: Type.String(),
  value_attribute: Data,
  value_type: Type.String(),
  description: Text
})

export function deviceRoutes(devices: Devices): Route[] {
  return [
    route({
      method: 'post',
      path: '/device',
      summary: 'Add a device by the form of its integration; a group of `group_name` is made where there is none',
      needs: 'device.add',
      body: Draft,
      handle: async ({ body, caller }) => {
        const { name, integration, param_entities, group_name } = body
        const groupName = group_name?.trim() || undefined
        await devices.add({ name, integration, groupName, params: param_entities ?? {} }, caller)
      }
    }),
    route({
      method: 'post',
      path: '/device/search',
      summary: 'Devices, newest first or as `sorts` say (`key`, `created_at`)',
      needs: 'device.view',
      body: Search,
      reply: BeaverPage(Type.Object(Listed)),
      handle: async ({ body, caller }) => {
        const { name, identifier, id_list, group_id, template, filter_not_grouped } = body
        const groupIds = group_id === undefined || group_id === null ? undefined : [String(group_id)]
        const named = { name: name ?? undefined, identifier: identifier ?? undefined }
        const range = { ...beaverRange(body), order: wishedOrder(body.sorts, thingOrders) }
        const templated = { template: template ? String(template) : undefined }
        const grouped = { groupIds, withoutGroup: filter_not_grouped ?? undefined }
        const wish = { ...named, ...templated, ...grouped, ids: id_list?.map(String) }
        const { items, total, creators } = await devices.search(wish, range, caller)
        return pageReply(body, { items: items.map((one) => toListed(one, creators)), total })
      }
    }),
    route({
      method: 'post',
      path: '/device/batch-delete',
      summary: 'Delete devices with their entities and their history; unknown ids are passed over',
      needs: 'device.delete',
      body: Type.Object({ device_id_list: Type.Array(NumericId, { maxItems: 1000 }) }),
      handle: ({ body, caller }) => devices.remove([...new Set(body.device_id_list.map(String))], caller)
    }),
    route({
      method: 'get',
      path: '/device/:id',
      summary: 'One device with its entities',
      needs: 'device.view',
      params: ById,
      reply: Type.Object({ ...Listed, entities: Type.Array(EntityReply) }),
      handle: async ({ params, caller }) => {
        const found = await devices.get(params.id, caller)
        return { ...toListed(found, found.creators), entities: found.entities.map(toEntityReply) }
      }
    }),
    route({
      method: 'put',
      path: '/device/:id',
      summary: 'Rename a device',
      needs: 'device.edit',
      params: ById,
      body: Type.Object({ name: Name }),
      handle: ({ params, body, caller }) => devices.rename(params.id, body.name, caller)
    })
  ]
}

function toListed({ device, integrationName, groupName, isDeletable }: DeviceView, creators: UserNames | undefined) {
  return {
    id: device.id,
    key: device.key,
    name: device.name,
    integration: device.integration,
    additional_data: device.additionalData,
    created_at: device.createdAt,
    updated_at: device.updatedAt,
    integration_name: integrationName,
    template: device.template,
    group_id: groupName === undefined ? undefined : device.groupId,
    group_name: groupName,
    deletable: isDeletable,
    identifier: device.identifier,
    ...toBeaverCreator(device.userId, creators)
  }
}

function toEntityReply(entity: Entity): Static<typeof EntityReply> {
  return {
    id: entity.id,
    key: entity.key,
    name: entity.name,
    type: entity.type,
    value_attribute: entity.attribute,
    value_type: entity.valueType,
    description: entity.description
  }
}
