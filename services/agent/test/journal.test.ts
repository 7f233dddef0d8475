import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ReportEvent } from '@fleetgate/contracts/fleet'
import { until } from '@fleetgate/testkit'
import t, { type Test } from 'tap'
import { type Book, createBook } from '../src/journal/book.js'
import { openJournal } from '../src/journal/journal.js'
import { quiet } from './bare.js'
import { command, step } from './centre.js'

function fileOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'journal-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'journal')
}

const openIt = (file: string) => openJournal({ file, log: quiet, retryMs: 10 })

const limits = { keepEvents: 2, keepResults: 4, compactBytes: 5000 }
const event = (seq: number, kind: ReportEvent['kind'] = 'STEP_MESSAGE'): ReportEvent => ({ seq, at: 1, kind })

/** Receives, works off and acknowledges an execution. */
async function settle(book: Book, executionId: string): Promise<void> {
  const { attempt } = book.receive(command(executionId, [step(1, 'IF')]), 1)
  for (let seq = 1; seq < 10; seq += 1) void book.addEvent(attempt, event(seq))
  await book.addEvent(attempt, { ...event(10, 'FINISHED'), status: 'SUCCESS' })
  book.acknowledge(attempt, 10)
}

t.test('gives back what was appended, in order', async (t) => {
  const file = fileOf(t)
  const { journal, records } = await openIt(file)
  t.strictSame(records, [])
  await Promise.all(Array.from({ length: 100 }, (_, n) => journal.append({ n })))
  t.equal(readFileSync(file, 'utf8').split('\n').length, 101, 'on disk when the promise resolves')
  await journal.close()
  const again = await openIt(file)
  t.strictSame(
    again.records,
    Array.from({ length: 100 }, (_, n) => ({ n }))
  )
  await again.journal.close()
})

t.test('goes on in the file that it has when another cannot take its place', async (t) => {
  const file = fileOf(t)
  let refusals = 1
  const replace = async (from: string, to: string) => {
    if (refusals-- > 0) throw Object.assign(new Error('in use'), { code: 'EPERM' })
    await rename(from, to)
  }
  const { journal } = await openJournal({ file, log: quiet, retryMs: 10, replace })
  await journal.append({ n: 1 })
  await journal.rewrite(() => [{ short: true }])
  await journal.append({ n: 2 })
  t.equal(readFileSync(file, 'utf8'), '{"n":1}\n{"n":2}\n')
  t.equal(journal.size(), 16)
  await journal.rewrite(() => [{ n: 3 }])
  await journal.append({ n: 4 })
  await journal.close()
  t.equal(readFileSync(file, 'utf8'), '{"n":3}\n{"n":4}\n')
})

t.test('cuts off a last line that is torn at any byte, and goes on', async (t) => {
  const whole = '{"n":1}\n{"n":2}\n'
  for (let length = 0; length <= whole.length; length += 1) {
    const file = fileOf(t)
    writeFileSync(file, whole.slice(0, length))
    const { journal, records } = await openIt(file)
    await journal.append({ n: 'next' })
    await journal.close()
    const expected = [{ n: 1 }, { n: 2 }].slice(0, whole.slice(0, length).split('\n').length - 1)
    t.strictSame(records, expected, `${length} bytes`)
    const again = await openIt(file)
    t.strictSame(again.records, [...expected, { n: 'next' }])
    await again.journal.close()
  }
})

t.test('bytes that were never written (a hole after power loss) are cut off too', async (t) => {
  const file = fileOf(t)
  writeFileSync(file, '{"n":1}\n')
  appendFileSync(file, Buffer.alloc(300))
  const { journal, records } = await openIt(file)
  t.strictSame(records, [{ n: 1 }])
  t.equal(statSync(file).size, 8)
  await journal.close()
})

t.test('waits while the disk refuses, and then loses nothing', async (t) => {
  const file = fileOf(t)
  const { journal } = await openIt(file)
  const handle = await open(file, 'a')
  const prototype = Object.getPrototypeOf(handle)
  await handle.close()
  const real = prototype.datasync
  let refusals = 0
  prototype.datasync = async () => {
    refusals += 1
    throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
  }
  t.teardown(() => {
    prototype.datasync = real
  })
  let isDurable = false
  const appended = journal.append({ n: 1 }).then(() => {
    isDurable = true
  })
  await until(() => refusals > 2, { what: 'tries' })
  t.notOk(isDurable)
  prototype.datasync = real
  await appended
  await journal.close()
  t.equal(readFileSync(file, 'utf8'), '{"n":1}\n', 'once, although it was written several times')
})

