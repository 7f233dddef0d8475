import { AppError } from '@fleetgate/kit'
import type { Job } from '../jobs/job.js'
import { cycleTypes, isTimeZone, parseSchedule, yearsAhead } from './schedule.js'

export type TimeZoneOf = (tenantId: string) => Promise<string>

type Fields = Pick<Job, 'cycleType' | 'executionTime' | 'enabled'>

export interface NextRunInput {
  timeZone: string
  now: number
  /** The job before the change; absent for a new one. */
  before?: Fields & Pick<Job, 'nextRunAt'>
}

/**
 * When a job that is created or changed runs next. A schedule that stays as it is keeps its moment, due or not. Refuses
 * what is no schedule, and a new one without a moment to come.
 */
export function nextRunOf(job: Fields, { timeZone, now, before }: NextRunInput): number | undefined {
  const { cycleType, executionTime, enabled } = job
  const schedule = parseSchedule(job, timeZone)
  const isNew = before?.cycleType !== cycleType || before.executionTime !== executionTime
  const next = schedule.next(now)
  if (isNew && next === undefined && executionTime.trim() !== '') {
    const reason = cycleTypes[cycleType] === 'once' ? 'has gone by' : `names no moment of the next ${yearsAhead} years`
    throw new AppError('invalid_input', `executionTime ${reason}`, { field: 'executionTime' })
  }
  if (!enabled) return undefined
  return isNew || !before.enabled ? next : before.nextRunAt
}

/** For a setting that must be right before anything starts. */
export function requireTimeZone(name: string): string {
  if (isTimeZone(name)) return name
  throw new Error(`TIME_ZONE: ${name} is no time zone; use an IANA name such as Europe/Berlin`)
}
