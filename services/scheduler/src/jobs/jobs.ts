import { AppError } from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import { jobGone } from '../runs/run.js'
import type { RunStore } from '../runs/runStore.js'
import { nextRunOf, type TimeZoneOf } from '../schedule/nextRun.js'
import type { Job, JobDraft } from './job.js'
import type { JobFilter, JobRow, JobStore } from './jobStore.js'

export interface JobsDeps {
  store: JobStore
  runs: RunStore
  timeZone: TimeZoneOf
  now: () => number
  /** Open runs were told to end. */
  onExpired: () => void
}

export interface Jobs {
  register(tenantId: string, draft: JobDraft): Promise<Job>
  get(tenantId: string, jobId: number): Promise<Job>
  list(filter: JobFilter, page: Page): Promise<PageOf<JobRow>>
  change(tenantId: string, jobId: number, change: Partial<JobDraft>): Promise<void>
  /** Open runs end; what they found out stays in the logs. */
  retire(tenantId: string, jobId: number): Promise<void>
}

export function createJobs({ store, runs, timeZone, now, onExpired }: JobsDeps): Jobs {
  async function get(tenantId: string, jobId: number): Promise<Job> {
    return (await store.find(tenantId, jobId)) ?? missing(jobId)
  }

  /** The next moment is reckoned from all fields of the schedule, so it is written only beside those that were read. */
  async function changeSchedule(tenantId: string, jobId: number, change: Partial<JobDraft>): Promise<void> {
    for (let tries = 0; tries < 5; tries++) {
      const before = await get(tenantId, jobId)
      const nextRunAt = nextRunOf({ ...before, ...change }, { timeZone: await timeZone(tenantId), now: now(), before })
      if (await store.scheduled.change(before, change, { nextRunAt, now: now() })) return
    }
    throw new AppError('conflict', `job ${jobId} is being changed by others, try again`)
  }

  return {
    get,

    async register(tenantId, draft) {
      const nextRunAt = nextRunOf(draft, { timeZone: await timeZone(tenantId), now: now() })
      return store.insert(tenantId, nextRunAt === undefined ? draft : { ...draft, nextRunAt }, now())
    },

    list: (filter, page) => store.list(filter, page),

    async change(tenantId, jobId, change) {
      if (movesSchedule(change)) await changeSchedule(tenantId, jobId, change)
      else if (!(await store.update(tenantId, jobId, change, now()))) missing(jobId)
    },

    async retire(tenantId, jobId) {
      await get(tenantId, jobId)
      const end = () => runs.expireOpen(tenantId, jobId, now(), jobGone)
      // First, so that who asks again after a kill in between still finds the job; and once more for a run that was opened meanwhile.
      await end()
      if (!(await store.remove(tenantId, jobId))) missing(jobId)
      await end()
      onExpired()
    }
  }
}

function movesSchedule({ cycleType, executionTime, enabled }: Partial<JobDraft>): boolean {
  return cycleType !== undefined || executionTime !== undefined || enabled !== undefined
}

function missing(jobId: number): never {
  throw new AppError('not_found', `job ${jobId} not found`)
}
