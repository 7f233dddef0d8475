import { type Route, raw, recordOf, route, type Static, Type } from '@fleetgate/kit'
import type { Entity } from '../entities/entity.js'
import type { Integrations, IntegrationView } from './integration.js'

const ById = Type.Object({ id: Type.String({ minLength: 1, maxLength: 128 }) })
/** A null is the web client's way to leave one out. */
const Wish = Type.Optional(Type.Unsafe<boolean | null>({ type: ['boolean', 'null'] }))
const Text = Type.Optional(Type.String())
const Count = Type.Optional(Type.Integer())

/** The seed writes the counts in camel case, the real system in snake case: both are sent. */
const Listed = {
  id: Type.String(),
  icon: Text,
  name: Type.String(),
  description: Text,
  add_device_service_key: Text,
  device_count: Count,
  deviceCount: Count,
  entity_count: Count,
  entityCount: Count
}
const EntityReply = Type.Object({
  id: Type.String(),
  key: Type.String(),
  name: Type.String(),
  type: Type.String(),
  value_attribute: recordOf(Type.Unknown()),
  value_type: Type.String(),
  access_mod: Text,
  parent: Text,
  value: Type.Optional(Type.Unsafe<string | number | boolean>({ type: ['string', 'number', 'boolean'] })),
  description: Text
})
const Detail = Type.Object({
  ...Listed,
  delete_device_service_key: Text,
  integration_entities: Type.Array(EntityReply)
})

const needs = ['device.add', 'integration.view'] as const

export function integrationRoutes(integrations: Integrations): Route[] {
  return [
    route({
      method: 'post',
      path: '/integration/search',
      summary: 'Integrations, as a plain list',
      needs,
      body: Type.Object({ device_addable: Wish, device_deletable: Wish }),
      reply: Type.Array(Type.Object(Listed)),
      handle: async ({ body, caller }) => {
        const { device_addable, device_deletable } = body
        const wish = { isAddable: device_addable ?? undefined, isDeletable: device_deletable ?? undefined }
        return (await integrations.search(wish, caller)).map(toListed)
      }
    }),
    route({
      method: 'get',
      path: '/integration/:id',
      summary: 'One integration with its own entities; those below the add-device service are its form',
      needs,
      params: ById,
      reply: Detail,
      handle: async ({ params, caller }) => {
        const found = await integrations.get(params.id, caller)
        return {
          ...toListed(found),
          delete_device_service_key: found.deleteDeviceKey,
          integration_entities: found.entities.map(toEntityReply)
        }
      }
    }),
    route({
      method: 'get',
      path: '/public/:file',
      summary: 'The picture of an integration, as its `icon` names it',
      needs: 'public',
      params: Type.Object({ file: Type.String({ pattern: '^[a-z0-9-]{1,64}-logo\\.svg$' }) }),
      handle: ({ params }) => {
        const headers = { 'content-type': 'image/svg+xml', 'cache-control': 'public, max-age=86400' }
        return raw({ headers, body: integrations.picture(params.file.slice(0, -'-logo.svg'.length)) })
      }
    })
  ]
}

/** Counts of zero are left out, as the real system does. */
function toListed({ manifest, addDeviceKey, deviceCount, entityCount }: IntegrationView) {
  return {
    id: manifest.id,
    icon: manifest.picture && `public/${manifest.id}-logo.svg`,
    name: manifest.name,
    description: manifest.description,
    add_device_service_key: addDeviceKey,
    ...(deviceCount > 0 ? { device_count: deviceCount, deviceCount } : {}),
    ...(entityCount > 0 ? { entity_count: entityCount, entityCount } : {})
  }
}

/** Values of LONG are JSON numbers here, unlike everywhere else. */
function toEntityReply(entity: Entity): Static<typeof EntityReply> {
  const value = entity.latest?.value
  return {
    id: entity.id,
    key: entity.key,
    name: entity.name,
    type: entity.type,
    value_attribute: entity.attribute,
    value_type: entity.valueType,
    access_mod: entity.accessMod,
    parent: entity.parentKey,
    value: typeof value === 'bigint' ? Number(value) : value,
    description: entity.description
  }
}
