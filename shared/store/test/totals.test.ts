import t from 'tap'
import { createTotals } from '../src/totals.js'

/** A list of so many rows, counted when the test says so. */
function listOf(rows: number) {
  const list = { rows, counts: 0, release: () => {} }
  const held = () =>
    new Promise<void>((resolve) => {
      list.release = resolve
    })
  const count = async (first: Promise<void>) => {
    list.counts++
    await first
    return list.rows
  }
  return { list, now: () => count(Promise.resolve()), later: () => count(held()) }
}

t.test('a short list is counted anew each time', async (t) => {
  const { list, now } = listOf(10_000)
  const totals = createTotals(() => 0)
  t.equal(await totals.of('a', now), 10_000)
  list.rows = 9
  t.equal(await totals.of('a', now), 9)
  t.equal(list.counts, 2)
})

t.test('a long one is remembered for two seconds, each by itself', async (t) => {
  let time = 0
  const totals = createTotals(() => time)
  const { list, now } = listOf(20_000)
  t.equal(await totals.of('a', now), 20_000)
  list.rows = 30_000
  time = 2_000
  t.equal(await totals.of('a', now), 20_000)
  t.equal(await totals.of('b', now), 30_000, 'another list')
  t.equal(list.counts, 2)
})

t.test('an old total answers while one count is made, a very old one waits for it', async (t) => {
  let time = 0
  const totals = createTotals(() => time)
  const { list, now, later } = listOf(20_000)
  await totals.of('a', now)
  list.rows = 30_000
  time = 2_001
  t.equal(await totals.of('a', later), 20_000)
  t.equal(await totals.of('a', later), 20_000)
  t.equal(list.counts, 2, 'one count for both')
  list.release()
  await new Promise(setImmediate)
  t.equal(await totals.of('a', later), 30_000)
  list.rows = 40_000
  time = 12_002
  const waits = totals.of('a', later)
  list.release()
  t.equal(await waits, 40_000)
})

t.test('a count that fails leaves the old total and is tried again; one that shrank is forgotten', async (t) => {
  let time = 0
  const totals = createTotals(() => time)
  const { list, now } = listOf(20_000)
  const away = () => Promise.reject(new Error('away'))
  await t.rejects(totals.of('a', away), { message: 'away' })
  await totals.of('a', now)
  time = 2_001
  t.equal(await totals.of('a', away), 20_000)
  time = 12_000
  await t.rejects(totals.of('a', away), { message: 'away' })
  list.rows = 5
  t.equal(await totals.of('a', now), 5)
  list.rows = 6
  t.equal(await totals.of('a', now), 6)
})

t.test('what counts as long may be said', async (t) => {
  const { list, now } = listOf(2_000)
  const totals = createTotals(() => 0)
  await totals.of('a', now, 1_000)
  list.rows = 3_000
  t.equal(await totals.of('a', now, 1_000), 2_000)
  t.equal(list.counts, 1)
})
