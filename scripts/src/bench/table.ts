import type { Load } from './load.js'

/** Medians with their spread, and each candidate against direct and nginx, paired by round. */
export function printTable(loads: Record<string, Load[]>): void {
  const rows = Object.entries(loads).map(([name, own]) => [
    name,
    `${whole(median(own.map((load) => load.perSecond)))} (${spread(own.map((load) => load.perSecond))})`,
    median(own.map((load) => load.p50)).toFixed(1),
    median(own.map((load) => load.p99)).toFixed(1),
    own[0]?.cpuMicros === undefined ? '-' : whole(median(own.map((load) => load.cpuMicros ?? 0))),
    whole(median(own.map((load) => load.backendMicros))),
    ratio(own, loads.direct),
    ratio(own, loads.nginx)
  ])
  const head = [
    'way',
    'req/s median (min-max)',
    'p50 ms',
    'p99 ms',
    'proxy us/req',
    'service us/req',
    'of direct',
    'of nginx'
  ]
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  for (const row of [head, widths.map((width) => '-'.repeat(width)), ...rows]) {
    console.log(`| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`)
  }
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}

/** The value below which this part of them lies: 0.5 is the middle, 1 the largest. */
export function quantile(values: number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

function spread(values: number[]): string {
  return `${whole(Math.min(...values))}-${whole(Math.max(...values))}`
}

function ratio(own: Load[], other: Load[] | undefined): string {
  if (!other) return '-'
  return median(own.map((load, round) => load.perSecond / (other[round]?.perSecond ?? Number.NaN))).toFixed(2)
}

const whole = (value: number) => Math.round(value).toString()
