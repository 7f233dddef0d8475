import { AppError, type Log, severityOf } from '@fleetgate/kit'
import type { ScheduledJob, ScheduledJobs } from '../jobs/scheduledJobs.js'
import { createAlarm } from '../runs/alarm.js'
import type { OpenRunInput } from '../runs/openRun.js'
import type { TimeZoneOf } from './nextRun.js'
import { parseSchedule, type Schedule } from './schedule.js'

export interface TimetableDeps {
  jobs: ScheduledJobs
  openRun: (input: OpenRunInput) => Promise<string>
  timeZone: TimeZoneOf
  log: Log
  now: () => number
  sweepMs: number
}

export interface Timetable {
  start(): void
  stop(): Promise<void>
  /** Reckons all moments of a tenant again, after its time zone has changed. */
  reschedule(tenantId: string): Promise<void>
}

const pageSize = 200
/** A moment that is later than this was missed: a scheduler at work is never so late. */
const missedAfterMs = 60_000

/**
 * Opens a run for each job that is due. Every replica looks: the moment names the run's trigger, so its unique index lets
 * one of them open it, and a crash before the job moves on to its next moment repeats nothing.
 */
export function createTimetable(deps: TimetableDeps): Timetable {
  const { jobs, log, now, sweepMs } = deps
  let hasMore = false
  const alarm = createAlarm({ now, work: sweep, nextWait: () => (hasMore ? 0 : sweepMs) })

  async function sweep(): Promise<void> {
    hasMore = false
    try {
      const due = await jobs.findDue(now(), pageSize)
      let moved = 0
      for (const job of due) if (await fire(job)) moved++
      // Thousands may be due at the same moment; those that cannot be moved on are tried again later.
      hasMore = due.length === pageSize && moved > 0
    } catch (error) {
      log[severityOf(error)]({ err: error }, 'schedules not looked at, trying again')
    }
  }

  /** False where the job stays due. */
  async function fire(job: ScheduledJob): Promise<boolean> {
    const { tenantId, jobId } = job
    try {
      const timeZone = await deps.timeZone(tenantId)
      const schedule = parseSchedule(job, timeZone)
      const at = Math.max(job.nextRunAt, schedule.last(now()) ?? 0)
      const reason = isMissed(job, at)
        ? 'missed: no scheduler was running'
        : await open(job, { at, schedule, timeZone })
      if (reason) log.warn({ tenantId, jobId, at, reason }, 'scheduled run left out')
      const skip = reason ? { at, reason } : undefined
      await jobs.advance(job, { nextRunAt: schedule.next(Math.max(now(), at)), ...(skip ? { skip } : {}) })
      return true
    } catch (error) {
      log[severityOf(error)]({ err: error, tenantId, jobId }, 'scheduled run not opened, trying again')
      return false
    }
  }

  function isMissed({ missedRun }: ScheduledJob, at: number): boolean {
    return missedRun === 'SKIP' && now() - at > missedAfterMs
  }

  /** Answers why the job cannot run, if it cannot. */
  async function open(
    job: ScheduledJob,
    { at, schedule, timeZone }: { at: number; schedule: Schedule; timeZone: string }
  ): Promise<string | undefined> {
    const { tenantId, jobId, duration } = job
    // Runs must not pile up for a machine that is away: without a duration one waits until the next is due.
    const endsAt = duration > 0 ? undefined : schedule.next(Math.max(now(), at))
    try {
      await deps.openRun({ tenantId, jobId, moment: { at, endsAt, timeZone } })
      return undefined
    } catch (error) {
      if (error instanceof AppError && (error.code === 'invalid_state' || error.code === 'not_found'))
        return error.message
      throw error
    }
  }

  return {
    start: alarm.start,
    stop: alarm.stop,

    async reschedule(tenantId) {
      const timeZone = await deps.timeZone(tenantId)
      let page: ScheduledJob[] = []
      do {
        page = await jobs.listAfter(tenantId, page.at(-1)?.jobId ?? 0, pageSize)
        for (const job of page) {
          // One that is due already is left to be run.
          if (job.nextRunAt > now()) await jobs.advance(job, { nextRunAt: parseSchedule(job, timeZone).next(now()) })
        }
      } while (page.length === pageSize)
    }
  }
}
