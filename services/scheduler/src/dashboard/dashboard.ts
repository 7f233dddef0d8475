import { AppError } from '@fleetgate/kit'
import type { AlertStore } from '../alerts/alertStore.js'
import type { ClientStore } from '../clients/clientStore.js'
import type { GroupStore } from '../groups/groupStore.js'
import type { JobStore } from '../jobs/jobStore.js'
import type { RunStatistics } from '../runs/runStatistics.js'
import type { RunRow, RunStore } from '../runs/runStore.js'
import type { TaskStore } from '../tasks/taskStore.js'
import type { OnlinePoint, SampleStore } from './sampleStore.js'

/** A run that a schedule will open. */
export interface UpcomingRun {
  jobId: number
  startAt: number
  /** Bound directly; what groups bring is known when it starts. */
  clients: number
}

/** Answers what the schedules of a tenant will start in a time, soonest first. */
export type Upcoming = (tenantId: string, from: number, to: number) => Promise<UpcomingRun[]>

export interface DashboardDeps {
  clients: ClientStore
  tasks: TaskStore
  jobs: JobStore
  groups: GroupStore
  runs: RunStore
  statistics: RunStatistics
  samples: SampleStore
  alerts: AlertStore
  upcoming: Upcoming
}

export interface Totals {
  clients: number
  tasks: number
  jobs: number
  groups: number
}

export interface Dashboard {
  info(tenantId: string): Promise<Totals & { tasksHistory: number; alerts: number }>
  report(tenantId: string): Promise<Totals & Report>
  logCounts(tenantId: string): Promise<{ clients: number; jobs: number }>
  online(tenantId: string, of: { from: number; to: number; intervalMs: number }): Promise<OnlinePoint[]>
  schedule(
    tenantId: string,
    of: { from: number; to: number; now: number }
  ): Promise<{ past: RunRow[]; upcoming: UpcomingRun[] }>
}

/** Machines by their state, and jobs by the end of their latest run that is over. */
export interface Report {
  clientsOnline: number
  clientsOffline: number
  clientsDisabled: number
  jobFailed: number
  jobSuccess: number
  jobNotExecuted: number
}

const maxPoints = 5000
export const maxScheduled = 1000
const nothing = { offset: 0, limit: 0 }

export function createDashboard(deps: DashboardDeps): Dashboard {
  const { clients, tasks, jobs, groups, runs, statistics, samples, alerts, upcoming } = deps

  async function totals(tenantId: string): Promise<Totals> {
    const [c, t, j, g] = await Promise.all(
      [clients, tasks, jobs, groups].map((store) => store.list({ tenantId }, nothing))
    )
    return { clients: c?.total ?? 0, tasks: t?.total ?? 0, jobs: j?.total ?? 0, groups: g?.total ?? 0 }
  }

  async function countClients(filter: Parameters<ClientStore['list']>[0]): Promise<number> {
    return (await clients.list(filter, nothing)).total
  }

  return {
    async info(tenantId) {
      const [all, tasksHistory, open] = await Promise.all([
        totals(tenantId),
        statistics.countTasks(tenantId),
        alerts.countOpen(tenantId)
      ])
      return { ...all, tasksHistory, alerts: open }
    },

    async report(tenantId) {
      const all = await totals(tenantId)
      const [clientsOnline, clientsDisabled, ends] = await Promise.all([
        countClients({ tenantId, status: 'ONLINE' }),
        countClients({ tenantId, enabled: false }),
        statistics.latestResults(tenantId)
      ])
      const known = await jobs.idsOf(tenantId)
      const results = known.map((jobId) => ends.get(jobId))
      const jobSuccess = results.filter((result) => result === 'SUCCESS').length
      const jobFailed = results.filter((result) => result === 'FAILED').length
      return {
        ...all,
        clientsOnline,
        clientsOffline: Math.max(0, all.clients - clientsOnline),
        clientsDisabled,
        jobSuccess,
        jobFailed,
        jobNotExecuted: known.length - jobSuccess - jobFailed
      }
    },

    logCounts: (tenantId) => statistics.countLogs(tenantId),

    online(tenantId, of) {
      refuseBackward(of, 'endTime')
      if ((of.to - of.from) / of.intervalMs > maxPoints) {
        const message = `at most ${maxPoints} points are answered: ask for a longer interval or a shorter time`
        throw new AppError('invalid_input', message, { field: 'interval' })
      }
      return samples.series(tenantId, of)
    },

    async schedule(tenantId, of) {
      refuseBackward(of, 'end')
      const { from, to, now } = of
      const past = await runs.list({ tenantId, since: from, until: to }, { offset: 0, limit: maxScheduled })
      const isAhead = to > now
      return { past: past.items, upcoming: isAhead ? await upcoming(tenantId, Math.max(from, now), to) : [] }
    }
  }
}

function refuseBackward({ from, to }: { from: number; to: number }, field: string): void {
  if (to < from) throw new AppError('invalid_input', `${field} is before the beginning`, { field })
}
