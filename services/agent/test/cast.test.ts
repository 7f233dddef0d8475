import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { blockSize, castFilter, type Step } from '@fleetgate/contracts/fleet'
import { until } from '@fleetgate/testkit'
import t from 'tap'
import { type Centre, command, finished, hashOf, offer, sendCast, sendCommand, step } from './centre.js'
import { makeFolders, startMachine } from './machine.js'

t.setTimeout(120_000)

const castId = 'c'.repeat(32)

/** A BROADCAST of these contents to `in/`, each under its number. */
function broadcast(centre: Centre, id: string, contents: Buffer[], fields: Partial<Step> = {}): void {
  const files = contents.map((bytes, index) => {
    const [file] = offer(centre, bytes).files
    return { ...file, path: String(index) }
  })
  const scripts = [step(1, 'BROADCAST', { filePath: 'x', targetFilePath: 'in', createFilePath: true, ...fields })]
  sendCommand(centre, command(id, scripts, { sources: { 1: { files, castId } } as never }))
}

const indexesOf = (bytes: Buffer) => Array.from({ length: Math.ceil(bytes.length / blockSize) }, (_, index) => index)
const joined = (centre: Centre, bytes: Buffer) =>
  until(() => centre.joins.find(({ sha256 }) => sha256 === hashOf(bytes)), { what: 'a join' })
const asked = (centre: Centre) => centre.topics.filter((topic) => topic.endsWith('/up/blocks')).length

t.test('a machine listens before it joins, takes what is cast, and asks for nothing', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders)
  const contents = [randomBytes(3 * blockSize + 5), randomBytes(100), Buffer.alloc(0)]
  broadcast(centre, 'e1', contents, { transferOption: { rateLimit: 10_000_000 } })
  for (const bytes of contents.slice(0, 2)) {
    t.match(await joined(centre, bytes), { castId, rateLimit: 10_000_000, gzip: false })
    t.ok(centre.filters.has(castFilter(castId)), 'subscribed')
  }
  for (const bytes of contents.slice(0, 2)) sendCast(centre, castId, bytes, indexesOf(bytes))
  t.match((await finished(centre, 'e1')).at(-1), { status: 'SUCCESS' })
  for (const [index, bytes] of contents.entries()) {
    t.ok(readFileSync(join(folders.root, 'in', String(index))).equals(bytes))
  }
  t.equal(asked(centre), 0)
  await until(() => centre.filters.size === 0, { what: 'the end of the subscription' })
  broadcast(centre, 'e2', contents)
  t.match((await finished(centre, 'e2')).at(-1), { status: 'SUCCESS' })
  t.equal(centre.joins.length, 2, 'what is there is not waited for')
})

t.test('blocks that are lost, doubled, damaged or in disorder are made good by asking for them', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders)
  const bytes = randomBytes(20 * blockSize + 7)
  broadcast(centre, 'e1', [bytes])
  await joined(centre, bytes)
  const wrong = Buffer.from(bytes)
  wrong[4 * blockSize] = (wrong[4 * blockSize] ?? 0) ^ 1
  const right = centre.send
  centre.send = (topic, payload) => right(topic, topic.includes('/4/') ? wrong.subarray(0, blockSize) : payload)
  sendCast(centre, castId, bytes, [7, 7, 3, 1, 0, 9, 4, 12, 11, 12, 20])
  centre.send = right
  t.match((await finished(centre, 'e1')).at(-1), { status: 'SUCCESS' })
  t.ok(readFileSync(join(folders.root, 'in/0')).equals(bytes))
  t.ok(asked(centre) > 0)
})

t.test('a machine that hears nothing, or is not let in, asks for all of it', async (t) => {
  const folders = makeFolders(t)
  const { centre, wire } = await startMachine(t, folders)
  const [late, refused] = [randomBytes(2 * blockSize), randomBytes(2 * blockSize)]
  broadcast(centre, 'e1', [late])
  await joined(centre, late)
  t.equal(asked(centre), 0, 'not at once')
  t.match((await finished(centre, 'e1')).at(-1), { status: 'SUCCESS' })
  wire.subscribe = () => Promise.reject(new Error('refused'))
  broadcast(centre, 'e2', [refused])
  t.match((await finished(centre, 'e2')).at(-1), { status: 'SUCCESS' })
  t.ok(readFileSync(join(folders.root, 'in/0')).equals(refused))
})

t.test('a lost connection is joined again', async (t) => {
  const folders = makeFolders(t)
  const { centre, wire } = await startMachine(t, folders)
  const bytes = randomBytes(6 * blockSize)
  broadcast(centre, 'e1', [bytes])
  await joined(centre, bytes)
  sendCast(centre, castId, bytes, [0, 1, 2])
  wire.down()
  wire.up()
  await until(() => centre.joins.length === 2, { what: 'the second join' })
  sendCast(centre, castId, bytes, [3, 4, 5])
  t.match((await finished(centre, 'e1')).at(-1), { status: 'SUCCESS' })
  t.ok(readFileSync(join(folders.root, 'in/0')).equals(bytes))
})

