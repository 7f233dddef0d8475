import { type Static, Type } from '@fleetgate/contracts'
import type { BrokerNode } from '../brokerFacts.js'

const Word = Type.Optional(Type.String())
const Count = Type.Optional(Type.Integer())
const Figure = Type.Optional(Type.Union([Type.Number(), Type.String()]))

/** `GET /nodes` of EMQX 5; of a stopped node it has hardly more than the name. */
export const Nodes = Type.Array(
  Type.Object({
    node_status: Word,
    version: Word,
    otp_release: Word,
    /** Milliseconds. */
    uptime: Count,
    /** Of the machine or its container, not of Erlang: `512.00M`. */
    memory_total: Figure,
    memory_used: Figure,
    process_available: Count,
    process_used: Count,
    max_fds: Count,
    load1: Figure,
    load5: Figure,
    load15: Figure
  })
)
export type EmqxNode = Static<typeof Nodes>[number]

/**
 * Of the nodes that run: memory, files and processes of all together, the load of the busiest, the uptime of the oldest, and the
 * lowest version, which is what the cluster can do while it is upgraded.
 */
export function asOne(nodes: readonly EmqxNode[]): BrokerNode {
  const running = nodes.filter(({ node_status = 'running' }) => node_status.toLowerCase() === 'running')
  const sum = (of: (node: EmqxNode) => number) => running.reduce((all, node) => all + of(node), 0)
  const highest = (of: (node: EmqxNode) => number | string | undefined) =>
    Math.max(0, ...running.map((node) => Number(of(node)) || 0))
  const [oldest] = running.toSorted((a, b) => compareVersions(a.version, b.version))
  return {
    version: oldest?.version ?? '',
    description: 'EMQX',
    runtime: oldest?.otp_release === undefined ? '' : `R${oldest.otp_release}`,
    uptimeMs: highest(({ uptime }) => uptime),
    memoryTotal: sum(({ memory_total }) => bytesOf(memory_total)),
    memoryUsed: sum(({ memory_used }) => bytesOf(memory_used)),
    maxFiles: sum(({ max_fds = 0 }) => max_fds),
    processes: {
      available: sum(({ process_available = 0 }) => process_available),
      used: sum(({ process_used = 0 }) => process_used)
    },
    load: [highest(({ load1 }) => load1), highest(({ load5 }) => load5), highest(({ load15 }) => load15)]
  }
}

function compareVersions(a = '', b = ''): number {
  return a.localeCompare(b, 'en', { numeric: true })
}

const units: Record<string, number> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }

/** `512.00M`, `2GB`, or bytes. */
function bytesOf(size: number | string | undefined): number {
  if (typeof size !== 'string') return size ?? 0
  const [, digits, unit = ''] = /^([\d.]+)\s*([KMGT]?)/i.exec(size) ?? []
  return Math.round((Number(digits) || 0) * (units[unit.toUpperCase()] ?? 1))
}
