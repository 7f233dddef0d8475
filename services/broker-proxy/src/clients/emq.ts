import { type Static, Type } from '@fleetgate/contracts'
import { EmqPage, emqPaging, emqRange, type Route, route, toEmqPage } from '@fleetgate/kit'
import { checkNode, clientParam, nodeParam } from '../nodes/nodeParam.js'
import type { Clients, ConnectedClient } from './clients.js'
import { localTime } from './localTime.js'

const Client = Type.Object({
  client_id: Type.String(),
  username: Type.String(),
  ipaddress: Type.String(),
  port: Type.Integer(),
  clean_sess: Type.Boolean(),
  proto_ver: Type.Integer(),
  keepalive: Type.Integer(),
  connected_at: Type.String()
})

const Found = Type.Object({ objects: Type.Array(Client) })

/** EMQ REST v2, "connections". An id that is not connected is an empty list, not an error. */
export function emqClientRoutes(clients: Clients): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v2/nodes/:node/clients',
      summary: 'Connected clients of a node',
      needs: 'broker.view',
      params: Type.Object(nodeParam),
      query: Type.Object(emqPaging),
      reply: EmqPage(Client),
      handle: ({ params, query, caller }) => {
        checkNode(clients.node, params.node)
        const { items, total } = clients.list(caller.tenantId, emqRange(query))
        return toEmqPage(query, { items: items.map(toReply), total })
      }
    }),
    route({
      method: 'get',
      path: '/api/v2/nodes/:node/clients/:clientid',
      summary: 'One client of a node',
      needs: 'broker.view',
      params: Type.Object({ ...nodeParam, ...clientParam }),
      reply: Found,
      handle: async ({ params, caller }) =>
        toFound(await clients.find(caller.tenantId, params.clientid, checkNode(clients.node, params.node)))
    }),
    route({
      method: 'get',
      path: '/api/v2/clients/:clientid',
      summary: 'One client of the cluster',
      needs: 'broker.view',
      params: Type.Object(clientParam),
      reply: Found,
      handle: async ({ params, caller }) => toFound(await clients.find(caller.tenantId, params.clientid))
    })
  ]
}

function toFound(row: ConnectedClient | undefined): Static<typeof Found> {
  return { objects: row ? [toReply(row)] : [] }
}

function toReply(row: ConnectedClient): Static<typeof Client> {
  return {
    client_id: row.clientId,
    // Erlang's word for nothing, which clients of this API know.
    username: row.username || 'undefined',
    ipaddress: row.ip,
    port: row.port,
    clean_sess: row.clean,
    proto_ver: row.protoVer,
    keepalive: row.keepalive,
    connected_at: localTime(row.connectedAt)
  }
}