t.test('what is compressed comes out plain, whichever way it came', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders)
  const sent: string[] = []
  const send = centre.send
  centre.send = (topic, payload) => {
    if (topic.includes('/block/')) sent.push(`${topic.split('/')[1]} ${topic.endsWith('/gzip')} ${payload.length}`)
    send(topic, payload)
  }
  const text = Buffer.from('the same words again and again\n'.repeat(20_000))
  const noise = randomBytes(1000)
  const transferOption = { compress: true, note: 'kept' }
  const files = (bytes: Buffer) => ({ sources: { 1: offer(centre, bytes) } })
  const fetchTo = (id: string, bytes: Buffer) => {
    const scripts = [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: id, transferOption })]
    sendCommand(centre, command(id, scripts, files(bytes)))
    return finished(centre, id)
  }
  t.match((await fetchTo('e1', text)).at(-1), { status: 'SUCCESS' })
  t.ok(readFileSync(join(folders.root, 'e1')).equals(text))
  t.ok(sent.length === 3 && sent.every((one) => /^till-1 true \d{3,4}$/.test(one)), sent.join())
  await fetchTo('e2', noise)
  t.equal(sent.at(-1), 'till-1 false 1000', 'plain where that is smaller')

  const cast = Buffer.from('cast '.repeat(100_000))
  broadcast(centre, 'e3', [cast], { transferOption })
  t.match(await joined(centre, cast), { gzip: true })
  sendCast(centre, castId, cast, indexesOf(cast), true)
  t.match((await finished(centre, 'e3')).at(-1), { status: 'SUCCESS' })
  t.ok(readFileSync(join(folders.root, 'in/0')).equals(cast))

  let segmentBytes = 0
  const published = centre.published
  centre.published = (topic, payload) => {
    if (/^\$file\/.*\/\d+\//.test(topic)) segmentBytes += payload.length
    return published(topic, payload)
  }
  const report = Buffer.from('figures '.repeat(90_000))
  writeFileSync(join(folders.root, 'report'), report)
  sendCommand(centre, command('e4', [step(1, 'UPLOAD_TO_SERVER', { filePath: 'report', transferOption })]))
  t.match((await finished(centre, 'e4')).at(-1), { status: 'SUCCESS' })
  t.ok(centre.store.get(hashOf(report))?.equals(report))
  t.ok(segmentBytes < report.length / 20, `${segmentBytes} bytes sent for ${report.length}`)
})

t.test('a rate is kept, down and up', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders)
  const bytes = randomBytes(4 * blockSize)
  const transferOption = { rateLimit: 2 * blockSize }
  const timed = async (way: string, work: () => Promise<unknown>) => {
    const begun = performance.now()
    await work()
    const ms = performance.now() - begun
    t.ok(ms >= 1400 && ms < 30_000, `${way}: four blocks at two a second, the first at once: ${ms} ms`)
  }
  const done = async (id: string, one: Step, sources = {}) => {
    sendCommand(centre, command(id, [one], { sources }))
    t.match((await finished(centre, id)).at(-1), { status: 'SUCCESS' })
  }
  const isStored = () => centre.store.get(hashOf(bytes))?.equals(bytes)
  const down = step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: 'x', transferOption })
  await timed('down', () => done('e1', down, { 1: offer(centre, bytes) }))
  centre.store.clear()
  await timed('up', () => done('e2', step(2, 'UPLOAD_TO_SERVER', { filePath: 'x', transferOption })))
  t.ok(isStored())
})

t.test('what a SERVER is asked to offer moves as the question says', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders, { env: { ROLE: 'SERVER' } })
  const bytes = Buffer.from('words '.repeat((4 * blockSize) / 6 + 1))
  writeFileSync(join(folders.root, 'x'), bytes)
  let segmentBytes = 0
  const published = centre.published
  centre.published = (topic, payload) => {
    if (/^\$file\/.*\/\d+\//.test(topic)) segmentBytes += payload.length
    return published(topic, payload)
  }
  const transferOption = { rateLimit: 2 * blockSize, compress: true }
  const begun = performance.now()
  const ask = (stageId: string, more: object) => {
    const question = { stageId, runId: 'run', path: 'x', ignoreHiddenFile: false, ...more }
    centre.send('fleet/till-1/down/stage', Buffer.from(JSON.stringify(question)))
  }
  const answered = (count: number) => until(() => centre.staged.length === count, { what: `${count} answers` })
  ask('s1', { transferOption })
  ask('s2', { transferOption })
  await answered(2)
  const ms = performance.now() - begun
  t.ok(ms >= 1400, `four blocks at two a second, the first at once: ${ms} ms`)
  t.ok(segmentBytes > 0 && segmentBytes < bytes.length / 20, `${segmentBytes} bytes sent for ${bytes.length}`)
  t.ok(centre.store.get(hashOf(bytes))?.equals(bytes))
  ask('s3', {})
  await answered(3)
  const files = [{ path: '', sha256: hashOf(bytes), size: bytes.length }]
  for (const staged of centre.staged) t.match(staged, { files })
})
