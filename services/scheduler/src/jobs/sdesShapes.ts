import { oneOf, SdesPage, type Static, Type } from '@fleetgate/kit'
import {
  editedQuery,
  Flag,
  Id,
  MaybeTime,
  meantOf,
  Name,
  nullable,
  sdesPaging,
  Text,
  toFlag,
  toRanges
} from '../sdesFields.js'
import type { JobSettings } from '../settings/settings.js'
import { type Job, type JobDraft, missedRuns } from './job.js'
import type { JobRow } from './jobStore.js'

export const JobById = Type.Object({ jobId: Id })
const Count = (maximum: number) => Type.Optional(nullable(Type.Integer({ minimum: 0, maximum })))
const MaybeFlag = Type.Optional(nullable(Type.Boolean()))

/** Ours. A zero, of machines, machines a minute or percent, means no limit. */
const Rollout = Type.Object({
  perMinute: Type.Integer({ minimum: 0, maximum: 1_000_000 }),
  growth: Type.Number({ minimum: 1, maximum: 10, default: 1 })
})
const Abort = Type.Object({
  failedPercent: Type.Number({ minimum: 0, maximum: 100 }),
  minimum: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 1 })
})
const limits = {
  maxConcurrentSession: Count(1_000_000),
  rollout: Type.Optional(nullable(Rollout)),
  abort: Type.Optional(nullable(Abort))
}

/** The document writes the same thing as maxRetries, maxRetryTimes and maxRetryTime, and enabled as enable. */
const fields = {
  description: Type.Optional(nullable(Text)),
  enabled: MaybeFlag,
  enable: MaybeFlag,
  maxRetries: Count(10),
  maxRetryTimes: Count(10),
  maxRetryTime: Count(10),
  priority: Type.Optional(nullable(Type.Integer({ minimum: -1_000_000, maximum: 1_000_000 }))),
  cycleType: Count(5),
  /** A number where it is epoch milliseconds. */
  executionTime: Type.Optional(
    Type.Unsafe<string | number | null>({ type: ['string', 'number', 'null'], maxLength: 256 })
  ),
  missedRun: Type.Optional(nullable(oneOf(missedRuns))),
  retryWait: Count(86_400),
  duration: Count(525_600),
  ...limits,
  /** Kept by the scheduler: taken as the document has them, and not believed. */
  lastRunAt: Type.Optional(MaybeTime),
  assignmentsChangedAt: Type.Optional(MaybeTime)
}
export const Draft = Type.Object({ jobName: Name, ...fields })
export const Change = Type.Object({ jobId: Id, jobName: Type.Optional(nullable(Name)), ...fields })

export const JobQuery = Type.Object({
  ...sdesPaging,
  jobName: Type.Optional(Type.String({ maxLength: 256 })),
  jobNameContain: Type.Optional(Type.String({ maxLength: 256 })),
  enabled: Type.Optional(Flag),
  ...editedQuery
})

export const Row = Type.Object({
  jobId: Id,
  jobName: Type.String(),
  tasks: Type.Integer(),
  groups: Type.Integer(),
  description: Type.String(),
  enable: Type.Boolean(),
  enabled: Type.Boolean(),
  maxRetries: Type.Integer(),
  maxRetryTimes: Type.Integer(),
  maxRetryTime: Type.Integer(),
  priority: Type.Integer(),
  cycleType: Type.Integer(),
  executionTime: nullable(Type.String()),
  nextRunAt: MaybeTime,
  retryWait: Type.Integer(),
  duration: Type.Integer(),
  created: Type.Number(),
  createdAt: Type.Number(),
  lastEditedAt: Type.Number(),
  lastRun: MaybeTime,
  lastRunAt: MaybeTime,
  assignmentsChanged: MaybeTime,
  assignmentsChangedAt: MaybeTime,
  /** Names of the document's lists of a task's and of a client's jobs. */
  targetClientGroup: Type.Integer(),
  jobScheduler: Type.Integer(),
  maxJobDuration: Type.Integer()
})
export const JobPage = SdesPage(Row)
export const Details = Type.Object({
  general: Type.Object({
    jobName: Type.String(),
    description: Type.String(),
    createdAt: Type.Number(),
    lastEditedAt: Type.Number(),
    lastRunAt: MaybeTime,
    enabled: Type.Boolean(),
    assignmentsChanged: MaybeTime
  }),
  executionOpt: Type.Object({
    priority: Type.Integer(),
    maxRetries: Type.Integer(),
    cycleType: Type.Integer(),
    retryWait: Type.Integer(),
    duration: Type.Integer(),
    executionTime: Type.String(),
    missedRun: oneOf(missedRuns),
    nextRunAt: MaybeTime,
    lastSkip: nullable(Type.Object({ at: Type.Number(), reason: Type.String() })),
    maxConcurrentSession: Type.Integer(),
    rollout: nullable(Rollout),
    abort: nullable(Abort)
  })
})

