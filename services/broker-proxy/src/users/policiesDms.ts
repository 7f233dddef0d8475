import { type Static, Type } from '@fleetgate/contracts'
import { dmsPaging, type Route, route } from '@fleetgate/kit'
import { dmsPlace, tenantOf } from './dmsPlace.js'
import type { Policies, Policy } from './policies.js'

const Row = Type.Object({
  access_key: Type.String(),
  white_remote_address: Type.String(),
  admin: Type.Boolean(),
  perm: Type.String()
})
const Reply = Type.Object({ policies: Type.Array(Row), total: Type.Integer(), name: Type.String() })

const Name = Type.String({ minLength: 1, maxLength: 4096 })
const query = Type.Object(dmsPaging)

/** DMS for RocketMQ, access policies: which users a topic or a consumer group (`$share` group) is open to. */
export function dmsPolicyRoutes(policies: Policies): Route[] {
  return [
    route({
      method: 'get',
      // A topic's slashes may come as they are or as %2F.
      path: '/v2/:project/instances/:instance/topics/*topic/accesspolicy',
      summary: 'MQTT users that may use a topic',
      needs: 'mqtt_user.view',
      params: Type.Object({ ...dmsPlace, topic: Name }),
      query,
      reply: Reply,
      handle: async ({ params, query, caller }) =>
        toReply(params.topic, await policies.ofTopic(tenantOf(params, caller), params.topic, query))
    }),
    route({
      method: 'get',
      path: '/v2/:project/rocketmq/instances/:instance/groups/:group/accesspolicy',
      // The older client library names the engine first, in either of its two words.
      aliases: [
        '/v2/reliability/:project/instances/:instance/groups/:group/accesspolicy',
        '/v2/rocketmq/:project/instances/:instance/groups/:group/accesspolicy'
      ],
      summary: 'MQTT users that may subscribe in a group',
      needs: 'mqtt_user.view',
      params: Type.Object({ ...dmsPlace, group: Name }),
      query,
      reply: Reply,
      handle: async ({ params, query, caller }) =>
        toReply(params.group, await policies.ofGroup(tenantOf(params, caller), params.group, query))
    })
  ]
}

function toReply(name: string, { items, total }: { items: Policy[]; total: number }): Static<typeof Reply> {
  const policies = items.map(({ accessKey, whiteRemoteAddress, admin, perm }) => ({
    access_key: accessKey,
    white_remote_address: whiteRemoteAddress,
    admin,
    perm
  }))
  return { policies, total, name }
}
