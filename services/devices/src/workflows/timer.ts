import { oneOf, type Static, Type } from '@fleetgate/kit'
import { Cron } from 'croner'

const units = { SECONDS: 1000, MINUTES: 60_000, HOURS: 3_600_000, DAYS: 86_400_000 } as const
const days = ['MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY', 'SUNDAY'] as const
const maxSeconds = 8.64e12

/** Of a timer node, as the editor writes it. */
export const TimerSettings = Type.Object({
  type: oneOf(['ONCE', 'INTERVAL', 'SCHEDULE']),
  timezone: Type.Optional(Type.String({ maxLength: 64 })),
  executionEpochSecond: Type.Optional(Type.Number({ minimum: 0, maximum: maxSeconds })),
  intervalTime: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1e6 })),
  intervalTimeUnit: Type.Optional(oneOf(Object.keys(units) as (keyof typeof units)[])),
  rules: Type.Optional(
    Type.Array(
      Type.Object({
        hour: Type.Integer({ minimum: 0, maximum: 23 }),
        minute: Type.Integer({ minimum: 0, maximum: 59 }),
        daysOfWeek: Type.Optional(Type.Array(oneOf(days), { maxItems: 7 }))
      }),
      { maxItems: 50 }
    )
  ),
  expirationEpochSecond: Type.Optional(Type.Unsafe<number | null>({ type: ['number', 'null'], minimum: 0 }))
})
export type TimerSettings = Static<typeof TimerSettings>

/** Shorter ones would only feed the rate guard. */
const minIntervalMs = 1000

/**
 * The first time after `after` (epoch ms) at which the timer fires; nothing where there is none any more. Intervals count from
 * `since`, when the workflow was enabled. Throws an error that says which setting is wrong.
 */
export function nextTime(settings: TimerSettings, after: number, since: number): number | undefined {
  const next = unbounded(settings, after, since)
  const { expirationEpochSecond: end } = settings
  return next !== undefined && end && next > end * 1000 ? undefined : next
}

function unbounded(settings: TimerSettings, after: number, since: number): number | undefined {
  if (settings.type === 'ONCE') return onceAt(settings, after)
  if (settings.type === 'INTERVAL') return intervalAfter(settings, after, since)
  const { rules = [], timezone = 'UTC' } = settings
  if (rules.length === 0) throw new Error('rules is required')
  const times = rules.flatMap(({ hour, minute, daysOfWeek = [] }) => {
    const weekdays = daysOfWeek.length > 0 ? daysOfWeek.map((day) => days.indexOf(day) + 1).join(',') : '*'
    return ruleAfter(`0 ${minute} ${hour} * * ${weekdays}`, timezone, after) ?? []
  })
  return times.length > 0 ? Math.min(...times) : undefined
}

function onceAt({ executionEpochSecond }: TimerSettings, after: number): number | undefined {
  if (executionEpochSecond === undefined) throw new Error('executionEpochSecond is required')
  return executionEpochSecond * 1000 > after ? executionEpochSecond * 1000 : undefined
}

function intervalAfter({ intervalTime, intervalTimeUnit }: TimerSettings, after: number, since: number): number {
  if (intervalTime === undefined || intervalTimeUnit === undefined) {
    throw new Error('intervalTime and intervalTimeUnit are required')
  }
  const every = intervalTime * units[intervalTimeUnit]
  if (every < minIntervalMs) throw new Error('intervalTime is shorter than a second')
  return Math.ceil(since + (Math.floor(Math.max(0, after - since) / every) + 1) * every)
}

function ruleAfter(pattern: string, timezone: string, after: number): number | undefined {
  try {
    return new Cron(pattern, { timezone, paused: true }).nextRun(new Date(after))?.getTime()
  } catch {
    throw new Error(`timezone "${timezone.slice(0, 64)}" is not known`)
  }
}
