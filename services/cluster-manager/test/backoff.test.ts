import t from 'tap'
import { type BackOff, withBackOff } from '../src/providers/backoff.js'
import { CloudProblem, type CloudProblemKind } from '../src/providers/driver.js'
import { problemOf } from './clouds/conformance.js'

const busy = (retryAfterMs?: number, kind: CloudProblemKind = 'throttled') =>
  new CloudProblem(kind, 'busy', retryAfterMs)

/** How long it waited each time for work that fails so often, and how it ended. */
async function waits(problems: CloudProblem[], options: Partial<BackOff> = {}) {
  const waited: number[] = []
  const left = [...problems]
  let clock = 0
  const work = async () => {
    const problem = left.shift()
    if (problem) throw problem
    return 'done'
  }
  const pause = async (ms: number) => {
    waited.push(ms)
    clock += ms
  }
  const signal = new AbortController().signal
  const whole = { until: 1_000_000, now: () => clock, signal, random: () => 0, pause, ...options }
  const done = withBackOff(work, whole)
  return { waited, ended: (await problemOf(done)) ?? (await done), left: left.length }
}

t.test('waits twice as long each time, half a minute at most', async (t) => {
  const { waited, ended } = await waits(Array.from({ length: 9 }, () => busy(undefined, 'unavailable')))
  t.same(waited, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
  t.equal(ended, 'done')
})

t.test('waits as long as the cloud asks for, and never less', async (t) => {
  t.same((await waits([busy(1000), busy(2000)])).waited, [1000, 2000])
})

t.test('those who are told to wait at the same time do not come back at the same time', async (t) => {
  const half = { random: () => 0.5 }
  t.same((await waits([busy(), busy()], half)).waited, [375, 750])
  t.same((await waits([busy(1000), busy(1000)], half)).waited, [1125, 1250])
  const chances = await Promise.all(
    Array.from({ length: 50 }, () => waits([busy(1000)], { random: Math.random }).then(({ waited }) => waited[0] ?? 0))
  )
  t.ok(chances.every((ms) => ms >= 1000 && ms < 1250))
  t.ok(new Set(chances).size > 40)
})

t.test('gives up where the deadline comes before the next try, and at once where no other try helps', async (t) => {
  t.match(await waits([busy(), busy(), busy(60_000), busy()], { until: 10_000 }), {
    waited: [500, 1000],
    ended: { kind: 'throttled', retryAfterMs: 60_000 },
    left: 1
  })
  for (const kind of ['credentials', 'quota', 'capacity', 'invalid'] as const)
    t.match(await waits([busy(undefined, kind), busy()]), { waited: [], ended: { kind }, left: 1 })
})

t.test('an aborted signal ends it, in the middle of a pause too', async (t) => {
  const stop = new AbortController()
  const going = withBackOff(() => Promise.reject(busy(60_000)), {
    until: Number.MAX_SAFE_INTEGER,
    now: Date.now,
    signal: stop.signal,
    onWait: () => setImmediate(() => stop.abort(new Error('told to')))
  })
  t.match(await problemOf(going), { name: 'AbortError' })
})