t.test('a piece of a line that the disk took is cut off before the line is written again', async (t) => {
  const file = fileOf(t)
  const { journal } = await openIt(file)
  const handle = await open(file, 'a')
  const prototype = Object.getPrototypeOf(handle)
  await handle.close()
  const real = { appendFile: prototype.appendFile, truncate: prototype.truncate }
  const restore = () => Object.assign(prototype, real)
  t.teardown(restore)
  let refusals = 0
  prototype.appendFile = async function (bytes: Buffer) {
    prototype.appendFile = real.appendFile
    await real.appendFile.call(this, bytes.subarray(0, 4))
    throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
  }
  prototype.truncate = async () => {
    refusals += 1
    if (refusals === 3) restore()
    throw Object.assign(new Error('broken'), { code: 'EIO' })
  }
  await journal.append({ n: 1 })
  await journal.append({ n: 2 })
  await journal.close()
  t.equal(readFileSync(file, 'utf8'), '{"n":1}\n{"n":2}\n')
})

t.test('a disk without room for a compaction holds nothing up', async (t) => {
  const file = fileOf(t)
  const { journal } = await openIt(file)
  await journal.append({ n: 1 })
  const openFiles = () => readdirSync('/proc/self/fd').length
  const before = openFiles()
  symlinkSync('/dev/full', `${file}.new`)
  const done = Promise.all([journal.rewrite(() => [{ n: 'anew' }]), journal.append({ n: 2 })]).then(() => true)
  await until(() => Promise.race([done, new Promise<false>((resolve) => setTimeout(() => resolve(false), 20))]), {
    what: 'the line after the compaction'
  })
  t.equal(readFileSync(file, 'utf8'), '{"n":1}\n{"n":2}\n')
  t.equal(openFiles(), before, 'and no file stays open')
  rmSync(`${file}.new`, { force: true })
  await journal.rewrite(() => [{ n: 'anew' }])
  await journal.append({ n: 3 })
  t.equal(readFileSync(file, 'utf8'), '{"n":"anew"}\n{"n":3}\n', 'it is done when there is room')
  await journal.close()
})

t.test('a book read again is the same book', async (t) => {
  const file = fileOf(t)
  const { journal } = await openIt(file)
  const book = createBook(journal, [])
  const { attempt } = book.receive(command('e1', [step(1, 'IF')], { epoch: 3 }), 7)
  void book.addEvent(attempt, { ...event(1, 'STEP_ENDED'), taskId: 1, scriptId: 1, status: 'SUCCESS' }, true)
  void book.addLaunch(attempt, { key: '1/1', folder: 'x', tryNumber: 2 })
  book.adoptEpoch(attempt, 5)
  book.acknowledge(attempt, 1)
  await book.durable()
  await journal.close()
  const { journal: again, records } = await openIt(file)
  t.teardown(() => again.close())
  const twice = createBook(again, [...records, ...records])
  t.strictSame(twice.latest('e1'), attempt, 'also if every line is read twice')
})

t.test('compaction keeps what is unfinished whole, and a result of what is finished', async (t) => {
  const file = fileOf(t)
  const { journal } = await openIt(file)
  const book = createBook(journal, [], limits)
  const unfinished = book.receive(command('unfinished', [step(1, 'IF')]), 1).attempt
  void book.addEvent(unfinished, event(1))
  for (let n = 0; n < 40; n += 1) await settle(book, `e${n}`)
  await until(() => statSync(file).size < 15_000, { what: 'compaction' })
  await book.durable()
  await journal.close()
  t.notOk(existsSync(`${file}.new`))
  const { journal: again, records } = await openIt(file)
  t.teardown(() => again.close())
  const read = createBook(again, records, limits)
  t.strictSame(read.latest('unfinished'), unfinished)
  t.equal(read.latest('e39')?.events.length, 10, 'the newest with all events')
  t.equal(read.latest('e39')?.finished?.status, 'SUCCESS')
  t.equal(read.latest('e0'), undefined, 'the oldest is forgotten')
  const kept = [...read.attempts()].filter(({ finished, events }) => finished && events.length === 1)
  t.ok(kept.length >= 2, 'between them, the result alone')
})

t.test('a half-written compaction is of no account', async (t) => {
  const file = fileOf(t)
  writeFileSync(file, '{"n":1}\n')
  writeFileSync(`${file}.new`, '{"n":')
  const { journal, records } = await openIt(file)
  t.strictSame(records, [{ n: 1 }])
  t.notOk(existsSync(`${file}.new`))
  await journal.close()
})
