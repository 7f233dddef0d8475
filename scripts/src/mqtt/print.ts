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

/** Medians of the rounds. */
export function printPages(rounds: PageTimes[][]): void {
  const [{ size, page } = { size: 0, page: 0 }] = rounds[0] ?? []
  const table = (rounds[0] ?? []).map(({ list }, index) => {
    const of = (value: (times: PageTimes) => number) =>
      median(rounds.flatMap((round) => (round[index] ? [value(round[index])] : [])))
    const times = [
      of(({ first }) => first.p50),
      of(({ far }) => far.p50),
      of(({ first }) => first.p99),
      of(({ far }) => far.p99)
    ]
    return [list, ...times.map((ms) => ms.toFixed(1)), of(({ first, far }) => far.p50 / first.p50).toFixed(2)]
  })
  console.log(`\nLists through the gateway, ${size} a page, milliseconds`)
  const head = ['list', 'page 1 p50', `page ${page} p50`, 'page 1 p99', `page ${page} p99`, 'ratio p50']
  for (const line of toTable(head, table)) console.log(line)
}
