import { type Static, Type } from '@fleetgate/contracts'
import { EmqPage, emqPaging, emqRange, type Route, route, toEmqPage } from '@fleetgate/kit'
import type { BrokerFacts, SessionFacts } from '../broker/brokerFacts.js'
import { localTime } from '../clients/localTime.js'
import { checkNode, clientParam, nodeParam } from '../nodes/nodeParam.js'

/** The words of 2.1, then those of 2.3. */
const Session = Type.Object({
  client_id: Type.String(),
  clean_sess: Type.Boolean(),
  max_inflight: Type.Integer(),
  inflight_queue: Type.Integer(),
  message_queue: Type.Integer(),
  message_dropped: Type.Integer(),
  awaiting_rel: Type.Integer(),
  awaiting_ack: Type.Integer(),
  awaiting_comp: Type.Integer(),
  created_at: Type.String(),
  subscriptions: Type.Integer(),
  inflight_len: Type.Integer(),
  mqueue_len: Type.Integer(),
  mqueue_dropped: Type.Integer(),
  awaiting_rel_len: Type.Integer(),
  deliver_msg: Type.Integer(),
  enqueue_msg: Type.Integer()
})
const Page = EmqPage(Session)

/** EMQ REST v2, "sessions": of connected clients, and those kept for a client's return. */
export function emqSessionRoutes({ node, facts }: { node: string; facts: () => BrokerFacts }): Route[] {
  /** Look-ups of one session are pages too in 2.1, unlike those of clients. */
  async function pageOfOne(tenantId: string, clientId: string): Promise<Static<typeof Page>> {
    const found = await facts().session(tenantId, clientId)
    const items = found ? [toReply(found)] : []
    return toEmqPage({ curr_page: 1, page_size: 20 }, { items, total: items.length })
  }

  return [
    route({
      method: 'get',
      path: '/api/v2/nodes/:node/sessions',
      summary: 'Sessions of a node',
      needs: 'broker.view',
      params: Type.Object(nodeParam),
      query: Type.Object(emqPaging),
      reply: Page,
      handle: async ({ params, query, caller }) => {
        checkNode(node, params.node)
        const { items, total } = await facts().sessions(caller.tenantId, emqRange(query))
        return toEmqPage(query, { items: items.map(toReply), total })
      }
    }),
    route({
      method: 'get',
      path: '/api/v2/nodes/:node/sessions/:clientid',
      summary: 'One session of a node',
      needs: 'broker.view',
      params: Type.Object({ ...nodeParam, ...clientParam }),
      reply: Page,
      handle: ({ params, caller }) => {
        checkNode(node, params.node)
        return pageOfOne(caller.tenantId, params.clientid)
      }
    }),
    route({
      method: 'get',
      path: '/api/v2/sessions/:clientid',
      summary: 'One session of the cluster',
      needs: 'broker.view',
      params: Type.Object(clientParam),
      reply: Page,
      handle: ({ params, caller }) => pageOfOne(caller.tenantId, params.clientid)
    })
  ]
}

function toReply(session: SessionFacts): Static<typeof Session> {
  const inflight = session.awaitingAck + session.awaitingComp
  return {
    client_id: session.clientId,
    clean_sess: session.clean,
    max_inflight: session.maxInflight,
    inflight_queue: inflight,
    message_queue: session.queued,
    message_dropped: session.dropped,
    awaiting_rel: session.awaitingRel,
    awaiting_ack: session.awaitingAck,
    awaiting_comp: session.awaitingComp,
    created_at: localTime(session.createdAt),
    subscriptions: session.subscriptions,
    inflight_len: inflight,
    mqueue_len: session.queued,
    mqueue_dropped: session.dropped,
    awaiting_rel_len: session.awaitingRel,
    deliver_msg: session.delivered,
    enqueue_msg: session.enqueued
  }
}
