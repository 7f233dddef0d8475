import {
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
import { ById, NumericId, orNull, pageReply } from '../beaverIds.js'
import { accessMods, entityTypes } from '../entities/entity.js'
import { identifierPattern } from '../entities/entityKeys.js'
import { toWire, valueTypes } from '../entities/storedValue.js'
import { pointerPattern } from './pointer.js'
import { type TemplateChild, type TemplateDraft, type TemplateEntity, timestampUnits } from './template.js'
import type { Templates, TemplateView } from './templates.js'
import type { TestResult, TestTemplate } from './testTemplate.js'

const Attribute = recordOf(Type.Unknown())
const Scalar = Type.Unsafe<string | number | boolean>({ type: ['string', 'number', 'boolean'] })
const Child = {
  identifier: Type.String({ minLength: 1, maxLength: 127, pattern: identifierPattern }),
  name: Type.String({ minLength: 1, maxLength: 127, pattern: '\\S' }),
  access_mod: Type.Optional(oneOf(accessMods)),
  value_type: oneOf(valueTypes),
  value_attribute: Type.Optional(Attribute),
  description: Type.Optional(Type.String({ maxLength: 255 })),
  pointer: Type.Optional(Type.String({ maxLength: 512, pattern: pointerPattern })),
  factor: Type.Optional(Type.Number()),
  offset: Type.Optional(Type.Number()),
  map: Type.Optional(recordOf(Scalar, { maxProperties: 100 }))
}
const Content = {
  name: Type.String({ minLength: 1, maxLength: 64, pattern: '\\S' }),
  description: Type.Optional(Type.String({ maxLength: 255 })),
  topic: Type.String({ minLength: 1, maxLength: 512 }),
  down_topic: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
  timestamp: Type.Optional(
    Type.Object({ pointer: Type.String({ maxLength: 512, pattern: pointerPattern }), unit: oneOf(timestampUnits) })
  ),
  auto_create: Type.Boolean({ default: false }),
  entities: Type.Array(
    Type.Object({
      ...Child,
      type: oneOf(entityTypes),
      children: Type.Optional(Type.Array(Type.Object(Child), { maxItems: 50 }))
    }),
    { minItems: 1, maxItems: 200 }
  )
}
const Draft = Type.Object(Content)
const Reply = Type.Object({
  ...Content,
  id: Type.String(),
  device_count: Type.Integer(),
  message_count: Type.Integer(),
  sample_count: Type.Integer(),
  refused_count: Type.Integer(),
  last_message_at: Type.Optional(Type.Integer()),
  last_error: Type.Optional(Type.Object({ at: Type.Integer(), topic: Type.String(), reason: Type.String() })),
  created_at: Type.Integer(),
  updated_at: Type.Integer()
})
const Test = Type.Object({
  topic: Type.Optional(Type.String({ minLength: 1, maxLength: 1024 })),
  test_data: Type.String({ maxLength: 262_144 })
})
const Tested = Type.Object({
  device: Type.Optional(Type.String()),
  timestamp: Type.Optional(Type.String()),
  entities: Type.Array(
    Type.Object({
      identifier: Type.String(),
      value: Type.Optional(Scalar),
      reason: Type.Optional(Type.String())
    })
  )
})

const reads = ['device.add', 'integration.view'] as const
const path = '/mqtt-device/device-template'

export function templateRoutes(templates: Templates, test: TestTemplate): Route[] {
  return [
    route({
      method: 'post',
      path,
      summary: 'Add a template of MQTT devices',
      needs: 'device.add',
      body: Draft,
      reply: Type.Object({ id: Type.String() }),
      handle: async ({ body, caller }) => ({ id: await templates.add(toDraft(body), caller) })
    }),
    route({
      method: 'post',
      path: `${path}/search`,
      summary: 'Templates with what came in by them, newest first',
      needs: reads,
      body: Type.Object({ name: orNull<string>({ type: 'string', maxLength: 64 }), ...beaverPaging }),
      reply: BeaverPage(Reply),
      handle: async ({ body, caller }) => {
        const { items, total } = await templates.search(body.name ?? undefined, beaverRange(body), caller)
        return pageReply(body, { items: items.map(toReply), total })
      }
    }),
    route({
      method: 'post',
      path: `${path}/validate`,
      summary: 'Whether a template can be used; refused as adding it would be',
      needs: reads,
      body: Draft,
      handle: async ({ body }) => templates.check(toDraft(body))
    }),
    route({
      method: 'post',
      path: `${path}/batch-delete`,
      summary: 'Delete templates that have no devices; unknown ids are passed over',
      needs: 'device.delete',
      body: Type.Object({ id_list: Type.Array(NumericId, { maxItems: 200 }) }),
      handle: ({ body, caller }) => templates.remove([...new Set(body.id_list.map(String))], caller)
    }),
    route({
      method: 'get',
      path: `${path}/:id`,
      summary: 'One template',
      needs: reads,
      params: ById,
      reply: Reply,
      handle: async ({ params, caller }) => toReply(await templates.get(params.id, caller))
    }),
    route({
      method: 'put',
      path: `${path}/:id`,
      summary: 'Replace a template; its devices get the entities that are new',
      needs: 'device.edit',
      params: ById,
      body: Draft,
      handle: ({ params, body, caller }) => templates.change(params.id, toDraft(body), caller)
    }),
    route({
      method: 'post',
      path: `${path}/:id/test`,
      summary: 'What a template reads from a message; nothing is kept',
      needs: reads,
      params: ById,
      body: Test,
      reply: Tested,
      handle: async ({ params, body, caller }) => {
        const template = await templates.find(params.id, caller)
        return toTested(test(template, { topic: body.topic, payload: body.test_data }))
      }
    })
  ]
}

function toDraft(body: Static<typeof Draft>): TemplateDraft {
  return {
    name: body.name,
    description: body.description,
    topic: body.topic,
    downTopic: body.down_topic,
    timestamp: body.timestamp && { pointer: body.timestamp.pointer, unit: body.timestamp.unit },
    autoCreate: body.auto_create,
    entities: body.entities.map(({ type, children, ...own }): TemplateEntity => {
      return { ...toChild(own), type, ...(children ? { children: children.map(toChild) } : {}) }
    })
  }
}

type WireChild = Omit<Static<typeof Draft>['entities'][number], 'type' | 'children'>

function toChild({ factor, offset, map, ...own }: WireChild): TemplateChild {
  const { identifier, name, value_type, access_mod, value_attribute, description, pointer } = own
  const conversion = {
    ...(factor === undefined ? {} : { factor }),
    ...(offset === undefined ? {} : { offset }),
    ...(map ? { map } : {})
  }
  return {
    identifier,
    name,
    valueType: value_type,
    ...(access_mod ? { accessMod: access_mod } : {}),
    ...(value_attribute ? { attribute: value_attribute } : {}),
    ...(description === undefined ? {} : { description }),
    ...(pointer === undefined ? {} : { pointer }),
    ...(Object.keys(conversion).length > 0 ? { conversion } : {})
  }
}

function toReply({ template, deviceCount }: TemplateView): Static<typeof Reply> {
  const { traffic } = template
  return {
    id: template.id,
    name: template.name,
    description: template.description,
    topic: template.topic,
    down_topic: template.downTopic,
    timestamp: template.timestamp,
    auto_create: template.autoCreate,
    entities: template.entities.map(({ type, children, ...own }) => {
      return { ...toWireChild(own), type, ...(children ? { children: children.map(toWireChild) } : {}) }
    }),
    device_count: deviceCount,
    message_count: traffic.messages,
    sample_count: traffic.samples,
    refused_count: traffic.refused,
    last_message_at: traffic.lastMessageAt,
    last_error: traffic.lastError && {
      at: traffic.lastError.at,
      topic: traffic.lastError.topic,
      reason: traffic.lastError.reason
    },
    created_at: template.createdAt,
    updated_at: template.updatedAt
  }
}

function toWireChild(child: TemplateChild): WireChild {
  const { identifier, name, valueType, accessMod, attribute, description, pointer, conversion = {} } = child
  const { factor, offset, map } = conversion
  const own = { access_mod: accessMod, value_attribute: attribute, description, pointer, factor, offset, map }
  return { identifier, name, value_type: valueType, ...own } as WireChild
}

function toTested({ device, at, entities }: TestResult): Static<typeof Tested> {
  return {
    device,
    timestamp: at === undefined ? undefined : String(at),
    entities: entities.map(({ identifier, value, reason }) => {
      return { identifier, value: value === undefined ? undefined : toWire(value), reason }
    })
  }
}
