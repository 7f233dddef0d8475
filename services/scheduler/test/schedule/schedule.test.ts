import { AppError } from '@fleetgate/kit'
import t from 'tap'
import { nextRunOf } from '../../src/schedule/nextRun.js'
import { isTimeZone, parseSchedule } from '../../src/schedule/schedule.js'

/** The first moments after `from`, as UTC text without what is always zero. */
function moments(cycleType: number, executionTime: string, from: string, n: number, timeZone = 'Europe/Berlin') {
  const schedule = parseSchedule({ cycleType, executionTime }, timeZone)
  const found: string[] = []
  for (let at = schedule.next(Date.parse(from)); at !== undefined && found.length < n; at = schedule.next(at)) {
    found.push(new Date(at).toISOString().replace(/:00\.000Z$/, 'Z'))
  }
  return found
}

function refusal(cycleType: number, executionTime: string): unknown {
  try {
    parseSchedule({ cycleType, executionTime }, 'Europe/Berlin')
  } catch (error) {
    return error instanceof AppError ? { code: error.code, field: error.details.field, message: error.message } : error
  }
  return 'nothing was thrown'
}

const table: [
  what: string,
  cycleType: number,
  executionTime: string,
  from: string,
  expected: string[],
  zone?: string
][] = [
  ['nothing: only by hand', 0, '', '2026-01-01T00:00Z', []],
  ['once, in the time zone', 0, '2026-07-01T03:30', '2026-01-01T00:00Z', ['2026-07-01T01:30Z']],
  ['once, with its offset', 0, '2026-07-01 03:30:00+05:30', '2026-01-01T00:00Z', ['2026-06-30T22:00Z']],
  ['once, in UTC', 0, '2026-07-01T03:30:00.000Z', '2026-01-01T00:00Z', ['2026-07-01T03:30Z']],
  ['once, a day alone', 0, '2026-07-01', '2026-01-01T00:00Z', ['2026-06-30T22:00Z']],
  ['once, in epoch milliseconds', 0, String(Date.UTC(2026, 6, 1)), '2026-01-01T00:00Z', ['2026-07-01T00:00Z']],
  ['once, gone by', 0, '2026-07-01T03:30', '2026-07-01T01:30Z', []],
  ['once, at a time left out', 0, '2026-03-29T02:30', '2026-01-01T00:00Z', ['2026-03-29T01:00Z']],
  ['once, at a time that is there twice', 0, '2026-10-25T02:30', '2026-01-01T00:00Z', ['2026-10-25T00:30Z']],
  ['hourly', 1, '15', '2026-01-01T22:20Z', ['2026-01-01T23:15Z', '2026-01-02T00:15Z']],
  [
    'hourly goes on when the clocks go forward',
    1,
    '30',
    '2026-03-29T00:00Z',
    ['2026-03-29T00:30Z', '2026-03-29T01:30Z', '2026-03-29T02:30Z']
  ],
  [
    'hourly goes on when the clocks go back',
    1,
    '30',
    '2026-10-25T00:00Z',
    ['2026-10-25T00:30Z', '2026-10-25T01:30Z', '2026-10-25T02:30Z']
  ],
  ['daily', 2, '03:30', '2026-01-01T02:30Z', ['2026-01-02T02:30Z', '2026-01-03T02:30Z']],
  [
    'daily, at a time left out',
    2,
    '2:30',
    '2026-03-28T00:00Z',
    ['2026-03-28T01:30Z', '2026-03-29T01:00Z', '2026-03-30T00:30Z']
  ],
  [
    'daily, at a time that is there twice',
    2,
    '02:30',
    '2026-10-24T00:00Z',
    ['2026-10-24T00:30Z', '2026-10-25T00:30Z', '2026-10-26T01:30Z']
  ],
  [
    'daily, where the clocks change by half an hour',
    2,
    '02:15',
    '2026-10-02T16:00Z',
    ['2026-10-03T15:30Z', '2026-10-04T15:15Z'],
    'Australia/Lord_Howe'
  ],
  [
    'weekly on Monday, Wednesday and Sunday',
    3,
    '1, 3,7 10:00',
    '2026-01-04T10:00Z',
    ['2026-01-05T09:00Z', '2026-01-07T09:00Z', '2026-01-11T09:00Z']
  ],
  ['weekly, 0 for Sunday too', 3, '0 10:00', '2026-01-05T10:00Z', ['2026-01-11T09:00Z']],
  [
    'monthly, with the last day',
    4,
    '15,l 10:00',
    '2028-01-20T10:00Z',
    ['2028-01-31T09:00Z', '2028-02-15T09:00Z', '2028-02-29T09:00Z', '2028-03-15T09:00Z', '2028-03-31T08:00Z']
  ],
  [
    'monthly, leaving out months without the day',
    4,
    '31 10:00',
    '2026-02-01T00:00Z',
    ['2026-03-31T08:00Z', '2026-05-31T08:00Z']
  ],
  ['cron', 5, '0 22 * * 1-5', '2026-01-02T22:00Z', ['2026-01-05T21:00Z', '2026-01-06T21:00Z']],
  ['cron with a second', 5, '0 0 22 ? * 1#1', '2026-01-02T22:00Z', ['2026-01-05T21:00Z', '2026-02-02T21:00Z']]
]

