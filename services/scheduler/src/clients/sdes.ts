import { type Route, route, type Static, sdesRange, Type, toSdesPage } from '@fleetgate/kit'
import { Done, Id, toFlag, toRanges } from '../sdesFields.js'
import type { Settings } from '../settings/settings.js'
import type { ClientFilter } from './clientStore.js'
import type { Clients } from './clients.js'
import {
  ById,
  Change,
  ClientPage,
  ClientQuery,
  Details,
  Draft,
  Row,
  toChange,
  toDetails,
  toDraft,
  toRow
} from './sdesShapes.js'

export function clientRoutes(clients: Clients, settings: Settings): Route[] {
  const setEnabled = (word: 'enable' | 'disable') =>
    route({
      method: 'put',
      path: `/v1/clients/:clientId/${word}`,
      summary: word === 'enable' ? 'Let a client take part in jobs' : 'Keep a client out of jobs',
      needs: 'client.edit',
      params: ById,
      reply: Done,
      handle: async ({ params, caller }) => {
        await clients.change(caller.tenantId, params.clientId, { enabled: word === 'enable' })
        return { desc: null }
      }
    })

  return [
    route({
      method: 'get',
      path: '/v1/clients',
      summary: 'List clients',
      needs: 'client.view',
      query: ClientQuery,
      reply: ClientPage,
      handle: async ({ query, caller }) => listClients(clients, { tenantId: caller.tenantId }, query)
    }),
    route({
      method: 'post',
      path: '/v1/clients',
      summary: 'Register a client before it connects',
      needs: 'client.edit',
      body: Draft,
      reply: Row,
      handle: async ({ body, caller: { tenantId } }) =>
        toRow(await clients.register(tenantId, toDraft(body, await settings.get(tenantId, 'clients'))))
    }),
    route({
      method: 'put',
      path: '/v1/clients',
      summary: 'Change a client',
      needs: 'client.edit',
      body: Change,
      reply: Done,
      handle: async ({ body, caller }) => {
        const stored = await clients.get(caller.tenantId, body.clientId)
        await clients.change(caller.tenantId, body.clientId, toChange(body, stored))
        return { desc: null }
      }
    }),
    route({
      method: 'get',
      path: '/v1/clients/:clientId/details',
      summary: 'Read one client',
      needs: 'client.view',
      params: ById,
      reply: Details,
      handle: async ({ params, caller }) => toDetails(await clients.get(caller.tenantId, params.clientId))
    }),
    setEnabled('enable'),
    setEnabled('disable'),
    route({
      method: 'delete',
      path: '/v1/clients/:clientId',
      summary: 'Delete a client; it comes back under a new number when it connects again',
      needs: 'client.edit',
      params: ById,
      reply: Type.Object({ clientId: Id }),
      handle: async ({ params, caller }) => {
        await clients.retire(caller.tenantId, params.clientId)
        return { clientId: params.clientId }
      }
    })
  ]
}

export async function listClients(
  clients: Clients,
  scope: Pick<ClientFilter, 'tenantId' | 'among' | 'anyOf'>,
  query: Static<typeof ClientQuery>
): Promise<Static<typeof ClientPage>> {
  const { clientId, username, usernameContain, mqttClientId: mqttClientIds, mqttClientIdContain, status } = query
  const ranges = toRanges(query, {
    connectedAt: 'connectedAt',
    disconnectedAt: 'disconnectedAt',
    createdAt: 'createAt'
  })
  const words = { clientId, username, usernameContain, mqttClientIds, mqttClientIdContain, status, ranges }
  const filter = { ...scope, ...words, enabled: toFlag(query.enabled), attribute: toAttribute(query) }
  const found = await clients.list(filter, sdesRange(query))
  return toSdesPage({ ...found, items: found.items.map(toRow) })
}

function toAttribute({ attributeName, attributeValue, attributeValueContain }: Static<typeof ClientQuery>) {
  if (attributeName === undefined) return undefined
  const isPart = attributeValue === undefined
  return {
    property: attributeName,
    operation: isPart ? 'CONTAINS' : 'EQ',
    value: attributeValue ?? attributeValueContain ?? ''
  } as const
}
