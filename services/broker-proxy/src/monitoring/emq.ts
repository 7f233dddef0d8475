import { recordOf, type Static, type TSchema, Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import type { BrokerFacts } from '../broker/brokerFacts.js'
import { byNode, type EmqForm } from '../nodes/byNode.js'
import { checkNode, nodeParam } from '../nodes/nodeParam.js'
import { metricNames, metricsOf } from './metricNames.js'

const statNames = ['clients', 'sessions', 'topics', 'subscribers', 'subscriptions', 'routes', 'retained'] as const

const Numbers = recordOf(Type.Integer({ minimum: 0 }))
const Metrics = named(metricNames)
const Stats = named(statNames.flatMap((name) => [`${name}/count`, `${name}/max`]))

function named(names: readonly string[]) {
  return Type.Intersect([Numbers, Type.Object(Object.fromEntries(names.map((name) => [name, Type.Integer()])))])
}

export interface MonitoringParts {
  node: string
  facts: () => BrokerFacts
  form: EmqForm
}

/** EMQ REST v2, "metrics" and "statistics": those of the caller's tenant. */
export function emqMonitoringRoutes({ node, facts, form }: MonitoringParts): Route[] {
  const metrics = async (tenantId: string) => {
    const [traffic, { retained }] = await Promise.all([facts().traffic(tenantId), facts().stats(tenantId)])
    return metricsOf(traffic, retained.count)
  }
  const stats = async (tenantId: string) => {
    const all = await facts().stats(tenantId)
    const pairs = statNames.flatMap((name) => [
      [`${name}/count`, all[name].count],
      [`${name}/max`, all[name].max]
    ])
    return Object.fromEntries(pairs)
  }
  return [
    ...bothForms({ node, form, word: 'metrics', what: 'Counters', reply: Metrics, read: metrics }),
    ...bothForms({ node, form, word: 'stats', what: 'Current and highest numbers', reply: Stats, read: stats })
  ]
}

interface Form<R extends TSchema> {
  node: string
  form: EmqForm
  word: string
  what: string
  reply: R
  read(tenantId: string): Promise<Static<R>>
}

/** Of the cluster those of each node, of a node the numbers themselves. */
function bothForms<R extends TSchema>({ node, form, word, what, reply, read }: Form<R>): Route[] {
  const cluster = byNode(form, reply)
  return [
    route({
      method: 'get',
      path: `/api/v2/monitoring/${word}`,
      summary: `${what} of the cluster, by node`,
      needs: 'broker.view',
      reply: cluster.reply,
      handle: async ({ caller }) => cluster.of(node, await read(caller.tenantId))
    }),
    route({
      method: 'get',
      path: `/api/v2/monitoring/${word}/:node`,
      summary: `${what} of a node`,
      needs: 'broker.view',
      params: Type.Object(nodeParam),
      reply,
      handle: ({ params, caller }) => {
        checkNode(node, params.node)
        return read(caller.tenantId) as never
      }
    })
  ]
}
