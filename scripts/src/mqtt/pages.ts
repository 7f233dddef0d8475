import { performance } from 'node:perf_hooks'
import type { Session } from '@fleetgate/testkit'
import { quantile } from '../bench/table.js'
import { bodyOf } from '../demo/client.js'
import { clientPages } from './broker.js'

export interface PageTimes {
  page: number
  size: number
  p50: number
  p99: number
}

const asks = 100
const farPage = 400

/** The first page of the connected clients and a far one, asked in turn; milliseconds. */
export async function measurePages(session: Session, clients: number): Promise<[first: PageTimes, far: PageTimes]> {
  const { path } = await clientPages(session)
  const far = Math.min(farPage, clients)
  const size = Math.min(1000, Math.floor(clients / far))
  const times = { first: [] as number[], far: [] as number[] }
  for (let ask = 0; ask < asks; ask += 1) {
    times.first.push(await askOnce(session, path(1, size), size))
    times.far.push(await askOnce(session, path(far, size), size))
  }
  const of = (page: number, all: number[]) => ({ page, size, p50: quantile(all, 0.5), p99: quantile(all, 0.99) })
  return [of(1, times.first), of(far, times.far)]
}

async function askOnce(session: Session, path: string, rows: number): Promise<number> {
  const begun = performance.now()
  const { result } = bodyOf(await session.get<{ result: { objects: unknown[] } }>(path), path)
  const ms = performance.now() - begun
  if (result.objects.length !== rows) throw new Error(`${path}: ${result.objects.length} clients instead of ${rows}`)
  return ms
}