export function toFilter(tenantId: string, query: Static<typeof JobQuery>) {
  const { jobName, jobNameContain } = query
  const ranges = toRanges(query, {
    lastEditedAt: 'lastEditedAt',
    lastRunAt: 'lastRunAt',
    assignmentsChangedAt: 'assignmentsChangedAt',
    createdAt: 'createAt'
  })
  return { tenantId, jobName, jobNameContain, enabled: toFlag(query.enabled), ranges }
}

const plain = {
  description: '',
  priority: 0,
  cycleType: 0,
  executionTime: '',
  missedRun: 'RUN_ONCE',
  duration: 0
} as const

export function toDraft(body: Static<typeof Draft>, defaults: JobSettings): JobDraft {
  const { enable: enabled, maxRetried: maxRetries, retryWait, maxConcurrentSession } = defaults
  const wanted = { enabled, maxRetries, retryWait, maxConcurrentSession }
  return { ...plain, ...wanted, ...toChange(body), jobName: body.jobName }
}

export function toChange(
  body: Static<typeof Draft> | Static<typeof Change>,
  stored?: Pick<Job, 'enabled' | 'maxRetries'>
): Partial<JobDraft> {
  const { jobName, description, priority, cycleType, missedRun, retryWait, duration } = body
  const executionTime = body.executionTime == null ? undefined : String(body.executionTime)
  const enabled = meantOf([body.enabled, body.enable], stored?.enabled)
  const maxRetries = meantOf([body.maxRetries, body.maxRetryTimes, body.maxRetryTime], stored?.maxRetries)
  const when = { cycleType, executionTime, missedRun }
  const { maxConcurrentSession, rollout, abort } = body
  const limits = { maxConcurrentSession, rollout, abort }
  const wanted = { jobName, description, enabled, maxRetries, priority, ...when, retryWait, duration, ...limits }
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value != null)) as Partial<JobDraft>
}

export function toRow(job: JobRow): Static<typeof Row> {
  const { jobId, jobName, description, enabled, maxRetries, priority, cycleType, retryWait, duration } = job
  const { createdAt, lastEditedAt } = job
  const lastRunAt = job.lastRunAt ?? null
  const assignmentsChangedAt = job.assignmentsChangedAt ?? null
  const groups = job.groupIds?.length ?? 0
  return {
    jobId,
    jobName,
    tasks: job.taskIds.length,
    groups,
    description,
    enable: enabled,
    enabled,
    maxRetries,
    maxRetryTimes: maxRetries,
    maxRetryTime: maxRetries,
    priority,
    cycleType,
    executionTime: job.executionTime || null,
    nextRunAt: job.nextRunAt ?? null,
    retryWait,
    duration,
    created: createdAt,
    createdAt,
    lastEditedAt,
    lastRun: lastRunAt,
    lastRunAt,
    assignmentsChanged: assignmentsChangedAt,
    assignmentsChangedAt,
    targetClientGroup: groups,
    jobScheduler: cycleType,
    maxJobDuration: duration
  }
}

export function toDetails(job: Job): Static<typeof Details> {
  const { jobName, description, createdAt, lastEditedAt, enabled } = job
  const { priority, maxRetries, cycleType, retryWait, duration, executionTime } = job
  const lastRunAt = job.lastRunAt ?? null
  const assignmentsChanged = job.assignmentsChangedAt ?? null
  return {
    general: { jobName, description, createdAt, lastEditedAt, lastRunAt, enabled, assignmentsChanged },
    executionOpt: {
      priority,
      maxRetries,
      cycleType,
      retryWait,
      duration,
      executionTime,
      missedRun: job.missedRun ?? 'RUN_ONCE',
      nextRunAt: job.nextRunAt ?? null,
      lastSkip: job.lastSkip ?? null,
      maxConcurrentSession: job.maxConcurrentSession ?? 0,
      rollout: job.rollout?.perMinute ? job.rollout : null,
      abort: job.abort?.failedPercent ? job.abort : null
    }
  }
}
