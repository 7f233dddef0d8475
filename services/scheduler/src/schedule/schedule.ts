import { AppError } from '@fleetgate/kit'
import { Cron } from 'croner'

/** The document's cycle types by number. */
export const cycleTypes = ['once', 'hourly', 'daily', 'weekly', 'monthly', 'cron'] as const

export interface ScheduleFields {
  cycleType: number
  executionTime: string
}

export interface Schedule {
  /** The first moment after `after` (epoch ms); undefined where there is none any more, or none within `yearsAhead`. */
  next(after: number): number | undefined
  /** The last moment that is not after `until`, of as many years. */
  last(until: number): number | undefined
}

/**
 * Reads `cycleType` and `executionTime` in a time zone. A time of day that a change of the clocks leaves out comes at the
 * next moment that exists; one that such a day has twice comes the first time only. What counts hours or minutes goes on
 * with the time that passes. Refuses what is no schedule, naming the field.
 */
export function parseSchedule({ cycleType, executionTime }: ScheduleFields, timeZone: string): Schedule {
  const text = executionTime.trim()
  const name = cycleTypes[cycleType]
  if (name === undefined) throw refused('cycleType', 'cycleType must be 0 to 5')
  if (name === 'once') return text === '' ? never : once(text, timeZone)
  const pattern = patterns[name](text)
  if (pattern === undefined) {
    throw refused('executionTime', `executionTime of a job that runs ${words[name]} must look like ${examples[name]}`)
  }
  return cron(pattern, timeZone)
}

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

const never: Schedule = { next: () => undefined, last: () => undefined }

type Cycle = Exclude<(typeof cycleTypes)[number], 'once'>

const words = {
  hourly: 'each hour',
  daily: 'each day',
  weekly: 'each week',
  monthly: 'each month',
  cron: 'by a cron expression'
} satisfies Record<Cycle, string>

const examples = {
  hourly: "'15' (the minute)",
  daily: "'03:30'",
  weekly: "'1,3,5 03:30' (1 is Monday, 7 Sunday)",
  monthly: "'1,15,L 03:30' (L is the last day)",
  cron: "'30 3 * * 1-5' (minute, hour, day, month, weekday; a first of six is the second)"
} satisfies Record<Cycle, string>

const minute = '([0-5]?\\d)'
const clock = `([01]?\\d|2[0-3]):${minute}`
const hourlyForm = new RegExp(`^${minute}$`)
const dailyForm = new RegExp(`^${clock}$`)
const weeklyForm = new RegExp(`^([0-7](?:\\s*,\\s*[0-7])*)\\s+${clock}$`)
const monthDay = '(?:0?[1-9]|[12]\\d|3[01]|L)'
const monthlyForm = new RegExp(`^(${monthDay}(?:\\s*,\\s*${monthDay})*)\\s+${clock}$`, 'i')
/** Seconds may be one number only: a job is nothing that runs every second. */
const cronForm = /^(?:\d{1,2}\s+)?\S+(?:\s+\S+){4}$/

/** A cron pattern of each form, or nothing where the text has another form. */
const patterns = {
  hourly: (text) => fill(hourlyForm, text, ([minutes]) => `${minutes} * * * *`),
  daily: (text) => fill(dailyForm, text, ([hour, minutes]) => `${minutes} ${hour} * * *`),
  weekly: (text) => fill(weeklyForm, text, ([days, hour, minutes]) => `${minutes} ${hour} * * ${plain(days)}`),
  monthly: (text) => fill(monthlyForm, text, ([days, hour, minutes]) => `${minutes} ${hour} ${plain(days)} * *`),
  cron: (text) => (cronForm.test(text) ? text : undefined)
} satisfies Record<Cycle, (text: string) => string | undefined>

function fill(form: RegExp, text: string, make: (parts: string[]) => string): string | undefined {
  const found = form.exec(text)
  return found ? make(found.slice(1)) : undefined
}

function plain(list = ''): string {
  return list.replaceAll(/\s/g, '').toUpperCase()
}

/**
 * croner would look through four centuries for a day that never comes, at every call: nothing further away than this is
 * looked for. 29 February is there even about 2100.
 */
export const yearsAhead = 8

function cron(pattern: string, timezone: string): Schedule {
  const whole = /^\S+(?:\s+\S+){5}$/.test(pattern) ? pattern : `0 ${pattern}`
  let known: { key: string; times: Cron } | undefined

  /** The moments of some years around one; a year more at either end, as the new year begins elsewhere at other times. */
  function around(at: number, [before, after]: [number, number]): Cron {
    const year = new Date(at).getUTCFullYear()
    const key = `${year - before - 1}-${year + after + 1}`
    if (known?.key !== key) known = { key, times: timesOf(`${whole} ${key}`, timezone) }
    return known.times
  }

  around(0, [0, yearsAhead])
  return {
    next: (after) => around(after, [0, yearsAhead]).nextRun(new Date(after))?.getTime(),
    // croner looks at whole seconds, and leaves out the one that it is given.
    last: (until) =>
      around(until, [yearsAhead, 0])
        .previousRuns(1, new Date(until + 1000))[0]
        ?.getTime()
  }
}

/** No timer: croner only reckons here. */
function timesOf(pattern: string, timezone: string): Cron {
  try {
    return new Cron(pattern, { timezone, paused: true })
  } catch (cause) {
    const reason = (cause as Error).message.replace(/^Cron\w*: /, '')
    throw new AppError('invalid_input', `executionTime: ${reason}`, { field: 'executionTime' }, { cause })
  }
}

const epochForm = /^\d{12,15}$/
const isoForm = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/i

function once(text: string, timeZone: string): Schedule {
  const at = epochForm.test(text) ? Number(text) : momentOf(text, timeZone)
  return { next: (after) => (at > after ? at : undefined), last: (until) => (at <= until ? at : undefined) }
}

function momentOf(text: string, timeZone: string): number {
  const [, year, month, day, hour = '00', minutes = '00', seconds = '00', offset] = isoForm.exec(text) ?? []
  const local = `${year}-${month}-${day}T${hour}:${minutes}:${seconds}`
  const asUtc = Date.parse(`${local}Z`)
  // Date.parse takes 30 February for 2 March.
  if (Number.isNaN(asUtc) || !new Date(asUtc).toISOString().startsWith(local)) {
    throw refused('executionTime', "executionTime must be a date and time as '2030-01-31T03:30', or epoch milliseconds")
  }
  if (offset !== undefined) return asUtc - offsetMs(offset)
  const pattern = `${seconds} ${minutes} ${hour} ${day} ${month} * ${year}`
  return (
    timesOf(pattern, timeZone)
      .nextRun(new Date(asUtc - 2 * dayMs))
      ?.getTime() ?? asUtc
  )
}

const dayMs = 86_400_000

function offsetMs(offset: string): number {
  const [, sign, hours, minutes] = /^([+-])(\d\d):?(\d\d)$/.exec(offset) ?? []
  return (sign === '-' ? -1 : 1) * (Number(hours ?? 0) * 60 + Number(minutes ?? 0)) * 60_000
}

function refused(field: string, message: string): AppError {
  return new AppError('invalid_input', message, { field })
}
