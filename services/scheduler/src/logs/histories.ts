import type { Page, PageOf } from '@fleetgate/store'
import type { Execution } from '../executions/execution.js'
import type { ExecutionStore } from '../executions/executionStore.js'
import { type TaskView, viewOf } from '../executions/view.js'
import type { Run } from '../runs/run.js'
import type { RunOutline, RunStore } from '../runs/runStore.js'

export interface HistoryFilter {
  tenantId: string
  mqttClientId?: string | undefined
  taskName?: string | undefined
}

/** One task of one report. */
export interface HistoryRow {
  execution: Execution
  priority: number
  view: TaskView
}

export interface Histories {
  list(filter: HistoryFilter, page: Page): Promise<PageOf<HistoryRow>>
}

/** Histories reach back over so many runs: the place of a row is found by adding up what the newer ones have. */
const maxRuns = 10_000

interface Part {
  runId: string
  taskIds: number[]
  /** Rows to pass over, and to take. */
  skip: number
  take: number
}

export function createHistories({ runs, executions }: { runs: RunStore; executions: ExecutionStore }): Histories {
  async function outlines({ tenantId, mqttClientId, taskName }: HistoryFilter): Promise<RunOutline[]> {
    if (mqttClientId === undefined) return runs.outlines({ tenantId, taskName, limit: maxRuns })
    const runIds = await executions.runIdsOf(tenantId, mqttClientId, maxRuns)
    const found = await runs.outlines({ tenantId, taskName, runIds, limit: maxRuns })
    return found.map((run) => ({ ...run, targets: 1 }))
  }

  async function rowsOf(run: Run, part: Part, filter: HistoryFilter): Promise<HistoryRow[]> {
    const perMachine = part.taskIds.length
    const offset = Math.floor(part.skip / perMachine)
    const limit = Math.ceil((part.skip + part.take) / perMachine) - offset
    const found = await executions.ofRun(part.runId, { mqttClientId: filter.mqttClientId, offset, limit })
    const tasks = run.tasks.filter(({ taskId }) => part.taskIds.includes(taskId))
    const rows = found.flatMap((execution) =>
      viewOf(tasks, execution).map((view, i) => ({ execution, priority: tasks[i]?.priority ?? 0, view }))
    )
    const first = part.skip - offset * perMachine
    return rows.slice(first, first + part.take)
  }

  return {
    async list(filter, page) {
      const { total, parts } = cut(await outlines(filter), filter.taskName, page)
      const items: HistoryRow[] = []
      for (const part of parts) {
        const run = await runs.find(filter.tenantId, part.runId)
        if (run) items.push(...(await rowsOf(run, part, filter)))
      }
      return { items, total }
    }
  }
}

/** Which rows of which runs make up a page. */
export function cut(
  outlines: readonly RunOutline[],
  taskName: string | undefined,
  { offset, limit }: Page
): { total: number; parts: Part[] } {
  const parts: Part[] = []
  let total = 0
  for (const { _id, targets, tasks } of outlines) {
    const taskIds = tasks.filter(({ name }) => taskName === undefined || name === taskName).map(({ taskId }) => taskId)
    const rows = targets * taskIds.length
    const skip = Math.max(0, offset - total)
    const take = Math.min(rows, offset + limit - total) - skip
    if (take > 0) parts.push({ runId: _id, taskIds, skip, take })
    total += rows
  }
  return { total, parts }
}
