import { createTotals, type Page, type PageOf } from '@fleetgate/store'
import { type Part, partsOf } from '../runs/runParts.js'
import type { RunSize, RunStore, RunsFilter } from '../runs/runStore.js'
import type { ExecutionState } from './execution.js'
import type { ExecutionFilter, ExecutionRow, ExecutionStore } from './executionStore.js'

export interface RunPagesDeps {
  runs: Pick<RunStore, 'openOf' | 'rowsOf' | 'sizes'>
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

/**
 * Executions of many runs, the newest run first. Each run knows how many it has, so a long log is neither counted (0.7 s for a
 * million rows) nor walked through up to a deep page: what whole runs have is added up instead.
 */
export function createRunPages({ runs, executions, large = 10_000, deepFrom = 2_000 }: RunPagesDeps) {
  const totals = createTotals()

  /** In the order of the parts, and in each of them by the client's number. */
  async function rowsOf(parts: readonly Part<RunSize>[], filter: ExecutionFilter): Promise<ExecutionRow[]> {
    const whole = parts.filter(({ isWhole }) => isWhole).map(({ run }) => run._id)
    const [ofWhole, ...ofOthers] = await Promise.all([
      whole.length > 0 ? executions.rowsOfRuns(whole, filter.states) : [],
      ...parts
        .filter(({ isWhole }) => !isWhole)
        .map(({ run, skip, take }) => {
          // While a run goes on its rows may be more or fewer than were counted.
          const of = run.open ? undefined : run.rows
          return executions.rowsOfRuns([run._id], filter.states, { offset: skip, limit: take, of })
        })
    ])
    const places = new Map(parts.map(({ run }, place) => [run._id, place]))
    const placeOf = ({ runId }: ExecutionRow) => places.get(runId) ?? 0
    return [...ofWhole, ...ofOthers.flat()].sort((a, b) => placeOf(a) - placeOf(b) || a.clientId - b.clientId)
  }

  /** What is open stands in open runs: of a job with a long history these are few. */
  async function amongOpen(filter: ExecutionFilter): Promise<ExecutionFilter> {
    const { tenantId, jobId, states = [] } = filter
    if (jobId === undefined || states.some((state) => endOf[state])) return filter
    return { ...filter, runIds: await runs.openOf(tenantId, jobId) }
  }

  return async function list(filter: ExecutionFilter, page: Page): Promise<PageOf<ExecutionRow>> {
    const { runId, clientId, states } = filter
    const ends = states?.map((state) => endOf[state])
    if (runId !== undefined || clientId !== undefined) return executions.list(filter, page)
    if (ends?.includes(undefined)) return executions.list(await amongOpen(filter), page)
    const which = whichRuns(filter, ends as RunsFilter['ends'])
    const total = await totals.of(JSON.stringify(which), () => runs.rowsOf(which))
    if (total <= large) return executions.list(filter, page)
    const sizes = (of: Page) => runs.sizes(which, of)
    const parts = page.offset < deepFrom ? undefined : await partsOf(sizes, page, { runsAtOnce, maxRuns })
    return { items: parts ? await rowsOf(parts, filter) : await executions.rows(filter, page), total }
  }
}

function whichRuns({ tenantId, jobId, since }: ExecutionFilter, ends: RunsFilter['ends']): RunsFilter {
  return { tenantId, jobId, since, ends }
}
