import { Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import type { BrokerAlarm, BrokerFacts } from '../broker/brokerFacts.js'
import { localTime } from '../clients/localTime.js'
import { checkNode, nodeParam } from '../nodes/nodeParam.js'
import { type Alarms, brokerAway } from './alarms.js'

const Alarm = Type.Object({
  id: Type.String(),
  severity: Type.String(),
  title: Type.String(),
  summary: Type.String(),
  occurred_at: Type.String()
})

export interface AlarmParts {
  node: string
  alarms: Alarms
  facts: () => BrokerFacts
}

/** EMQ REST v2.3, "alarms": ours, then those of a broker in a process of its own. */
export function emqAlarmRoutes({ node, alarms, facts }: AlarmParts): Route[] {
  async function all(tenantId: string): Promise<BrokerAlarm[]> {
    const own = await alarms.list()
    // A broker that is away says nothing, and that is an alarm of ours.
    const isAway = own.some(({ id }) => id === brokerAway)
    return isAway ? own : [...own, ...((await facts().alarms?.(tenantId)) ?? [])]
  }

  return [
    route({
      method: 'get',
      path: '/api/v2/nodes/:node/alarms',
      summary: 'What is wrong with a node now',
      needs: 'broker.view',
      params: Type.Object(nodeParam),
      reply: Type.Array(Alarm),
      handle: async ({ params, caller }) => {
        checkNode(node, params.node)
        const found = await all(caller.tenantId)
        return found.map(({ occurredAt, ...alarm }) => ({
          ...alarm,
          severity: 'critical',
          occurred_at: localTime(occurredAt)
        }))
      }
    })
  ]
}
