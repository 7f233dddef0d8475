import type { Session } from '@fleetgate/testkit'
import { post } from '../demo/client.js'
import { points, stepMs } from './historyRows.js'

/** Times in ms, of each way to ask for the same points. */
export type Asked = Record<'pages' | 'buckets', number[]>

const asks = 30
const pageSize = 1000

/** Asks for all points of one entity again and again, one at a time; the first ask of each way is not counted. */
export async function askHistory(session: Session, entityId: string, from: number): Promise<Asked> {
  const to = from + points * stepMs - 1
  const pages = () => askPages(session, { entity_id: entityId, start_timestamp: from, end_timestamp: to })
  const buckets = () => askBuckets(session, { entity_id: entityId, start_timestamp: from, end_timestamp: to })
  return { pages: await timesOf('pages', pages), buckets: await timesOf('buckets', buckets) }
}

async function timesOf(way: string, ask: () => Promise<number>): Promise<number[]> {
  const times: number[] = []
  for (let count = 0; count <= asks; count += 1) {
    const begun = performance.now()
    const found = await ask()
    if (count > 0) times.push(performance.now() - begun)
    if (found !== points) throw new Error(`${way}: ${found} points were answered instead of ${points}`)
  }
  return times
}

/** Page after page, as a client that wants every value asks; answers how many different times came back. */
async function askPages(session: Session, span: object): Promise<number> {
  type Found = { data: { content: { timestamp: string }[] } }
  const seen = new Set<string>()
  for (let page = 1; page <= points / pageSize; page += 1) {
    const wish = { ...span, page_number: page, page_size: pageSize }
    const { data } = await post<Found>(session, '/entity/history/search', wish)
    for (const { timestamp } of data.content) seen.add(timestamp)
  }
  return seen.size
}

/** One request, as a chart asks: the average of each second, of which each has one value. */
async function askBuckets(session: Session, span: object): Promise<number> {
  const wish = { ...span, aggregate_type: 'AVG', bucket: stepMs }
  type Found = { data: { buckets: unknown[] } }
  return (await post<Found>(session, '/entity/history/aggregate', wish)).data.buckets.length
}
