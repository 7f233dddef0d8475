import type { QueryFilter, UpdateQuery } from '@fleetgate/store'
import type { Job } from './job.js'
import type { Bound, JobStore } from './jobStore.js'

/** Which jobs, which of their lists, and the ids that go into or out of it. */
export interface JobLink {
  jobIds: readonly number[]
  bound: Bound
  ids: readonly number[]
  now: number
}

/** A job as far as its targets and tasks need it; of its clients only those that were asked about. */
export interface JobTies {
  jobId: number
  taskIds: number[]
  groupIds: number[]
  clientIds: number[]
}

/** What jobs are bound to, asked from either side. */
export interface JobBindStore {
  link(tenantId: string, link: JobLink): Promise<void>
  unlink(tenantId: string, link: JobLink): Promise<void>
  unknownAmong(tenantId: string, jobIds: readonly number[]): Promise<number[]>
  /** Jobs whose list would have more than `limit` entries with these ids. */
  overfullAmong(tenantId: string, link: Omit<JobLink, 'now'> & { limit: number }): Promise<number[]>
  /** How many jobs each of the ids is bound to. */
  countJobsOf(tenantId: string, bound: Bound, ids: readonly number[]): Promise<Map<number, number>>
  countClientsOf(tenantId: string, jobIds: readonly number[]): Promise<Map<number, number>>
  /** Jobs that reach any of these clients, directly or by a group. */
  reaching(tenantId: string, clientIds: readonly number[], groupIds: readonly number[]): Promise<JobTies[]>
  /** The clients and groups of all jobs with a task. */
  targetsOfTask(tenantId: string, taskId: number): Promise<{ clientIds: number[]; groupIds: number[] }>
}

export function createJobBindStore({ model }: Pick<JobStore, 'model'>): JobBindStore {
  const among = (tenantId: string, ids: readonly number[]) => ({ tenantId, jobId: { $in: [...ids] } })

  async function idsWhere(filter: Record<string, unknown>): Promise<number[]> {
    const found = await model.find(filter as QueryFilter<Job>, { _id: 0, jobId: 1 }).lean()
    return found.map(({ jobId }) => jobId)
  }

  async function counts(pipeline: Parameters<typeof model.aggregate>[0]): Promise<Map<number, number>> {
    const found = await model.aggregate<{ _id: number; n: number }>(pipeline)
    return new Map(found.map(({ _id, n }) => [_id, n]))
  }

  return {
    async link(tenantId, { jobIds, bound, ids, now }) {
      const change = { $addToSet: { [bound]: { $each: [...ids] } }, $set: { assignmentsChangedAt: now } }
      await model.updateMany(among(tenantId, jobIds), change as UpdateQuery<Job>)
    },

    async unlink(tenantId, { jobIds, bound, ids, now }) {
      const change = { $pull: { [bound]: { $in: [...ids] } }, $set: { assignmentsChangedAt: now } }
      await model.updateMany(among(tenantId, jobIds), change as UpdateQuery<Job>)
    },

    async unknownAmong(tenantId, jobIds) {
      const known = new Set(await idsWhere(among(tenantId, jobIds)))
      return jobIds.filter((id) => !known.has(id))
    },

    overfullAmong: (tenantId, { jobIds, bound, ids, limit }) => {
      const size = { $size: { $setUnion: [{ $ifNull: [`$${bound}`, []] }, [...ids]] } }
      return idsWhere({ ...among(tenantId, jobIds), $expr: { $gt: [size, limit] } })
    },

    countJobsOf: (tenantId, bound, ids) =>
      counts([
        { $match: { tenantId, [bound]: { $in: [...ids] } } },
        { $project: { hit: { $setIntersection: [`$${bound}`, [...ids]] } } },
        { $unwind: '$hit' },
        { $group: { _id: '$hit', n: { $sum: 1 } } }
      ]),

    countClientsOf: (tenantId, jobIds) =>
      counts([{ $match: among(tenantId, jobIds) }, { $project: { _id: '$jobId', n: { $size: '$clientIds' } } }]),

    reaching: (tenantId, clientIds, groupIds) =>
      model.aggregate<JobTies>([
        { $match: { tenantId, $or: [{ clientIds: { $in: [...clientIds] } }, { groupIds: { $in: [...groupIds] } }] } },
        {
          $project: {
            _id: 0,
            jobId: 1,
            taskIds: 1,
            groupIds: { $ifNull: ['$groupIds', []] },
            clientIds: { $setIntersection: ['$clientIds', [...clientIds]] }
          }
        },
        { $sort: { jobId: 1 } }
      ]),

    async targetsOfTask(tenantId, taskId) {
      const found = await model.find({ tenantId, taskIds: taskId }, { _id: 0, clientIds: 1, groupIds: 1 }).lean<Job[]>()
      const unique = (ids: number[]) => [...new Set(ids)]
      return {
        clientIds: unique(found.flatMap(({ clientIds }) => clientIds)),
        groupIds: unique(found.flatMap(({ groupIds = [] }) => groupIds))
      }
    }
  }
}
