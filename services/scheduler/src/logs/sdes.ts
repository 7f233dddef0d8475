import { type Range, type Route, route, SdesPage, type Static, sdesRange, Type, toSdesPage } from '@fleetgate/kit'
import { Id, sdesPaging } from '../sdesFields.js'
import type { Logs } from './logs.js'
import {
  MachineLog,
  OfExecution,
  RunId,
  RunLog,
  Status,
  StepLog,
  startAt,
  statesOf,
  TaskLog,
  toMachineLog,
  toRunLog,
  toStepLog,
  toTaskLog
} from './sdesShapes.js'

export function logRoutes(logs: Logs, now: () => number): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/logs/jobs',
      summary: 'Runs of jobs, the newest first, one row each',
      needs: 'job.view',
      query: Type.Object({ ...sdesPaging, status: Status, startAt, jobId: Type.Optional(Id) }),
      reply: SdesPage(RunLog),
      handle: async ({ query, caller }) => {
        const { status, startAt: since, jobId } = query
        const is =
          status === 'ALL' ? undefined : status === 'WAITING' || status === 'NOT_EXECUTE' ? 'PREPARING' : status
        const found = await logs.runs({ tenantId: caller.tenantId, since, jobId, is }, sdesRange(query))
        return toSdesPage({ ...found, items: found.items.map(toRunLog) })
      }
    }),
    route({
      method: 'get',
      path: '/v1/logs/jobs/clients',
      summary: 'What became of a job on each client; `runId` for one run alone',
      needs: 'job.view',
      query: Type.Object({ ...sdesPaging, status: Status, jobId: Id, runId: RunId, startAt }),
      reply: SdesPage(MachineLog),
      handle: async ({ query, caller }) => {
        const { status, jobId, runId, startAt: since } = query
        const filter = { tenantId: caller.tenantId, jobId, runId, since, states: statesOf(status) }
        const found = await logs.machines(filter, sdesRange(query))
        return toSdesPage({ ...found, items: found.items.map(toMachineLog) })
      }
    }),
    route({
      method: 'get',
      path: '/v1/logs/jobs/clients/tasks',
      aliases: ['/v1/logs/clients/jobs/tasks', '/v1/logs/tasks'],
      summary: 'The tasks of one report; without reportId of the latest',
      needs: 'job.view',
      query: OfExecution,
      reply: SdesPage(TaskLog),
      handle: async ({ query, caller }) => {
        const { execution, run, tasks } = await logs.tasks(toExecution(caller.tenantId, query))
        const nowTime = now()
        const rows = tasks.map((view) => {
          const task = run.tasks.find(({ taskId }) => taskId === view.task.taskId)
          return toTaskLog(view, { task, nowTime, reportId: execution._id })
        })
        return toSdesPage(pageOfArray(rows.filter(since(query.startAt)), sdesRange(query)))
      }
    }),
    stepRoute(logs, { path: '/v1/logs/jobs/clients/tasks/scripts', wrapped: true }),
    stepRoute(logs, { path: '/v1/logs/clients/jobs/tasks/scripts', wrapped: true }),
    // The document shows this one without its envelope.
    stepRoute(logs, { path: '/v1/logs/scripts', wrapped: false })
  ]
}

function stepRoute(logs: Logs, { path, wrapped }: { path: string; wrapped: boolean }): Route {
  return route({
    method: 'get',
    path,
    summary: 'The steps of one task of a report, with their messages',
    needs: 'job.view',
    wrapped,
    query: Type.Composite([OfExecution, Type.Object({ taskId: Id })]),
    reply: SdesPage(StepLog),
    handle: async ({ query, caller }) => {
      const { execution, steps } = await logs.steps(toExecution(caller.tenantId, query), query.taskId)
      const rows = steps.map((view) => toStepLog(view, execution._id))
      return toSdesPage(pageOfArray(rows.filter(since(query.startAt)), sdesRange(query)))
    }
  })
}

/** What has not begun yet is kept: it cannot have begun earlier. */
function since(startAt: number | undefined): (row: { startTime: number | null }) => boolean {
  return ({ startTime }) => startAt === undefined || startTime === null || startTime >= startAt
}

function toExecution(tenantId: string, { jobId, clientId, reportId, attempt }: Static<typeof OfExecution>) {
  return { tenantId, jobId, clientId, executionId: reportId, attempt }
}

function pageOfArray<T>(rows: T[], { offset, limit }: Range): { items: T[]; total: number } {
  return { items: rows.slice(offset, offset + limit), total: rows.length }
}