t.test('moments of a schedule', async (t) => {
  for (const [what, cycleType, executionTime, from, expected, zone] of table) {
    t.strictSame(moments(cycleType, executionTime, from, Math.max(expected.length, 1), zone), expected, what)
  }
})

t.test('what is no schedule is refused, naming the field', async (t) => {
  const wrong: [number, string][] = [
    [0, 'tomorrow'],
    [0, '2026-02-30'],
    [0, '2026-02-03T25:00'],
    [0, '12:00'],
    [0, '1767225600'],
    [1, ''],
    [1, '60'],
    [1, '00:15'],
    [2, '24:00'],
    [2, '12'],
    [3, '12:00'],
    [3, '8 12:00'],
    [4, '0 12:00'],
    [4, '32 12:00'],
    [4, '1;2 12:00'],
    [5, ''],
    [5, '* * * *'],
    [5, '* * * * * *'],
    [5, '61 * * * *'],
    [5, 'a b c d e']
  ]
  for (const [cycleType, executionTime] of wrong) {
    t.match(
      refusal(cycleType, executionTime),
      { code: 'invalid_input', field: 'executionTime', message: /^executionTime/ },
      `${cycleType} ${executionTime}`
    )
  }
  t.match(refusal(6, ''), { code: 'invalid_input', field: 'cycleType' })
  t.match(refusal(2, 'noon'), { message: "executionTime of a job that runs each day must look like '03:30'" })
})

/** How often the calendar is asked meanwhile: every step of croner's search asks it. */
function lookups(work: () => void): number {
  const { UTC } = Date
  let count = 0
  Date.UTC = (...args: Parameters<typeof UTC>) => {
    count += 1
    return UTC(...args)
  }
  try {
    work()
  } finally {
    Date.UTC = UTC
  }
  return count
}

t.test(
  'what does not come is refused when it is set, after few steps, and stops nothing where it is stored',
  async (t) => {
    const now = Date.UTC(2026, 0, 1)
    const never = [
      '0 0 30 2 *',
      '0 0 31 2,4,6,9,11 *',
      '0 0 31W 4 *',
      '0 0 30,31 2 +1',
      '59 23 31 4 +7#5',
      '0 0 0 30 2 *'
    ]
    for (const executionTime of never) {
      const job = { cycleType: 5, executionTime, enabled: true }
      const save = () => nextRunOf(job, { timeZone: 'Europe/Berlin', now })
      const steps = lookups(() => {
        const refusal = { code: 'invalid_input', message: 'executionTime names no moment of the next 8 years' }
        t.throws(save, { ...refusal, details: { field: 'executionTime' } }, executionTime)
      })
      t.ok(steps < 3000, `${executionTime}: ${steps} steps`)
      const stored = lookups(() => {
        const schedule = parseSchedule(job, 'Europe/Berlin')
        t.strictSame([schedule.next(now), schedule.last(now)], [undefined, undefined])
      })
      t.ok(stored < 6000, `${executionTime}: ${stored} steps both ways`)
      t.equal(
        nextRunOf(job, { timeZone: 'UTC', now, before: { ...job, nextRunAt: 1 } }),
        1,
        'no change of the schedule'
      )
    }
    t.strictSame(
      moments(5, '0 12 29 2 *', '2097-01-01T00:00Z', 1, 'UTC'),
      ['2104-02-29T12:00Z'],
      'it comes, though late'
    )
    t.throws(() => nextRunOf({ cycleType: 0, executionTime: '2020-01-01', enabled: true }, { timeZone: 'UTC', now }), {
      message: 'executionTime has gone by'
    })
  }
)

t.test('moments follow each other and keep their local time', async (t) => {
  const format = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Berlin', hour: '2-digit', minute: '2-digit' })
  const schedule = parseSchedule({ cycleType: 2, executionTime: '02:30' }, 'Europe/Berlin')
  const odd: string[] = []
  let at = Date.UTC(2026, 0, 1)
  for (let day = 0; day < 3 * 365; day++) {
    const next = schedule.next(at) ?? Number.NaN
    t.ok(next - at <= 25 * 3_600_000 && next > at) || t.bailout()
    if (format.format(next) !== '02:30') odd.push(`${new Date(next).toISOString().slice(0, 10)} ${format.format(next)}`)
    at = next
  }
  t.strictSame(odd, ['2026-03-29 03:00', '2027-03-28 03:00', '2028-03-26 03:00'])
})

t.test('time zones are known by their names', async (t) => {
  t.ok(isTimeZone('Europe/Berlin'))
  t.ok(isTimeZone('UTC'))
  t.notOk(isTimeZone('Mars/Olympus'))
  t.notOk(isTimeZone(''))
})
