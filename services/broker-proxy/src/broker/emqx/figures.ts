import { compile, recordOf, type Static, Type } from '@fleetgate/contracts'
import type { BrokerAlarm, ListenerFacts } from '../brokerFacts.js'
import { matches } from '../topics.js'
import { type EmqxNode, Nodes } from './nodes.js'
import type { Rest } from './rest.js'
import { createRows, epochMs, understood } from './rows.js'

/** A listener that takes clients, over all nodes; `id` is what sessions name. */
export interface EmqxListener extends Omit<ListenerFacts, 'currentClients' | 'ended'> {
  id: string
}

/** What EMQX tells about itself, over all tenants. Rejects with AppError: see rest.ts. */
export interface EmqxFigures {
  listeners(): Promise<EmqxListener[]>
  /** Counters since the start, summed up over the nodes, by EMQX's names: `packets.received`. */
  metrics(): Promise<Record<string, number>>
  /** Retained messages whose topics match, counted up to so many. */
  countRetained(filter: string, upTo: number): Promise<number>
  alarms(): Promise<BrokerAlarm[]>
  /** Those of the cluster, stopped ones too. */
  nodes(): Promise<EmqxNode[]>
}

const Listeners = Type.Array(
  Type.Object({
    id: Type.String(),
    type: Type.String(),
    enable: Type.Optional(Type.Boolean()),
    bind: Type.String(),
    acceptors: Type.Optional(Type.Integer()),
    status: Type.Optional(
      Type.Object({
        running: Type.Optional(Type.Unknown()),
        /** A number, or "infinity". */
        max_connections: Type.Optional(Type.Union([Type.Integer(), Type.String()]))
      })
    )
  })
)
const Numbers = recordOf(Type.Unknown())
const Aggregate = Type.Union([Type.Array(Numbers), Numbers])
const Retained = Type.Object({ topic: Type.String() })
const AlarmRow = Type.Object({
  node: Type.Optional(Type.String()),
  name: Type.String(),
  message: Type.Optional(Type.String()),
  activate_at: Type.Optional(Type.Union([Type.String(), Type.Number()]))
})
const read = {
  listeners: compile(Listeners),
  aggregate: compile(Aggregate),
  nodes: compile(Nodes)
}

export function createFigures(rest: Rest): EmqxFigures {
  const retainedRows = createRows(rest, Retained)
  const alarmRows = createRows(rest, AlarmRow)

  async function sums(path: string): Promise<Record<string, number>> {
    return summed(understood(read.aggregate, await rest.call('GET', `${path}?aggregate=true`)))
  }

  return {
    async listeners() {
      const found = understood(read.listeners, await rest.call('GET', '/listeners'))
      return found.filter(({ enable, status }) => enable !== false && status?.running !== false).map(toListener)
    },
    metrics: () => sums('/metrics'),
    async countRetained(topic, upTo) {
      let count = 0
      // Until 5.4 all are listed, whatever is asked for.
      for await (const row of retainedRows('/mqtt/retainer/messages', { topic })) {
        if (matches(topic, row.topic)) count += 1
        if (count >= upTo) break
      }
      return count
    },
    async alarms() {
      const alarms: BrokerAlarm[] = []
      for await (const row of alarmRows('/alarms', { activated: 'true' })) alarms.push(toAlarm(row))
      return alarms
    },
    nodes: async () => understood(read.nodes, await rest.call('GET', '/nodes'))
  }
}

function toListener({ id, type, bind, acceptors, status }: Static<typeof Listeners>[number]): EmqxListener {
  const max = status?.max_connections
  return {
    id,
    protocol: `mqtt:${type}`,
    // All addresses are a colon and the port there, and the port alone in v2.
    listen: bind.replace(/^:(?=\d+$)/, ''),
    acceptors: acceptors ?? 0,
    maxClients: typeof max === 'number' ? max : 0
  }
}

function toAlarm({ node, name, message, activate_at }: Static<typeof AlarmRow>): BrokerAlarm {
  const where = node === undefined ? '' : ` (${node})`
  return { id: name, title: name, summary: `${message ?? name}${where}`, occurredAt: epochMs(activate_at) }
}

/** One object of all nodes, or one of each where a version does not sum up. */
function summed(answer: Static<typeof Aggregate>): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const figures of Array.isArray(answer) ? answer : [answer]) {
    for (const [name, figure] of Object.entries(figures)) {
      if (typeof figure === 'number') sums[name] = (sums[name] ?? 0) + figure
    }
  }
  return sums
}
