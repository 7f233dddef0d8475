import { recordOf, type Static, Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import type { BrokerFacts, ListenerFacts } from '../broker/brokerFacts.js'
import { byNode, type EmqForm } from '../nodes/byNode.js'
import { checkNode, nodeParam } from '../nodes/nodeParam.js'

const Listener = Type.Object({
  protocol: Type.String(),
  listen: Type.String(),
  acceptors: Type.Integer(),
  max_clients: Type.Integer(),
  current_clients: Type.Integer(),
  /** Erlang's empty list where there is nothing to count. */
  shutdown_count: Type.Union([recordOf(Type.Integer()), Type.Array(Type.Never(), { maxItems: 0 })])
})

interface ListenerParts {
  node: string
  facts: () => BrokerFacts
  form: EmqForm
}

/** EMQ REST v2, "listeners". */
export function emqListenerRoutes({ node, facts, form }: ListenerParts): Route[] {
  const cluster = byNode(form, Type.Array(Listener))
  const list = async (tenantId: string) => (await facts().listeners(tenantId)).map(toReply)

  return [
    route({
      method: 'get',
      path: '/api/v2/monitoring/listeners',
      summary: 'Listeners of the cluster, by node',
      needs: 'broker.view',
      reply: cluster.reply,
      handle: async ({ caller }) => cluster.of(node, await list(caller.tenantId))
    }),
    route({
      method: 'get',
      path: '/api/v2/monitoring/listeners/:node',
      summary: 'Listeners of a node',
      needs: 'broker.view',
      params: Type.Object(nodeParam),
      reply: Type.Array(Listener),
      handle: ({ params, caller }) => {
        checkNode(node, params.node)
        return list(caller.tenantId)
      }
    })
  ]
}

function toReply({ protocol, listen, acceptors, maxClients, currentClients, ended }: ListenerFacts) {
  const reply: Static<typeof Listener> = {
    protocol,
    listen,
    acceptors,
    max_clients: maxClients,
    current_clients: currentClients,
    shutdown_count: Object.keys(ended).length === 0 ? [] : ended
  }
  return reply
}
