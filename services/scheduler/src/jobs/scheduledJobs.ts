import type { Model } from 'mongoose'
import type { Job, JobDraft } from './job.js'

/** What decides when a job is due. */
export type ScheduleFields = Pick<Job, 'cycleType' | 'executionTime' | 'enabled'>
export type ScheduledJob = ScheduleFields &
  Pick<Job, 'tenantId' | 'jobId' | 'missedRun' | 'duration'> &
  Required<Pick<Job, 'nextRunAt'>>

export interface Advance {
  /** Absent: the schedule has no further moment. */
  nextRunAt: number | undefined
  skip?: Job['lastSkip']
}

/** The queries about jobs that run by a schedule. */
export interface ScheduledJobs {
  /** Due jobs of all tenants, those that wait longest first. */
  findDue(now: number, limit: number): Promise<ScheduledJob[]>
  /** A tenant's jobs with a moment to come, in the order of their ids. */
  listAfter(tenantId: string, jobId: number, limit: number): Promise<ScheduledJob[]>
  /** Changes nothing, and says so, where the job's schedule or its next moment is no longer as it was read. */
  advance(job: ScheduledJob, to: Advance): Promise<boolean>
  /** Writes a change that moves the schedule, while the job still has the fields that it was reckoned from. */
  change(job: Job, change: Partial<JobDraft>, to: { nextRunAt: number | undefined; now: number }): Promise<boolean>
}

const fields = 'tenantId jobId cycleType executionTime enabled missedRun duration nextRunAt'

export function createScheduledJobs(model: Model<Job>): ScheduledJobs {
  return {
    findDue: (now, limit) =>
      model
        .find({ nextRunAt: { $lte: now }, enabled: true })
        .sort('nextRunAt')
        .limit(limit)
        .select(fields)
        .lean<ScheduledJob[]>(),

    listAfter: (tenantId, jobId, limit) =>
      model
        .find({ tenantId, jobId: { $gt: jobId }, nextRunAt: { $exists: true } })
        .sort('jobId')
        .limit(limit)
        .select(fields)
        .lean<ScheduledJob[]>(),

    async advance(job, { nextRunAt, skip }) {
      const filter = { ...asRead(job), nextRunAt: job.nextRunAt }
      const { matchedCount } = await model.updateOne(filter, withAbsent({ nextRunAt, lastSkip: skip }))
      return matchedCount > 0
    },

    async change(job, change, { nextRunAt, now }) {
      const update = withAbsent({ ...change, lastEditedAt: now, nextRunAt, lastSkip: undefined })
      return (await model.updateOne(asRead(job), update)).matchedCount > 0
    }
  }
}

function asRead({
  tenantId,
  jobId,
  cycleType,
  executionTime,
  enabled
}: ScheduleFields & Pick<Job, 'tenantId' | 'jobId'>) {
  return { tenantId, jobId, cycleType, executionTime, enabled }
}

/** An update in which undefined takes a field away. */
function withAbsent(fields: Record<string, unknown>) {
  const entries = Object.entries(fields)
  const absent = entries.filter(([, value]) => value === undefined)
  return {
    $set: Object.fromEntries(entries.filter(([, value]) => value !== undefined)),
    ...(absent.length > 0 ? { $unset: Object.fromEntries(absent.map(([key]) => [key, ''])) } : {})
  }
}
