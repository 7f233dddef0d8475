import { monitorEventLoopDelay } from 'node:perf_hooks'
import { quietLog } from '@fleetgate/testkit'
import t from 'tap'
import { createPasswordPool } from '../src/passwords/passwordPool.js'

await t.test('hashes and compares, salted', async (t) => {
  const pool = createPasswordPool({ workers: 2, queue: 10, log: quietLog })
  t.teardown(() => pool.close())
  const [one, two] = await Promise.all([pool.hash('password'), pool.hash('password')])
  t.match(one, /^\$2b\$10\$/)
  t.not(one, two)
  t.equal(await pool.matches('password', one), true)
  t.equal(await pool.matches('passwort', one), false)
  const decoy = pool.decoy()
  t.match(decoy, /^\$2b\$10\$[./A-Za-z0-9]{53}$/, 'of the same cost')
  t.equal(await pool.matches('password', decoy), false)
})

await t.test('refuses what does not fit its queue and finishes the rest', async (t) => {
  const pool = createPasswordPool({ workers: 1, queue: 3, log: quietLog })
  t.teardown(() => pool.close())
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => pool.hash('password')))
  const refused = results.filter((result) => result.status === 'rejected')
  t.equal(results.length - refused.length, 4, 'one at work and three waiting')
  for (const { reason } of refused) t.match(reason, { code: 'rate_limited', details: { retryAfter: 1 } })
})

await t.test('leaves the event loop free while it works', async (t) => {
  const pool = createPasswordPool({ workers: 1, queue: 10, log: quietLog })
  t.teardown(() => pool.close())
  await pool.hash('warm up')
  let beats = 0
  const heart = setInterval(() => beats++, 1)
  t.teardown(() => clearInterval(heart))
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await Promise.all(Array.from({ length: 6 }, () => pool.hash('password')))
  delay.disable()
  t.ok(beats > 20, `${beats} timer beats, longest delay ${delay.max / 1e6} ms`)
})

await t.test('refuses what waits when it closes', async (t) => {
  const pool = createPasswordPool({ workers: 1, queue: 10, log: quietLog })
  const jobs = [pool.hash('password'), pool.hash('password')].map((job) => t.rejects(job, { code: 'unavailable' }))
  await pool.close()
  await Promise.all(jobs)
  await t.rejects(pool.hash('password'), { code: 'unavailable' })
})
