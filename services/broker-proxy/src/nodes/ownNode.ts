import { readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import type { BrokerNode } from '../broker/brokerFacts.js'

/** Of a broker in this process. Memory is the process's own, as emqttd told that of the Erlang VM. */
export function ownNode({ version, uptimeMs }: Pick<BrokerNode, 'version' | 'uptimeMs'>): BrokerNode {
  const { rss, heapUsed, external } = process.memoryUsage()
  return {
    version,
    description: 'Fleetgate',
    runtime: `node/${process.versions.node}`,
    uptimeMs,
    memoryTotal: rss,
    memoryUsed: Math.min(rss, heapUsed + external),
    maxFiles: maxFiles(),
    load: loadavg()
  }
}

let foundFiles: number | undefined

function maxFiles(): number {
  foundFiles ??= readMaxFiles()
  return foundFiles
}

function readMaxFiles(): number {
  try {
    return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

const units: [number, string][] = [
  [1024 ** 3, 'G'],
  [1024 ** 2, 'M'],
  [1024, 'K']
]

/** emqttd's form: two decimals and the first unit that fits. */
export function memoryText(bytes: number): string {
  const [size, unit] = units.find(([one]) => bytes >= one) ?? [1024, 'K']
  return `${(bytes / size).toFixed(2)}${unit}`
}
