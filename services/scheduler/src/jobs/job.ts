import type { Rollout } from '../runs/pace.js'
import type { AbortRule } from '../runs/stop.js'

export const missedRuns = ['RUN_ONCE', 'SKIP'] as const

/** Tasks bound to machines, run by hand or by a schedule. */
export interface Job {
  _id: string
  tenantId: string
  jobId: number
  jobName: string
  description: string
  enabled: boolean
  priority: number
  /** Further attempts of a machine whose first one failed, and the seconds before each. */
  maxRetries: number
  retryWait: number
  cycleType: number
  executionTime: string
  /** What becomes of moments that went by while no scheduler ran: the latest is made up for, or none. */
  missedRun?: (typeof missedRuns)[number]
  /** When the schedule runs the job next; absent for one that is disabled or run by hand. */
  nextRunAt?: number
  /** The last moment of the schedule, where it did not run the job. */
  lastSkip?: { at: number; reason: string }
  /** Minutes until a run ends whatever is still open; 0 leaves it to the service's own limit. */
  duration: number
  /** Machines that may be at work at the same time; 0 for any number. */
  maxConcurrentSession?: number
  /** Zero machines a minute, or zero percent, for none. */
  rollout?: Rollout
  abort?: AbortRule
  createdAt: number
  lastEditedAt: number
  lastRunAt?: number
  assignmentsChangedAt?: number
  /** In the order of binding. */
  taskIds: number[]
  clientIds: number[]
  /** Their members of the moment are targets too. */
  groupIds?: number[]
}

export type JobDraft = Pick<
  Job,
  | 'jobName'
  | 'description'
  | 'enabled'
  | 'priority'
  | 'maxRetries'
  | 'retryWait'
  | 'cycleType'
  | 'executionTime'
  | 'missedRun'
  | 'duration'
  | 'maxConcurrentSession'
  | 'rollout'
  | 'abort'
>
