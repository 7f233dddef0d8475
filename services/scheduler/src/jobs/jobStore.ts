import { type Counters, containsPattern, type Page, type PageOf, pageOf, type Store } from '@fleetgate/store'
import { type Model, type QueryFilter, Schema } from 'mongoose'
import { rangeFilter, type TimeRanges } from '../sdesFields.js'
import type { Job, JobDraft } from './job.js'
import { createScheduledJobs, type ScheduledJobs } from './scheduledJobs.js'

const jobSchema = new Schema<Job>({
  _id: { type: String, required: true },
  tenantId: { type: String, required: true },
  jobId: { type: Number, required: true },
  jobName: { type: String, required: true },
  description: String,
  enabled: { type: Boolean, required: true },
  priority: { type: Number, required: true },
  maxRetries: { type: Number, required: true },
  retryWait: { type: Number, required: true },
  cycleType: { type: Number, required: true },
  executionTime: String,
  missedRun: String,
  nextRunAt: Number,
  lastSkip: Schema.Types.Mixed,
  duration: { type: Number, required: true },
  maxConcurrentSession: Number,
  rollout: Schema.Types.Mixed,
  abort: Schema.Types.Mixed,
  createdAt: { type: Number, required: true },
  lastEditedAt: { type: Number, required: true },
  lastRunAt: Number,
  assignmentsChangedAt: Number,
  taskIds: { type: [Number], required: true },
  clientIds: { type: [Number], required: true },
  groupIds: { type: [Number], default: undefined }
})
jobSchema.index({ tenantId: 1, jobId: 1 }, { unique: true })
jobSchema.index({ tenantId: 1, jobName: 1, jobId: 1 })
jobSchema.index({ tenantId: 1, taskIds: 1 })
jobSchema.index({ tenantId: 1, clientIds: 1 })
const isScheduled = { partialFilterExpression: { nextRunAt: { $exists: true } } }
jobSchema.index({ nextRunAt: 1 }, isScheduled)
jobSchema.index({ tenantId: 1, groupIds: 1 })
jobSchema.index({ tenantId: 1, enabled: 1, jobId: 1 })
for (const time of ['lastEditedAt', 'lastRunAt', 'assignmentsChangedAt', 'createdAt']) {
  jobSchema.index({ tenantId: 1, [time]: 1 })
}

export interface JobFilter {
  tenantId: string
  /** Only jobs that are bound to this task, client or group. */
  boundTo?: { bound: Bound; id: number } | undefined
  jobName?: string | undefined
  jobNameContain?: string | undefined
  enabled?: boolean | undefined
  ranges?: TimeRanges<'lastEditedAt' | 'lastRunAt' | 'assignmentsChangedAt' | 'createdAt'> | undefined
}

/** A job in a list: without its clients, which may be thousands. */
export type JobRow = Omit<Job, 'clientIds'>
export type Bound = 'taskIds' | 'clientIds' | 'groupIds'

export interface JobStore {
  readonly model: Model<Job>
  readonly scheduled: ScheduledJobs
  idsOf(tenantId: string): Promise<number[]>
  insert(tenantId: string, draft: JobDraft & Pick<Job, 'nextRunAt'>, now: number): Promise<Job>
  find(tenantId: string, jobId: number): Promise<Job | undefined>
  list(filter: JobFilter, page: Page): Promise<PageOf<JobRow>>
  update(tenantId: string, jobId: number, change: Partial<JobDraft>, now: number): Promise<boolean>
  remove(tenantId: string, jobId: number): Promise<boolean>
  /** Takes one id out of every job of the tenant. */
  unbindEverywhere(tenantId: string, from: { bound: Bound; id: number; now: number }): Promise<void>
  /** Those of the clients that are bound to the job. */
  boundAmong(tenantId: string, jobId: number, clientIds: readonly number[]): Promise<number[]>
  /** False where the job is no longer there. */
  setLastRun(tenantId: string, jobId: number, at: number): Promise<boolean>
}

export function createJobStore(store: Store, counters: Counters): JobStore {
  const model = store.model<Job>('jobs', jobSchema)

  return {
    model,
    scheduled: createScheduledJobs(model),

    idsOf: (tenantId) => model.distinct('jobId', { tenantId }).exec(),

    async insert(tenantId, draft, now) {
      const jobId = await counters.next(tenantId, 'job')
      const own = { _id: `${tenantId}:${jobId}`, tenantId, jobId, createdAt: now, lastEditedAt: now }
      const job: Job = { ...own, ...draft, taskIds: [], clientIds: [], groupIds: [] }
      await model.create(job)
      return job
    },

    find: async (tenantId, jobId) => (await model.findOne({ tenantId, jobId }).lean<Job>()) ?? undefined,

    list: (filter, page) =>
      pageOf(model.find(toFilter(filter), { clientIds: 0 }).sort('jobId'), page) as Promise<PageOf<JobRow>>,

    async update(tenantId, jobId, change, now) {
      const { matchedCount } = await model.updateOne({ tenantId, jobId }, { $set: { ...change, lastEditedAt: now } })
      return matchedCount > 0
    },

    async remove(tenantId, jobId) {
      return (await model.deleteOne({ tenantId, jobId })).deletedCount > 0
    },

    async unbindEverywhere(tenantId, { bound, id, now }) {
      const change = { $pull: { [bound]: id }, $set: { assignmentsChangedAt: now } }
      await model.updateMany({ tenantId, [bound]: id }, change)
    },

    async boundAmong(tenantId, jobId, clientIds) {
      if (clientIds.length === 0) return []
      const [found] = await model.aggregate<{ ids: number[] }>([
        { $match: { tenantId, jobId } },
        { $project: { ids: { $setIntersection: ['$clientIds', [...clientIds]] } } }
      ])
      return found?.ids ?? []
    },

    async setLastRun(tenantId, jobId, at) {
      return (await model.updateOne({ tenantId, jobId }, { $max: { lastRunAt: at } })).matchedCount > 0
    }
  }
}

function toFilter({ tenantId, boundTo, jobName, jobNameContain, enabled, ranges }: JobFilter): QueryFilter<Job> {
  const parts: Record<string, unknown>[] = []
  if (boundTo) parts.push({ [boundTo.bound]: boundTo.id })
  if (jobName !== undefined) parts.push({ jobName })
  if (jobNameContain !== undefined) parts.push({ jobName: containsPattern(jobNameContain) })
  if (enabled !== undefined) parts.push({ enabled })
  if (ranges) parts.push(rangeFilter(ranges))
  return { tenantId, ...(parts.length > 0 ? { $and: parts } : {}) } as QueryFilter<Job>
}
