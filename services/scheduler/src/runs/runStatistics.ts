import type { RunResult } from './run.js'
import type { RunStore } from './runStore.js'

/** Figures over all runs of a tenant. */
export interface RunStatistics {
  /** How the latest run that is over of each job ended. */
  latestResults(tenantId: string): Promise<Map<number, RunResult>>
  /** Reports of machines, and runs. */
  countLogs(tenantId: string): Promise<{ clients: number; jobs: number }>
  /** Tasks given to machines, over all runs. */
  countTasks(tenantId: string): Promise<number>
}

export function createRunStatistics({ model }: Pick<RunStore, 'model'>): RunStatistics {
  return {
    async latestResults(tenantId) {
      // Exactly the fields of one index, in its order: no run is read.
      const found = await model.aggregate<{ _id: number; result: RunResult }>([
        { $match: { tenantId, state: 'FINISHED' } },
        { $sort: { jobId: 1, createdAt: -1 } },
        { $project: { _id: 0, jobId: 1, createdAt: 1, result: 1 } },
        { $group: { _id: '$jobId', result: { $first: '$result' } } }
      ])
      return new Map(found.map(({ _id, result }) => [_id, result]))
    },

    async countLogs(tenantId) {
      const [found] = await model.aggregate<{ clients: number; jobs: number }>([
        { $match: { tenantId, state: { $in: ['PREPARING', 'RUNNING', 'FINISHED'] } } },
        { $project: { _id: 0, targets: 1 } },
        { $group: { _id: null, clients: { $sum: '$targets' }, jobs: { $sum: 1 } } }
      ])
      return { clients: found?.clients ?? 0, jobs: found?.jobs ?? 0 }
    },

    async countTasks(tenantId) {
      const [found] = await model.aggregate<{ n: number }>([
        { $match: { tenantId } },
        { $group: { _id: null, n: { $sum: { $multiply: ['$targets', { $size: '$tasks' }] } } } }
      ])
      return found?.n ?? 0
    }
  }
}
