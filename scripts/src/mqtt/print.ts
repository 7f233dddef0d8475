import { median } from '../bench/table.js'
import { toTable } from '../demo/table.js'
import type { PageTimes } from './pages.js'
import { type Figures, fanOutMessages, type Sizes } from './round.js'

type Row = [name: string, digits: number, of: (figures: Figures) => number]

/** Medians over the rounds with their spread, and the median of the rounds' ratios. */
export function printFigures(sizes: Sizes, ours: Figures[], theirs: Figures[]): void {
  const isAlone = theirs.length === 0
  const table = rowsOf(sizes).map(([name, digits, of]) => {
    const [own, other] = [ours.map(of), theirs.map(of)]
    const ratios = own.map((value, round) => value / (other[round] ?? Number.NaN))
    const beside = isAlone ? [] : [spread(other, digits), median(ratios).toFixed(2)]
    return [name, spread(own, digits), ...beside]
  })
  const memory = memoryRow(ours[0], theirs[0])
  const head = ['median (min-max)', 'Fleetgate', ...(isAlone ? [] : ['mosquitto', 'ratio'])]
  for (const line of toTable(head, [...table, memory])) console.log(line)
}

function rowsOf({ clients, messages }: Sizes): Row[] {
  const perSecond = (count: number, ms: number) => count / (ms / 1000)
  return [
    ['connect all, s', 2, ({ connectMs }) => connectMs / 1000],
    ['connect, clients/s', 0, ({ connectMs }) => perSecond(clients, connectMs)],
    ['fan-in QoS 0, messages/s', 0, ({ fanInMs }) => perSecond(messages, fanInMs[0])],
    ['fan-in QoS 1, messages/s', 0, ({ fanInMs }) => perSecond(messages, fanInMs[1])],
    ['fan-out QoS 1, s', 2, ({ fanOutMs }) => fanOutMs / 1000],
    ['fan-out QoS 1, deliveries/s', 0, ({ fanOutMs }) => perSecond(clients * fanOutMessages, fanOutMs)]
  ]
}

/** Of the first round alone: later ones find memory that the process has kept. */
function memoryRow(ours?: Figures, theirs?: Figures): string[] {
  const kilobytes = ({ bytesPerClient }: Figures) => (bytesPerClient / 1024).toFixed(1)
  const beside = ours && theirs ? [kilobytes(theirs), (ours.bytesPerClient / theirs.bytesPerClient).toFixed(2)] : []
  return ['memory a client, KB RSS (first round)', ours ? kilobytes(ours) : '', ...beside]
}

function spread(values: number[], digits: number): string {
  const text = (value: number) => value.toFixed(digits)
  return `${text(median(values))} (${text(Math.min(...values))}-${text(Math.max(...values))})`
}

export function printPages(rounds: [first: PageTimes, far: PageTimes][]): void {
  const times = (pages: PageTimes[]) => [
    median(pages.map(({ p50 }) => p50)).toFixed(1),
    median(pages.map(({ p99 }) => p99)).toFixed(1)
  ]
  const [first, far] = [rounds.map((round) => round[0]), rounds.map((round) => round[1])]
  const ratio = (of: (times: PageTimes) => number) =>
    median(rounds.map((round) => of(round[1]) / of(round[0]))).toFixed(2)
  const table = [
    ['page 1', ...times(first)],
    [`page ${far[0]?.page}`, ...times(far)],
    ['ratio', ratio(({ p50 }) => p50), ratio(({ p99 }) => p99)]
  ]
  console.log(`\nConnected clients of the node through the gateway, ${first[0]?.size} a page`)
  for (const line of toTable(['median of the rounds', 'p50 ms', 'p99 ms'], table)) console.log(line)
}
