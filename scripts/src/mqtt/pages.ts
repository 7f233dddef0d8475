import { performance } from 'node:perf_hooks'
import type { Session } from '@fleetgate/testkit'
import { quantile } from '../bench/table.js'
import { bodyOf } from '../demo/client.js'
import { type ListName, listPages, lists } from './broker.js'

export interface PageTimes {
  list: ListName
  size: number
  page: number
  first: Quantiles
  far: Quantiles
}

interface Quantiles {
  p50: number
  p99: number
}

const asks = 100
const farPage = 400

/** The first page of each list and a far one, asked in turn; milliseconds. */
export async function measurePages(session: Session, clients: number): Promise<PageTimes[]> {
  const { path } = await listPages(session)
  const page = Math.min(farPage, clients)
  const size = Math.min(1000, Math.floor(clients / page))
  const times = lists.map((list) => ({ list, first: [] as number[], far: [] as number[] }))
  for (let ask = 0; ask < asks; ask += 1) {
    for (const { list, first, far } of times) {
      first.push(await askOnce(session, path(list, 1, size), size))
      far.push(await askOnce(session, path(list, page, size), size))
    }
  }
  return times.map(({ list, first, far }) => ({ list, size, page, first: of(first), far: of(far) }))
}

function of(times: number[]): Quantiles {
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
}

async function askOnce(session: Session, path: string, rows: number): Promise<number> {
  const begun = performance.now()
  const { result } = bodyOf(await session.get<{ result: { objects: unknown[] } }>(path), path)
  const ms = performance.now() - begun
  if (result.objects.length !== rows) throw new Error(`${path}: ${result.objects.length} rows instead of ${rows}`)
  return ms
}
