import { type Static, Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import type { BrokerFacts, BrokerNode } from '../broker/brokerFacts.js'
import { localTime } from '../clients/localTime.js'
import { checkNode, nodeParam } from './nodeParam.js'
import { memoryText, ownNode } from './ownNode.js'

const facts = {
  version: Type.String(),
  sysdescr: Type.String(),
  uptime: Type.String(),
  datetime: Type.String(),
  otp_release: Type.String(),
  node_status: Type.String()
}
const NodeFacts = Type.Object(facts)
const NamedNode = Type.Object({ name: Type.String(), ...facts })

const LoadedNode = Type.Object({
  name: Type.String(),
  otp_release: Type.String(),
  memory_total: Type.String(),
  memory_used: Type.String(),
  process_available: Type.Integer(),
  process_used: Type.Integer(),
  max_fds: Type.Integer(),
  clients: Type.Integer(),
  node_status: Type.String(),
  load1: Type.String(),
  load5: Type.String(),
  load15: Type.String()
})

export interface NodeInfo {
  name: string
  facts: () => BrokerFacts
  version: string
  startedAt: number
  now: () => number
}

/** EMQ REST v2, "cluster": the nodes under management, and how they are. */
export function emqNodeRoutes(node: NodeInfo): Route[] {
  return [...managementRoutes(node), ...monitoringRoutes(node)]
}

function managementRoutes(node: NodeInfo): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v2/management/nodes',
      summary: 'Nodes of the cluster',
      needs: 'broker.view',
      reply: Type.Array(NamedNode),
      handle: async () => [{ name: node.name, ...(await toReply(node)) }]
    }),
    route({
      method: 'get',
      path: '/api/v2/management/nodes/:node',
      summary: 'One node of the cluster',
      needs: 'broker.view',
      params: Type.Object(nodeParam),
      reply: NodeFacts,
      handle: ({ params }) => {
        checkNode(node.name, params.node)
        return toReply(node)
      }
    })
  ]
}

function monitoringRoutes(node: NodeInfo): Route[] {
  return [
    route({
      method: 'get',
      path: '/api/v2/monitoring/nodes',
      summary: 'Load of the nodes',
      needs: 'broker.view',
      reply: Type.Array(LoadedNode),
      handle: async ({ caller }) => [await toLoad(node, caller.tenantId)]
    }),
    route({
      method: 'get',
      path: '/api/v2/monitoring/nodes/:node',
      summary: 'Load of a node',
      needs: 'broker.view',
      params: Type.Object(nodeParam),
      reply: LoadedNode,
      handle: ({ params, caller }) => {
        checkNode(node.name, params.node)
        return toLoad(node, caller.tenantId)
      }
    })
  ]
}

function factsOf({ facts, version, startedAt, now }: NodeInfo): BrokerNode | Promise<BrokerNode> {
  return facts().node?.() ?? ownNode({ version, uptimeMs: now() - startedAt })
}

/** Clients are those of the tenant. Where Erlang does not serve them, connections stand for its processes. */
async function toLoad(node: NodeInfo, tenantId: string): Promise<Static<typeof LoadedNode>> {
  const [found, listeners] = await Promise.all([factsOf(node), node.facts().listeners(tenantId)])
  const sum = (of: (one: (typeof listeners)[number]) => number) => listeners.reduce((all, one) => all + of(one), 0)
  const clients = sum(({ currentClients }) => currentClients)
  const { available, used } = found.processes ?? { available: sum(({ maxClients }) => maxClients), used: clients }
  const [load1 = '', load5 = '', load15 = ''] = found.load.map((one) => one.toFixed(2))
  return {
    name: node.name,
    otp_release: found.runtime,
    memory_total: memoryText(found.memoryTotal),
    memory_used: memoryText(found.memoryUsed),
    process_available: available,
    process_used: used,
    max_fds: found.maxFiles,
    clients,
    node_status: 'Running',
    load1,
    load5,
    load15
  }
}

async function toReply(node: NodeInfo): Promise<Static<typeof NodeFacts>> {
  const { version, description, uptimeMs, runtime } = await factsOf(node)
  return {
    version,
    sysdescr: description,
    uptime: uptime(uptimeMs),
    datetime: localTime(node.now()),
    otp_release: runtime,
    node_status: 'Running'
  }
}

/** `[D days,][H hours, ]M minutes, S seconds`, only `S seconds` below a minute: as emqttd prints it. */
export function uptime(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3600), Math.floor(seconds / 86_400)]
  const parts = `${minutes % 60} minutes, ${seconds % 60} seconds`
  if (days > 0) return `${days} days,${hours % 24} hours, ${parts}`
  if (hours > 0) return `${hours} hours, ${parts}`
  return minutes > 0 ? parts : `${seconds} seconds`
}
