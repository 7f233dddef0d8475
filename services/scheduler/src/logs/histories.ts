import { createTotals, type Page, type PageOf } from '@fleetgate/store'
import type { ExecutionStore, ExecutionTasks } from '../executions/executionStore.js'
import { type TaskView, viewOf } from '../executions/view.js'
import { type Part, partsOf } from '../runs/runParts.js'
import type { RunSize, RunStore, RunTasks, TasksFilter } from '../runs/runStore.js'

export interface HistoryFilter {
  tenantId: string
  mqttClientId?: string | undefined
  taskName?: string | undefined
}

/** One task of one report. */
export interface HistoryRow {
  execution: ExecutionTasks
  priority: number
  view: TaskView
}

export interface Histories {
  list(filter: HistoryFilter, page: Page): Promise<PageOf<HistoryRow>>
}

/** Pages reach back over so many runs. */
const maxRuns = 10_000
/** The newest ones are most often asked for. */
const runsAtOnce = 100

/** Each run knows how many machines and tasks it has, so neither the rows nor all runs are read for a page. */
export function createHistories({ runs, executions }: { runs: RunStore; executions: ExecutionStore }): Histories {
  const totals = createTotals()

  async function whichRuns({ tenantId, mqttClientId, taskName }: HistoryFilter): Promise<TasksFilter> {
    if (mqttClientId === undefined) return { tenantId, taskName }
    return { tenantId, taskName, ofOne: await executions.runIdsOf(tenantId, mqttClientId, maxRuns) }
  }

  async function rowsOf(run: RunTasks, part: Part<RunSize>, filter: HistoryFilter): Promise<HistoryRow[]> {
    const { taskName, mqttClientId } = filter
    const tasks = run.tasks.filter(({ name }) => taskName === undefined || name === taskName)
    const perMachine = tasks.length
    const offset = Math.floor(part.skip / perMachine)
    const limit = Math.ceil((part.skip + part.take) / perMachine) - offset
    const of = run.open || mqttClientId !== undefined ? undefined : run.targets
    const found = await executions.withTasks(run._id, { mqttClientId, offset, limit, of })
    const rows = found.flatMap((execution) =>
      viewOf(tasks, execution).map((view, i) => ({ execution, priority: tasks[i]?.priority ?? 0, view }))
    )
    const first = part.skip - offset * perMachine
    return rows.slice(first, first + part.take)
  }

  return {
    async list(filter, page) {
      const which = await whichRuns(filter)
      const total = await totals.of(JSON.stringify(filter), () => runs.tasksOf(which))
      const sizes = (of: Page) => runs.taskSizes(which, of)
      const parts = (await partsOf(sizes, page, { runsAtOnce, maxRuns })) ?? []
      const items: HistoryRow[] = []
      for (const part of parts) {
        const run = await runs.findTasks(filter.tenantId, part.run._id)
        if (run) items.push(...(await rowsOf(run, part, filter)))
      }
      return { items, total }
    }
  }
}
