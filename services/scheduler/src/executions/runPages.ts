import { createTotals, type Page, type PageOf } from '@fleetgate/store'
import type { RunSize, RunStore, RunsFilter } from '../runs/runStore.js'
import type { ExecutionState } from './execution.js'
import type { ExecutionFilter, ExecutionRow, ExecutionStore } from './executionStore.js'

export interface RunPagesDeps {
  runs: Pick<RunStore, 'rowsOf' | 'sizes'>
  executions: Pick<ExecutionStore, 'list' | 'rows' | 'rowsOfRuns'>
  /** Up to so many rows the executions themselves are counted: a log that is being written is exact then. */
  large?: number
  /** Up to here passing over rows one by one costs a few milliseconds. */
  deepFrom?: number
}

const runsAtOnce = 1_000
/** Where so many runs do not lead to a page they are small ones, and passing over their rows is no slower. */
const maxRuns = 5_000

const endOf: Partial<Record<ExecutionState, 'succeeded' | 'failed'>> = { SUCCEEDED: 'succeeded', FAILED: 'failed' }

/** The rows of one run that belong to a page; of a whole run, all. */
interface Part {
  runId: string
  skip: number
  take: number
  isWhole: boolean
}

/**
 * Executions of many runs, the newest run first. Each run knows how many it has, so a long log is neither counted (0.7 s for a
 * million rows) nor walked through up to a deep page: what whole runs have is added up instead.
 */
export function createRunPages({ runs, executions, large = 10_000, deepFrom = 2_000 }: RunPagesDeps) {
  const totals = createTotals()

  async function findParts(filter: RunsFilter, { offset, limit }: Page): Promise<Part[] | undefined> {
    const parts: Part[] = []
    let before = 0
    for (let read = 0; read < maxRuns; read += runsAtOnce) {
      const sizes = await runs.sizes(filter, { offset: read, limit: runsAtOnce })
      for (const size of sizes) {
        const part = partOf(size, before, { offset, limit })
        if (part.take > 0) parts.push(part)
        before += size.rows
        if (before >= offset + limit) return parts
      }
      if (sizes.length < runsAtOnce) return parts
    }
    return undefined
  }

  /** In the order of the parts, and in each of them by the client's number. */
  async function rowsOf(parts: readonly Part[], filter: ExecutionFilter): Promise<ExecutionRow[]> {
    const whole = parts.filter(({ isWhole }) => isWhole).map(({ runId }) => runId)
    const [ofWhole, ...ofOthers] = await Promise.all([
      whole.length > 0 ? executions.rowsOfRuns(whole, filter.states) : [],
      ...parts
        .filter(({ isWhole }) => !isWhole)
        .map(({ runId, skip, take }) => executions.rowsOfRuns([runId], filter.states, { offset: skip, limit: take }))
    ])
    const places = new Map(parts.map(({ runId }, place) => [runId, place]))
    const placeOf = ({ runId }: ExecutionRow) => places.get(runId) ?? 0
    return [...ofWhole, ...ofOthers.flat()].sort((a, b) => placeOf(a) - placeOf(b) || a.clientId - b.clientId)
  }

  return async function list(filter: ExecutionFilter, page: Page): Promise<PageOf<ExecutionRow>> {
    const { runId, clientId, states } = filter
    const ends = states?.map((state) => endOf[state])
    if (runId !== undefined || clientId !== undefined || ends?.includes(undefined)) return executions.list(filter, page)
    const which = whichRuns(filter, ends as RunsFilter['ends'])
    const total = await totals.of(JSON.stringify(which), () => runs.rowsOf(which))
    if (total <= large) return executions.list(filter, page)
    const parts = page.offset < deepFrom ? undefined : await findParts(which, page)
    return { items: parts ? await rowsOf(parts, filter) : await executions.rows(filter, page), total }
  }
}

function whichRuns({ tenantId, jobId, since }: ExecutionFilter, ends: RunsFilter['ends']): RunsFilter {
  return { tenantId, jobId, since, ends }
}

function partOf({ _id, rows }: RunSize, before: number, { offset, limit }: Page): Part {
  const skip = Math.max(0, offset - before)
  const take = Math.min(rows, offset + limit - before) - skip
  return { runId: _id, skip, take, isWhole: skip === 0 && take === rows }
}
