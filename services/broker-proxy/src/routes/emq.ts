import { Type } from '@fleetgate/contracts'
import { EmqPage, emqPaging, emqRange, type Route, route, toEmqPage } from '@fleetgate/kit'
import type { BrokerFacts } from '../broker/brokerFacts.js'

const Row = Type.Object({ topic: Type.String(), node: Type.String() })

/** EMQ REST v2, "routes": `routers` is the word of 2.1, `routes` that of later ones. */
export function emqRouteRoutes({ node, facts }: { node: string; facts: () => BrokerFacts }): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v2/routers',
      aliases: ['/api/v2/routes'],
      summary: 'Topic filters that are subscribed to, with the node that serves them',
      needs: 'broker.view',
      query: Type.Object(emqPaging),
      reply: EmqPage(Row),
      handle: async ({ query, caller }) => {
        const { items, total } = await facts().routes(caller.tenantId, emqRange(query))
        return toEmqPage(query, { items: items.map((topic) => ({ topic, node })), total })
      }
    }),
    route({
      method: 'get',
      path: '/api/v2/routers/*topic',
      aliases: ['/api/v2/routes/*topic'],
      summary: 'The nodes that serve exactly this filter',
      needs: 'broker.view',
      params: Type.Object({ topic: Type.String({ maxLength: 8192 }) }),
      reply: Type.Object({ objects: Type.Array(Row) }),
      handle: async ({ params: { topic }, caller }) => ({
        objects: (await facts().hasRoute(caller.tenantId, topic)) ? [{ topic, node }] : []
      })
    })
  ]
}
