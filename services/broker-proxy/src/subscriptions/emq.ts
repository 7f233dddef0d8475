import { type Static, Type } from '@fleetgate/contracts'
import { EmqPage, emqPaging, emqRange, type Route, route, toEmqPage } from '@fleetgate/kit'
import type { BrokerFacts, SubscriptionFacts } from '../broker/brokerFacts.js'
import { checkNode, clientParam, nodeParam } from '../nodes/nodeParam.js'

const Subscription = Type.Object({ client_id: Type.String(), topic: Type.String(), qos: Type.Integer() })
const Found = Type.Object({ objects: Type.Array(Subscription) })

/** EMQ REST v2, "subscriptions". */
export function emqSubscriptionRoutes({ node, facts }: { node: string; facts: () => BrokerFacts }): Route[] {
  async function ofClient(tenantId: string, clientId: string): Promise<Static<typeof Found>> {
    return { objects: (await facts().subscriptionsOf(tenantId, clientId)).map(toReply) }
  }

  return [
    route({
      method: 'get',
      path: '/api/v2/nodes/:node/subscriptions',
      summary: 'Subscriptions of a node',
      needs: 'broker.view',
      params: Type.Object(nodeParam),
      query: Type.Object(emqPaging),
      reply: EmqPage(Subscription),
      handle: async ({ params, query, caller }) => {
        checkNode(node, params.node)
        const { items, total } = await facts().subscriptions(caller.tenantId, emqRange(query))
        return toEmqPage(query, { items: items.map(toReply), total })
      }
    }),
    route({
      method: 'get',
      path: '/api/v2/nodes/:node/subscriptions/:clientid',
      summary: 'Subscriptions of a client on a node',
      needs: 'broker.view',
      params: Type.Object({ ...nodeParam, ...clientParam }),
      reply: Found,
      handle: ({ params, caller }) => {
        checkNode(node, params.node)
        return ofClient(caller.tenantId, params.clientid)
      }
    }),
    route({
      method: 'get',
      path: '/api/v2/subscriptions/:clientid',
      summary: 'Subscriptions of a client',
      needs: 'broker.view',
      params: Type.Object(clientParam),
      reply: Found,
      handle: ({ params, caller }) => ofClient(caller.tenantId, params.clientid)
    })
  ]
}

function toReply({ clientId, filter, qos }: SubscriptionFacts): Static<typeof Subscription> {
  return { client_id: clientId, topic: filter, qos }
}
