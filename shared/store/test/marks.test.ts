import t from 'tap'
import { createMarks } from '../src/marks.js'

t.test('a deep page is reached from the nearest one before it', async (t) => {
  const marks = createMarks(() => 0)
  t.equal(marks.before('a', 50_000), undefined)
  marks.note('a', { offset: 50_000, key: 'fifty' })
  marks.note('a', { offset: 20_000, key: 'twenty' })
  t.match(marks.before('a', 50_000), { offset: 50_000, key: 'fifty' })
  t.match(marks.before('a', 70_000), { offset: 50_000, key: 'fifty' })
  t.match(marks.before('a', 49_999), { offset: 20_000, key: 'twenty' })
  t.equal(marks.before('a', 19_999), undefined)
  t.equal(marks.before('b', 50_000), undefined, 'another list')
})

t.test('pages near the beginning need none', async (t) => {
  const marks = createMarks(() => 0)
  marks.note('a', { offset: 1_999, key: 'near' })
  marks.note('a', { offset: 2_000, key: 'far' })
  t.equal(marks.before('a', 1_999), undefined)
  t.match(marks.before('a', 2_001), { offset: 2_000, key: 'far' })
})

t.test('a place is forgotten after ten seconds, however often it is used', async (t) => {
  let time = 0
  const marks = createMarks(() => time)
  marks.note('a', { offset: 50_000, key: 'first' })
  time = 9_000
  marks.note('a', { offset: 50_000, key: 'second' })
  t.match(marks.before('a', 50_000), { key: 'first' })
  time = 10_001
  t.equal(marks.before('a', 50_000), undefined)
  marks.note('a', { offset: 50_000, key: 'third' })
  t.match(marks.before('a', 50_000), { key: 'third' })
})

t.test('of one list the latest hundred are kept', async (t) => {
  const marks = createMarks(() => 0)
  for (let i = 0; i <= 100; i += 1) marks.note('a', { offset: 10_000 + i, key: i })
  t.equal(marks.before('a', 10_000), undefined)
  t.match(marks.before('a', 10_001), { key: 1 })
})

t.test('a place found from an older one is forgotten with it', async (t) => {
  let time = 0
  const marks = createMarks(() => time)
  marks.note('a', { offset: 50_000, key: 'first' })
  time = 9_000
  marks.note('a', { offset: 50_050, key: 'next', from: marks.before('a', 50_050) })
  t.match(marks.before('a', 50_050), { key: 'next' })
  time = 10_001
  t.equal(marks.before('a', 50_050), undefined)
})
