import { compile, recordOf, type Static, Type } from '@fleetgate/contracts'
import type { BrokerAlarm, BrokerLoad, ListenerFacts } from '../brokerFacts.js'
import { matches } from '../topics.js'
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
  load(): Promise<BrokerLoad>
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
const Figure = Type.Optional(Type.Union([Type.Number(), Type.String()]))
const Nodes = Type.Array(
  Type.Object({
    node_status: Type.Optional(Type.String()),
    memory_total: Figure,
    memory_used: Figure,
    max_fds: Type.Optional(Type.Integer()),
    load1: Figure,
    load5: Figure,
    load15: Figure
  })
)
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
    load: async () => toLoad(understood(read.nodes, await rest.call('GET', '/nodes')))
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

/** Of the nodes that run: memory and files of all together, the load of the busiest. */
function toLoad(nodes: Static<typeof Nodes>): BrokerLoad {
  const running = nodes.filter(({ node_status }) => (node_status ?? 'running').toLowerCase() === 'running')
  const sum = (figures: number[]) => figures.reduce((all, one) => all + one, 0)
  const highest = (figures: (number | string | undefined)[]) => Math.max(0, ...figures.map((one) => Number(one) || 0))
  return {
    memoryTotal: sum(running.map(({ memory_total }) => bytesOf(memory_total))),
    memoryUsed: sum(running.map(({ memory_used }) => bytesOf(memory_used))),
    maxFiles: sum(running.map(({ max_fds = 0 }) => max_fds)),
    load: [
      highest(running.map(({ load1 }) => load1)),
      highest(running.map(({ load5 }) => load5)),
      highest(running.map(({ load15 }) => load15))
    ]
  }
}

const units: Record<string, number> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }

/** `512.00M`, `2GB`, or bytes. */
function bytesOf(size: number | string | undefined): number {
  if (typeof size !== 'string') return size ?? 0
  const [, digits, unit = ''] = /^([\d.]+)\s*([KMGT]?)/i.exec(size) ?? []
  return Math.round((Number(digits) || 0) * (units[unit.toUpperCase()] ?? 1))
}
