import { Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import { localTime } from '../clients/localTime.js'
import { checkNode, nodeParam } from '../nodes/nodeParam.js'
import type { Alarms } from './alarms.js'

const Alarm = Type.Object({
  id: Type.String(),
  severity: Type.String(),
  title: Type.String(),
  summary: Type.String(),
  occurred_at: Type.String()
})

/** EMQ REST v2.3, "alarms". */
export function emqAlarmRoutes({ node, alarms }: { node: string; alarms: Alarms }): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v2/nodes/:node/alarms',
      summary: 'What is wrong with a node now',
      needs: 'broker.view',
      params: Type.Object(nodeParam),
      reply: Type.Array(Alarm),
      handle: async ({ params }) => {
        checkNode(node, params.node)
        const found = await alarms.list()
        return found.map(({ occurredAt, ...alarm }) => ({
          ...alarm,
          severity: 'critical',
          occurred_at: localTime(occurredAt)
        }))
      }
    })
  ]
}
