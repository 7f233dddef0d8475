import { AppError } from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import type { Execution, ExecutionState } from '../executions/execution.js'
import type { ExecutionRow, ExecutionStore } from '../executions/executionStore.js'
import { createRunPages } from '../executions/runPages.js'
import { type StepView, type TaskView, viewOf } from '../executions/view.js'
import { isWaiting, runReason, waitingReason } from '../runs/reasons.js'
import type { Run, RunJob } from '../runs/run.js'
import type { RunFilter, RunHead, RunRow, RunStore } from '../runs/runStore.js'

export interface LogsDeps {
  runs: RunStore
  executions: ExecutionStore
  now: () => number
}

/** What became of a job on a client, with the job as it was then. */
export interface ClientJobRow extends MachineRow {
  job: Pick<RunJob, 'name' | 'description'>
}

export interface RunLogRow extends RunRow {
  /** Why it does not go on as usual, or did not end as usual. */
  reason: string | undefined
}

export interface MachineRow extends ExecutionRow {
  /** Why it is not at work. */
  reason: string | undefined
}

export interface OneExecution {
  tenantId: string
  jobId: number
  clientId: number
  /** Without it the latest execution of this job on this client. */
  executionId?: string | undefined
  /** Without it the latest attempt of which something is known. */
  attempt?: number | undefined
}

export interface MachineFilter {
  tenantId: string
  jobId?: number | undefined
  clientId?: number | undefined
  runId?: string | undefined
  states?: readonly ExecutionState[] | undefined
  since?: number | undefined
}

export interface Logs {
  runs(filter: RunFilter, page: Page): Promise<PageOf<RunLogRow>>
  machines(filter: MachineFilter, page: Page): Promise<PageOf<MachineRow>>
  /** The same seen from the client: the newest first, over all jobs. */
  clientJobs(filter: MachineFilter, page: Page): Promise<PageOf<ClientJobRow>>
  /** How the latest execution of each client that is over ended. */
  latestEnds(tenantId: string, clientIds: readonly number[]): Promise<Map<number, ExecutionState>>
  tasks(of: OneExecution): Promise<{ execution: Execution; run: Run; tasks: TaskView[] }>
  steps(of: OneExecution, taskId: number): Promise<{ execution: Execution; steps: StepView[] }>
}

export function createLogs({ runs, executions, now }: LogsDeps): Logs {
  const listExecutions = createRunPages({ runs, executions })

  async function find(of: OneExecution): Promise<Execution> {
    const { tenantId, jobId, clientId, executionId } = of
    const found =
      executionId === undefined
        ? await executions.findLatest(tenantId, jobId, clientId)
        : await executions.find(tenantId, executionId)
    if (found && found.jobId === jobId && found.clientId === clientId) return found
    throw new AppError('not_found', 'there is no such report of this job and client')
  }

  /** By job, of those that bound how many machines may be at work. */
  async function atWorkOf(of: readonly RunHead[]): Promise<Map<number, number>> {
    const bounded = new Map(of.filter(({ job }) => job.maxConcurrentSession).map((run) => [run.jobId, run.tenantId]))
    const counted = [...bounded].map(
      async ([jobId, tenantId]): Promise<[number, number]> => [
        jobId,
        await executions.countAtWork(await runs.openOf(tenantId, jobId))
      ]
    )
    return new Map(await Promise.all(counted))
  }

  async function tasks(of: OneExecution) {
    const execution = await find(of)
    const run = await runs.find(of.tenantId, execution.runId)
    if (!run) throw new AppError('not_found', 'the run of this report is gone')
    const { attempt } = of
    if (attempt !== undefined && attempt > execution.attempt)
      throw new AppError('not_found', `this report has no attempt ${attempt}, its latest is ${execution.attempt}`)
    return { execution, run, tasks: viewOf(run.tasks, execution, attempt) }
  }

  async function runsById(tenantId: string, rows: readonly ExecutionRow[]): Promise<Map<string, RunHead>> {
    const ids = [...new Set(rows.map(({ runId }) => runId))]
    return new Map((await runs.findMany(tenantId, ids)).map((run) => [run._id, run]))
  }

  /** Why each of these that waits does so, by execution. */
  async function reasonsOf(rows: readonly ExecutionRow[], runsOf: Map<string, RunHead>): Promise<Map<string, string>> {
    const waiting = rows.filter(isWaiting)
    const atWork = await atWorkOf(waiting.flatMap(({ runId }) => runsOf.get(runId) ?? []))
    const reasons = waiting.map((row): [string, string | undefined] => {
      const run = runsOf.get(row.runId)
      return [row._id, run && waitingReason(run, row, { now: now(), atWork: atWork.get(row.jobId) })]
    })
    return new Map(reasons.filter((one): one is [string, string] => one[1] !== undefined))
  }

  return {
    tasks,

    async runs(filter, page) {
      const found = await runs.list(filter, page)
      const idsIn = (state: Run['state']) => found.items.filter((run) => run.state === state).map(({ _id }) => _id)
      const [preparing, away] = await Promise.all([
        runs.findMany(filter.tenantId, idsIn('PREPARING')),
        executions.allAside(idsIn('RUNNING'))
      ])
      const sources = new Map(preparing.map((run) => [run._id, run.sources]))
      const reasonOf = (run: RunRow) =>
        runReason(run, { now: now(), sources: sources.get(run._id), isAway: away.has(run._id) })
      return { ...found, items: found.items.map((run) => ({ ...run, reason: reasonOf(run) })) }
    },

    latestEnds: (tenantId, clientIds) => executions.latestEnds(tenantId, clientIds),

    async machines(filter, page) {
      const found = await listExecutions(filter, page)
      const runsOf = await runsById(filter.tenantId, found.items.filter(isWaiting))
      const reasons = await reasonsOf(found.items, runsOf)
      return { ...found, items: found.items.map((row) => ({ ...row, reason: reasons.get(row._id) })) }
    },

    async clientJobs(filter, page) {
      const found = await listExecutions(filter, page)
      const runsOf = await runsById(filter.tenantId, found.items)
      const reasons = await reasonsOf(found.items, runsOf)
      const items = found.items.map((row) => {
        const { name = '', description = '' } = runsOf.get(row.runId)?.job ?? {}
        return { ...row, reason: reasons.get(row._id), job: { name, description } }
      })
      return { ...found, items }
    },

    async steps(of, taskId) {
      const { execution, tasks: views } = await tasks(of)
      const task = views.find((view) => view.task.taskId === taskId)
      if (!task) throw new AppError('not_found', `task ${taskId} was not part of this report`)
      return { execution, steps: task.steps }
    }
  }
}
