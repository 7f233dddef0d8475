import t from 'tap'
import { type Pace, paceAt, rateAt, readyNow } from '../../src/runs/pace.js'
import { runReason, waitingReason } from '../../src/runs/reasons.js'
import { abortReason, stopNow } from '../../src/runs/stop.js'

t.test('the pace of a rollout', async (t) => {
  const minute = 60_000
  const rollout = { perMinute: 6, growth: 2 }

  t.test('begins with one machine and goes on evenly', async (t) => {
    let pace: Pace | undefined
    const at: number[] = []
    for (let now = 0; now <= 30_000; now += 1000) {
      pace = paceAt(pace, rollout, now)
      for (; readyNow(pace) >= 1; pace = { ...pace, tokens: pace.tokens - 1 }) at.push(now)
    }
    t.strictSame(at, [0, 10_000, 20_000, 30_000])
  })

  t.test('grows with each minute of giving out', async (t) => {
    let pace: Pace | undefined
    const given = [0, 0, 0, 0]
    for (let now = 0; now < 4 * minute; now += 250) {
      pace = paceAt(pace, rollout, now)
      const whole = readyNow(pace)
      const slot = Math.floor(now / minute)
      given[slot] = (given[slot] ?? 0) + whole
      pace = { ...pace, tokens: pace.tokens - whole }
    }
    for (const [i, expected] of [6, 12, 24, 48].entries()) {
      t.ok(Math.abs((given[i] ?? 0) - expected) <= 1, `${given[i]} in minute ${i}`)
    }
    t.equal(rateAt({ perMinute: 1000, growth: 10 }, 30 * minute), 1_000_000)
  })

  t.test('saves up one minute at most, and a long wait counts for two', async (t) => {
    const rested = paceAt({ tokens: 0, at: 0, activeMs: 0 }, rollout, 600 * minute)
    t.strictSame(rested, { tokens: 6, at: 600 * minute, activeMs: 2 * minute })
  })

  t.test('reaches one machine at the slowest rate, and never goes back', async (t) => {
    const slow = { perMinute: 1, growth: 1 }
    t.ok(paceAt({ tokens: 0, at: 0, activeMs: 0 }, slow, minute).tokens >= 1)
    const before = { tokens: 0.5, at: 5000, activeMs: 0 }
    t.strictSame(paceAt(before, slow, 1000), before, 'a clock that is behind changes nothing')
  })
})

t.test('a run is stopped by its failures', async (t) => {
  const rule = { failedPercent: 20, minimum: 5 }
  t.equal(abortReason(rule, { succeeded: 0, failed: 4 }), undefined, 'too few are done')
  t.equal(abortReason(rule, { succeeded: 9, failed: 2 }), undefined, 'below the limit')
  t.equal(abortReason(rule, { succeeded: 8, failed: 2 }), 'stopped: 2 of 10 machines failed (the limit is 20 %)')
  t.equal(abortReason({ failedPercent: 0.1, minimum: 1 }, { succeeded: 5, failed: 0 }), undefined)
  t.match(stopNow({ at: 5, by: 'OPERATOR', reason: 'why' }, 120_000), {
    $set: { deadlineReason: 'why; not finished within 2 minutes after that' },
    $min: { deadlineAt: 120_005 }
  })
})

t.test('reasons', async (t) => {
  const run = { state: 'RUNNING' as const, sources: {} }
  const queued = { state: 'QUEUED' as const, hold: 'NONE' as const, attempt: 1, dueAt: 0 }
  const job = { maxConcurrentSession: 2 }
  const stop = { at: 50, by: 'SCHEDULE' as const, reason: 'the next run of the job was due' }
  t.equal(waitingReason({ ...run, pausedAt: 1 }, { ...queued, hold: 'OFFLINE' }, { now: 1 }), 'the run is paused')
  t.equal(waitingReason({ ...run, job }, queued, { now: 1, atWork: 1 }), 'about to be sent')
  t.equal(waitingReason({ ...run, job }, queued, { now: 1, atWork: 2 }), 'waiting for a free session (2 of 2 at work)')
  t.equal(
    waitingReason({ ...run, job: { rollout: { perMinute: 3, growth: 1 } } }, queued, { now: 1 }),
    'waiting for its turn in the rollout (3 machines a minute)'
  )
  t.equal(runReason({ state: 'RUNNING', stop }, { now: 49 }), undefined)
  t.equal(
    runReason({ state: 'RUNNING', stop }, { now: 50 }),
    'the next run of the job was due; machines at work may finish'
  )
  const away = 'every machine that has not ended is offline or disabled'
  t.equal(runReason({ state: 'RUNNING', pausedAt: 1 }, { now: 2, isAway: true }), 'the run is paused')
  t.equal(runReason({ state: 'RUNNING' }, { now: 2, isAway: true }), away)
  t.equal(runReason({ state: 'PREPARING' }, { now: 2 }), 'the run is being prepared')
  t.equal(runReason({ state: 'FINISHED', endedAt: 49, stop }, { now: 99 }), undefined, 'it had ended before')
  t.equal(runReason({ state: 'FINISHED', endedAt: 60, stop }, { now: 99 }), 'the next run of the job was due')
})
