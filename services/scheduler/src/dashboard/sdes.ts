import { oneOf, type Route, route, Type } from '@fleetgate/kit'
import { Id, MaybeTime } from '../sdesFields.js'
import type { Dashboard } from './dashboard.js'

const N = Type.Integer()
const totals = { clients: N, tasks: N, jobs: N, groups: N }
const Moment = Type.Number({ minimum: 0 })
const day = 86_400_000

const ScheduledRun = Type.Object({
  jobId: Id,
  startAt: Type.Number(),
  endAt: MaybeTime,
  result: oneOf(['SUCCESS', 'FAILED', 'UPCOMING', 'RUNNING']),
  clients: N,
  actualStartAt: MaybeTime,
  actualEndAt: MaybeTime
})

export function dashboardRoutes(dashboard: Dashboard, now: () => number): Route[] {
  return [...figureRoutes(dashboard), ...timeRoutes(dashboard, now)]
}

function figureRoutes(dashboard: Dashboard): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/dashboard/info',
      summary: 'How much there is of everything, and how many alerts are open',
      needs: ['job.view', 'client.view'],
      reply: Type.Object({ ...totals, tasksHistory: N, alerts: N }),
      handle: ({ caller }) => dashboard.info(caller.tenantId)
    }),
    route({
      method: 'get',
      path: '/v1/dashboard/reports',
      summary: 'Clients by state, and jobs by the end of their latest run',
      needs: ['job.view', 'client.view'],
      /** The document has the groups with a capital. */
      reply: Type.Object({
        ...totals,
        Groups: N,
        clientsOnline: N,
        clientsOffline: N,
        clientsDisabled: N,
        jobFailed: N,
        jobSuccess: N,
        jobNotExecuted: N
      }),
      handle: async ({ caller }) => {
        const report = await dashboard.report(caller.tenantId)
        return { ...report, Groups: report.groups }
      }
    }),
    route({
      method: 'get',
      path: '/v1/dashboard/logs/count',
      summary: 'How many reports of clients and runs of jobs are kept',
      needs: 'job.view',
      reply: Type.Object({ clients: N, jobs: N }),
      handle: ({ caller }) => dashboard.logCounts(caller.tenantId)
    })
  ]
}

function timeRoutes(dashboard: Dashboard, now: () => number): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/dashboard/onlineClients',
      summary: 'Clients online over a time (by default the last day), one point per `interval` seconds',
      needs: 'client.view',
      query: Type.Object({
        startTime: Type.Optional(Moment),
        endTime: Type.Optional(Moment),
        interval: Type.Integer({ minimum: 60, maximum: 31 * 86_400, default: 300 })
      }),
      reply: Type.Array(Type.Object({ clientCount: N, time: Type.Number() })),
      handle: async ({ query, caller }) => {
        const to = query.endTime ?? now()
        const from = query.startTime ?? Math.max(0, to - day)
        const points = await dashboard.online(caller.tenantId, { from, to, intervalMs: query.interval * 1000 })
        return points.map(({ time, count }) => ({ clientCount: count, time }))
      }
    }),
    route({
      method: 'get',
      path: '/v1/dashboard/scheduledJobs',
      summary: 'Runs of jobs from `start` to `end`: what was, and what schedules will start',
      needs: 'job.view',
      query: Type.Object({ start: Moment, end: Moment, now: Type.Optional(Moment) }),
      reply: Type.Array(ScheduledRun),
      handle: async ({ query, caller }) => {
        const { start: from, end: to } = query
        const { past, upcoming } = await dashboard.schedule(caller.tenantId, { from, to, now: query.now ?? now() })
        return [
          ...past.toReversed().map(({ jobId, createdAt, scheduledFor, endedAt, targets, state, result }) => ({
            jobId,
            startAt: scheduledFor ?? createdAt,
            endAt: endedAt ?? null,
            result: state === 'FINISHED' ? (result ?? ('FAILED' as const)) : ('RUNNING' as const),
            clients: targets,
            actualStartAt: createdAt,
            actualEndAt: endedAt ?? null
          })),
          ...upcoming.map(({ jobId, startAt, clients }) => ({
            jobId,
            startAt,
            endAt: null,
            result: 'UPCOMING' as const,
            clients,
            actualStartAt: null,
            actualEndAt: null
          }))
        ]
      }
    })
  ]
}
