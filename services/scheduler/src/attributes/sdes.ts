import { AppError, type Route, route, SdesPage, type Static, sdesRange, Type, toSdesPage } from '@fleetgate/kit'
import type { Clients } from '../clients/clients.js'
import { ById as ClientById } from '../clients/sdesShapes.js'
import { Count, Done, Id, Name, nullable, Success, sdesPaging } from '../sdesFields.js'
import { type Attribute, attributeTypes } from './attribute.js'
import type { AttributeOfClient, Attributes } from './attributes.js'

const Value = Type.String({ maxLength: 1024 })
/** The document shows flags and types as booleans, numbers and text; clients send back any of them. */
const AnyFlag = Type.Optional(Type.Unsafe<boolean | number | null>({ enum: [true, false, 0, 1, null] }))
const AnyType = Type.Unsafe<number | string>({ enum: attributeTypes.flatMap((_, type) => [type, String(type)]) })
const ById = Type.Object({ attributeId: Id })

const Draft = Type.Object({
  attributeName: Name,
  type: AnyType,
  defaultValue: Type.Optional(nullable(Value)),
  display: AnyFlag,
  readOnly: AnyFlag
})
const row = {
  attributeId: Id,
  attributesId: Id,
  attributeName: Type.String(),
  defaultValue: Type.String()
}
/** `type` is text in the document's list, and a number where an attribute is added. */
const Row = Type.Object({ ...row, type: Type.String(), display: Type.Boolean(), readOnly: Type.Boolean() })
const Bit = Type.Integer({ minimum: 0, maximum: 1 })
const Added = Type.Object({ ...row, type: Type.Integer(), display: Bit, readOnly: Bit })
const OfClient = Type.Object({
  type: Type.Integer(),
  attributeId: Type.Integer({ minimum: 0 }),
  attributeName: Type.String(),
  attributeValue: Type.String(),
  display: Type.Boolean(),
  readOnly: Type.Boolean()
})
const Assignments = Type.Array(
  Type.Object({ clientId: Type.Optional(nullable(Id)), attributeId: Id, attributeValue: nullable(Value) }),
  { maxItems: 1000 }
)

export function attributeRoutes(attributes: Attributes, clients: Clients): Route[] {
  return [...definitionRoutes(attributes), ...clientRoutes(attributes, clients)]
}

function definitionRoutes(attributes: Attributes): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/settings/attributes',
      summary: 'List the attributes that clients can have',
      needs: 'client.view',
      query: Type.Object(sdesPaging),
      reply: SdesPage(Row),
      handle: async ({ query, caller }) => {
        const found = await attributes.list(caller.tenantId, sdesRange(query))
        return toSdesPage({ ...found, items: found.items.map(toRow) })
      }
    }),
    route({
      method: 'post',
      path: '/v1/settings/attributes',
      summary: 'Add an attribute: `type` 0 text, 1 number, 2 boolean, 3 time',
      needs: 'client.edit',
      body: Draft,
      reply: Added,
      handle: async ({ body, caller }) => {
        const attribute = await attributes.register(caller.tenantId, {
          attributeName: body.attributeName,
          type: Number(body.type),
          defaultValue: body.defaultValue ?? '',
          display: Boolean(body.display ?? true),
          readOnly: Boolean(body.readOnly ?? false)
        })
        const { type, display, readOnly } = attribute
        return { ...toRow(attribute), type, display: Number(display), readOnly: Number(readOnly) }
      }
    }),
    route({
      method: 'delete',
      path: '/v1/settings/attributes/:attributeId',
      summary: 'Delete an attribute, and the values that clients were assigned',
      needs: 'client.edit',
      params: ById,
      reply: Success,
      handle: async ({ params, caller }) => {
        await attributes.retire(caller.tenantId, params.attributeId)
        return 'success'
      }
    })
  ]
}

function clientRoutes(attributes: Attributes, clients: Clients): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/clients/:clientId/attributes',
      summary: 'The attributes of a client: assigned, else reported by it, else the default',
      needs: 'client.view',
      params: ClientById,
      query: Type.Object(sdesPaging),
      reply: SdesPage(OfClient),
      handle: async ({ params, query, caller }) => {
        const all = await attributes.ofClient(await clients.get(caller.tenantId, params.clientId))
        const { offset, limit } = sdesRange(query)
        const items = all.slice(offset, offset + limit).map(toOfClient)
        return toSdesPage({ items, total: all.length })
      }
    }),
    route({
      method: 'get',
      path: '/v1/clients/:clientId/attributes/count',
      summary: 'Count the attributes of a client',
      needs: 'client.view',
      params: ClientById,
      reply: Count,
      handle: async ({ params, caller }) => {
        const { length } = await attributes.ofClient(await clients.get(caller.tenantId, params.clientId))
        return { count: length }
      }
    }),
    route({
      method: 'post',
      path: '/v1/clients/:clientId/attributes',
      summary: 'Assign values to a client; an empty value takes the assignment away',
      needs: 'client.edit',
      params: ClientById,
      body: Assignments,
      reply: Done,
      handle: async ({ params, body, caller }) => {
        const client = await clients.get(caller.tenantId, params.clientId)
        const assignments = body.map(({ clientId, attributeId, attributeValue }, i) => {
          if (clientId == null || clientId === params.clientId) return { attributeId, value: attributeValue ?? '' }
          const message = `clientId must be that of the path, ${params.clientId}`
          throw new AppError('invalid_input', message, { field: `${i}.clientId` })
        })
        await attributes.assign(client, assignments)
        return { desc: null }
      }
    })
  ]
}

function toRow({ attributeId, attributeName, type, defaultValue, display, readOnly }: Attribute): Static<typeof Row> {
  return { attributeId, attributesId: attributeId, attributeName, type: String(type), defaultValue, display, readOnly }
}

function toOfClient(attribute: AttributeOfClient): Static<typeof OfClient> {
  const { type, attributeId, attributeName, value, display, readOnly } = attribute
  return { type, attributeId, attributeName, attributeValue: value, display, readOnly }
}
