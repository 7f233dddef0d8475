import type { Upcoming, UpcomingRun } from '../dashboard/dashboard.js'
import type { TimeZoneOf } from '../schedule/nextRun.js'
import { parseSchedule, type Schedule } from '../schedule/schedule.js'
import type { Job } from './job.js'
import type { JobStore } from './jobStore.js'

const limit = 1000

type Found = Pick<Job, 'jobId' | 'cycleType' | 'executionTime'> & { nextRunAt: number; clients: number }
interface Line {
  run: UpcomingRun
  schedule: Schedule
}

/** What schedules will start: every moment of every job, the soonest ones where they are too many. */
export function createUpcoming({ model }: Pick<JobStore, 'model'>, timeZone: TimeZoneOf): Upcoming {
  const find = (tenantId: string, to: number) =>
    model.aggregate<Found>([
      { $match: { tenantId, enabled: true, nextRunAt: { $lte: to } } },
      { $sort: { nextRunAt: 1 } },
      { $limit: limit },
      { $project: { jobId: 1, cycleType: 1, executionTime: 1, nextRunAt: 1, clients: { $size: '$clientIds' } } }
    ])

  return async (tenantId, from, to) => {
    const [found, zone] = await Promise.all([find(tenantId, to), timeZone(tenantId)])
    const lines = found.flatMap((job) => lineOf(job, { from, zone }))
    return soonest(lines, to)
  }
}

function lineOf(job: Found, { from, zone }: { from: number; zone: string }): Line[] {
  const schedule = parseSchedule(job, zone)
  const startAt = job.nextRunAt >= from ? job.nextRunAt : schedule.next(from - 1)
  return startAt === undefined ? [] : [{ run: { jobId: job.jobId, startAt, clients: job.clients }, schedule }]
}

function soonest(lines: Line[], to: number): UpcomingRun[] {
  const runs: UpcomingRun[] = []
  while (lines.length > 0 && runs.length < limit) {
    const line = lines.reduce((first, other) => (other.run.startAt < first.run.startAt ? other : first))
    if (line.run.startAt > to) break
    runs.push(line.run)
    const startAt = line.schedule.next(line.run.startAt)
    if (startAt === undefined) lines.splice(lines.indexOf(line), 1)
    else line.run = { ...line.run, startAt }
  }
  return runs
}
