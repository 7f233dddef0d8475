import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import promises, { open } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join } from 'node:path'
import { blockSize, type Offer, type Step } from '@fleetgate/contracts/fleet'
import { until } from '@fleetgate/testkit'
import t from 'tap'
import { command, createCentre, finished, hashOf, offer, sendCommand, step } from './centre.js'
import { makeFolders, startMachine } from './machine.js'

t.test('overWrite decides about a file that is there', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders)
  const bytes = randomBytes(1000)
  const source = offer(centre, bytes)
  const asked = () => centre.topics.filter((topic) => topic.endsWith('/up/blocks')).length
  let count = 0
  const send = async (target: string, overWrite: 'OVERWRITE' | 'NOT_OVERWRITE' | 'COMPARE_OVERWRITE') => {
    const before = asked()
    const id = `e${count++}`
    sendCommand(
      centre,
      command(id, [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: target, overWrite })], {
        sources: { 1: source }
      })
    )
    const end = (await finished(centre, id)).find(({ kind }) => kind === 'STEP_ENDED')
    return { status: end?.status, message: end?.message, fetched: asked() > before }
  }
  for (const mode of ['OVERWRITE', 'NOT_OVERWRITE', 'COMPARE_OVERWRITE'] as const) {
    const path = join(folders.root, mode)
    t.match(await send(mode, mode), { status: 'SUCCESS', fetched: true }, `${mode}: a new file`)
    t.equal(statSync(path).mode & 0o777, 0o644)
    chmodSync(path, 0o600)
    t.match(
      await send(mode, mode),
      { status: 'SUCCESS', fetched: false },
      `${mode}: the same content is not fetched again`
    )
    writeFileSync(path, 'x'.repeat(1000))
    const isKept = mode === 'NOT_OVERWRITE'
    t.match(await send(mode, mode), { status: 'SUCCESS', fetched: !isKept }, `${mode}: other content of the same size`)
    t.equal(readFileSync(path).equals(bytes), !isKept)
    t.equal(statSync(path).mode & 0o777, 0o600, 'its permissions stay')
  }
  t.match(await send('bin', 'OVERWRITE'), { status: 'SUCCESS' }, 'a folder takes the name of the file')
  t.equal(statSync(join(folders.programs, 'x')).mode & 0o777, 0o755, 'and in a folder of programs it becomes one')
  mkdirSync(join(folders.root, 'taken/x'), { recursive: true })
  t.match(await send('taken/', 'OVERWRITE'), { status: 'FAILED', message: /not a regular file/ })
})

t.test('an empty file is a file', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders)
  const scripts = [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: 'empty' })]
  sendCommand(centre, command('e1', scripts, { sources: { 1: offer(centre, Buffer.alloc(0)) } }))
  t.equal((await finished(centre, 'e1')).at(-1)?.status, 'SUCCESS')
  t.equal(statSync(join(folders.root, 'empty')).size, 0)
})

t.test('goes on receiving where it was when the connection ends', async (t) => {
  const folders = makeFolders(t)
  const { centre, wire } = await startMachine(t, folders)
  const bytes = randomBytes(40 * blockSize)
  const passed: number[] = []
  let isCut = false
  centre.passBlock = (index) => {
    passed.push(index)
    if (passed.length === 20 && !isCut) {
      isCut = true
      wire.down()
      setImmediate(wire.up)
    }
    return true
  }
  const scripts = [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: 'x' })]
  sendCommand(centre, command('e1', scripts, { sources: { 1: offer(centre, bytes) } }))
  t.equal((await finished(centre, 'e1')).at(-1)?.status, 'SUCCESS')
  t.ok(readFileSync(join(folders.root, 'x')).equals(bytes))
  t.ok(isCut && passed.length < 70, `${passed.length} blocks sent for 40`)
})

t.test('a content that the store does not have, or has wrong, never reaches the target', async (t) => {
  const folders = makeFolders(t)
  writeFileSync(join(folders.root, 'x'), 'old')
  const { centre } = await startMachine(t, folders)
  const bytes = randomBytes(2 * blockSize)
  const scripts = [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: 'x' })]
  const files = [{ path: '', sha256: hashOf(bytes), size: bytes.length }]
  sendCommand(centre, command('e1', scripts, { sources: { 1: { files } } }))
  t.match((await finished(centre, 'e1')).at(-1), { status: 'FAILED', message: /no such content/ })
  centre.store.set(hashOf(bytes), randomBytes(bytes.length))
  sendCommand(centre, command('e2', scripts, { sources: { 1: { files } } }))
  t.match((await finished(centre, 'e2')).at(-1), { status: 'FAILED', message: /do not add up/ })
  t.equal(readFileSync(join(folders.root, 'x'), 'utf8'), 'old')
  t.strictSame(readdirSync(folders.root).sort(), ['bin', 'x'])
  centre.store.set(hashOf(bytes), bytes)
  sendCommand(centre, command('e3', scripts, { sources: { 1: { files } } }))
  t.equal((await finished(centre, 'e3')).at(-1)?.status, 'SUCCESS', 'and later the right one does')
})

t.test('a disk that fills up on the way fails the step, with the reason, and is not left full', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders)
  const handle = await open(folders.root)
  const prototype = Object.getPrototypeOf(handle)
  await handle.close()
  const real = prototype.write
  const restore = () => {
    prototype.write = real
  }
  t.teardown(restore)
  let blocks = 0
  prototype.write = function (bytes: Buffer, ...rest: unknown[]) {
    if (bytes.length === blockSize && ++blocks > 3)
      throw Object.assign(new Error('ENOSPC: no room'), { code: 'ENOSPC' })
    return real.call(this, bytes, ...rest)
  }
  const sources = { 1: offer(centre, randomBytes(8 * blockSize)) }
  const send = (id: string) => {
    sendCommand(centre, command(id, [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: 'x' })], { sources }))
    return finished(centre, id)
  }
  t.match((await send('e1')).at(-1), { status: 'FAILED', message: /ENOSPC/ })
  t.strictSame(readdirSync(folders.root), ['bin'])
  t.strictSame(readdirSync(join(folders.state, 'transfers')), [])
  restore()
  t.match((await send('e2')).at(-1), { status: 'SUCCESS' }, 'with room it goes on')
})

t.test('a file that goes on needs room for the rest of it alone', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders)
  const real = promises.statfs
  const restore = () => {
    promises.statfs = real
    syncBuiltinESMExports()
  }
  t.teardown(restore)
  const leave = (blocks: number) => {
    promises.statfs = (async () => ({ bavail: blocks, bsize: blockSize })) as unknown as typeof real
    syncBuiltinESMExports()
  }
  const bytes = randomBytes(8 * blockSize)
  const send = (id: string, attempt = 1) => {
    const fields = { attempt, sources: { 1: offer(centre, bytes) } }
    sendCommand(centre, command(id, [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: 'x' })], fields))
    return finished(centre, id, attempt)
  }
  leave(7)
  t.match((await send('e1')).at(-1), { status: 'FAILED', message: /no room for 2097152 bytes/ })
  t.strictSame(readdirSync(folders.root), ['bin'], 'and nothing is begun')
  leave(8)
  centre.passBlock = (index) => index < 5
  const first = send('e2')
  await until(() => partBlocks(folders.root) === 5, { what: 'five blocks' })
  leave(3)
  centre.passBlock = () => true
  // A newer attempt ends the one at work, and goes on with its file.
  t.match((await send('e2', 2)).at(-1), { status: 'SUCCESS' })
  t.match((await first).at(-1), { status: 'FAILED', message: /superseded/ })
  t.ok(readFileSync(join(folders.root, 'x')).equals(bytes))
})

/** Whole blocks of the one unfinished file. */
function partBlocks(root: string): number {
  const part = readdirSync(root).find((name) => name.endsWith('.part'))
  return part === undefined ? 0 : Math.floor(statSync(join(root, part)).size / blockSize)
}

t.test('what others have put in the place of an unfinished file is not written to', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders)
  const bytes = randomBytes(2 * blockSize)
  const source = offer(centre, bytes)
  const other = join(folders.base, 'other')
  for (const [id, put] of [
    ['hard link', linkSync],
    ['link', symlinkSync],
    ['fifo', (_other: string, path: string) => execFileSync('mkfifo', [path])]
  ] as const) {
    writeFileSync(other, 'mine')
    const target = join(realpathSync(folders.root), id)
    const name = `.fleetgate-${hashOf(Buffer.from(target)).slice(0, 16)}-${hashOf(bytes).slice(0, 16)}.part`
    put(other, join(folders.root, name))
    const scripts = [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: id })]
    sendCommand(centre, command(id, scripts, { sources: { 1: source } }))
    t.match((await finished(centre, id)).at(-1), { status: 'SUCCESS' }, id)
    t.equal(readFileSync(other, 'utf8'), 'mine')
    t.ok(readFileSync(target).equals(bytes) && lstatSync(target).isFile() && statSync(target).nlink === 1)
  }
})

t.test('a SERVER offers its files once, whoever asks', async (t) => {
  const folders = makeFolders(t)
  const bytes = randomBytes(5 * blockSize + 1)
  writeFileSync(join(folders.root, 'data'), bytes)
  symlinkSync('/etc/passwd', join(folders.root, 'link'))
  const { centre } = await startMachine(t, folders, { env: { ROLE: 'SERVER' } })
  const stage = (stageId: string, path: string) => {
    centre.send(
      'fleet/till-1/down/stage',
      Buffer.from(JSON.stringify({ stageId, runId: 'run', path, ignoreHiddenFile: false }))
    )
    return until(() => centre.staged.find((staged) => staged.stageId === stageId), { what: stageId })
  }
  const answers = await Promise.all(['s1', 's2', 's3', 's1'].map((id) => stage(id, 'data')))
  const files = [{ path: '', sha256: hashOf(bytes), size: bytes.length }]
  for (const answer of answers) t.match(answer, { runId: 'run', files })
  t.ok(centre.store.get(hashOf(bytes))?.equals(bytes))
  const segments = () => centre.topics.filter((topic) => topic.startsWith('$file/') && !/init|fin/.test(topic)).length
  t.equal(segments(), 6, 'uploaded once')
  t.match(await stage('s4', 'data'), { files }, 'and known the next time')
  t.equal(segments(), 6)
  for (const [path, error] of [
    ['none', /does not exist/],
    ['../x', /holds '\.\.'/],
    ['link', /out of the allowed/],
    ['bin', /holds no file to send/],
    ['*.txt', /no file fits/],
    ['/etc/*', /outside of the allowed/]
  ] as const) {
    t.match(await stage(`bad ${path}`, path), { error }, path)
  }
})

t.test('a SERVER offers folders and patterns as a list of files, taken once', async (t) => {
  const folders = makeFolders(t)
  for (const path of ['a.txt', 'b.txt', 'sub/c.bin', '.hidden']) {
    mkdirSync(dirname(join(folders.root, 'out', path)), { recursive: true })
    writeFileSync(join(folders.root, 'out', path), path)
  }
  symlinkSync('/etc/passwd', join(folders.root, 'out/link.txt'))
  const { centre } = await startMachine(t, folders, { env: { ROLE: 'SERVER' } })
  const stage = (stageId: string, path: string, ignoreHiddenFile = false) => {
    const payload = JSON.stringify({ stageId, runId: 'r', path, ignoreHiddenFile })
    centre.send('fleet/till-1/down/stage', Buffer.from(payload))
    return until(() => centre.staged.find((staged) => staged.stageId === stageId)?.files, { what: stageId })
  }
  const entry = (path: string) => ({ path, sha256: hashOf(Buffer.from(path)), size: path.length })
  t.strictSame(await stage('s1', 'out'), ['.hidden', 'a.txt', 'b.txt', 'sub/c.bin'].map(entry))
  t.strictSame(await stage('s2', 'out', true), ['a.txt', 'b.txt', 'sub/c.bin'].map(entry))
  const files = await stage('s3', 'out/*.txt')
  t.strictSame(files, ['a.txt', 'b.txt'].map(entry))
  t.equal(centre.store.size, 4)

  // The same machine may receive, too: the list unfolds below the target.
  const send = (id: string, target: string, createFilePath: boolean) => {
    const scripts = [step(1, 'SEND_FILE', { filePath: 'out', targetFilePath: target, createFilePath })]
    sendCommand(centre, command(id, scripts, { sources: { 1: { files: [...files, entry('sub/c.bin')] } } }))
    return finished(centre, id)
  }
  t.match((await send('e1', 'in', false)).at(-1), { status: 'FAILED', message: /folder in does not exist/ })
  t.match((await send('e2', 'in', true)).at(-1), { status: 'SUCCESS' })
  t.strictSame(readdirSync(join(folders.root, 'in'), { recursive: true }).sort(), [
    'a.txt',
    'b.txt',
    'sub',
    'sub/c.bin'
  ])
  const outside = { path: '../x', sha256: hashOf(Buffer.from('a.txt')), size: 5 }
  const scripts = [step(1, 'SEND_FILE', { filePath: 'out', targetFilePath: 'in', createFilePath: true })]
  sendCommand(centre, command('e3', scripts, { sources: { 1: { files: [outside] } } }))
  t.match((await finished(centre, 'e3')).at(-1), { status: 'FAILED', message: /no file name/ })
})

t.test('UPLOAD_TO_SERVER stores files once, and goes on where a connection was cut', async (t) => {
  const folders = makeFolders(t)
  const bytes = randomBytes(12 * blockSize + 5)
  writeFileSync(join(folders.root, 'big'), bytes)
  const { centre, wire } = await startMachine(t, folders)
  const segments = () => centre.topics.filter((topic) => topic.startsWith('$file/') && !/init|fin/.test(topic)).length
  let isCut = false
  centre.acknowledges = (topic) => {
    if (isCut || segments() < 6 || !topic.startsWith('$file/')) return true
    isCut = true
    wire.down()
    setImmediate(wire.up)
    return false
  }
  const upload = async (id: string, filePath: string, fields: Partial<Step> = {}) => {
    sendCommand(centre, command(id, [step(1, 'UPLOAD_TO_SERVER', { filePath, ...fields })]))
    return (await finished(centre, id)).find(({ kind }) => kind === 'STEP_ENDED')
  }
  t.match(await upload('e1', 'big', { targetFilePath: '/results/till.bin' }), {
    status: 'SUCCESS',
    message: `stored till.bin, ${bytes.length} bytes, sha256 ${hashOf(bytes)}`
  })
  t.ok(centre.store.get(hashOf(bytes))?.equals(bytes))
  t.equal(centre.names[0], 'till.bin', 'people see the name of the target')
  t.ok(isCut && segments() >= 13 && segments() <= 13 + 4, `${segments()} segments sent for 13`)
  const sent = segments()
  t.match(await upload('e2', 'big'), { status: 'SUCCESS' })
  t.equal(segments(), sent, 'what the store has is not sent again')
  t.match(await upload('e3', 'none'), { status: 'FAILED', message: /does not exist/ })
  t.match(await upload('e4', '/etc/passwd'), { status: 'FAILED', message: /outside/ })
})

t.test('RECV_FILE stores the file, offers it until a SERVER has it, and says how that went', async (t) => {
  const folders = makeFolders(t)
  writeFileSync(join(folders.root, 'day.csv'), 'figures')
  const { centre } = await startMachine(t, folders)
  const run = (id: string, fields: Partial<Step> = {}) =>
    sendCommand(centre, command(id, [step(7, 'RECV_FILE', { filePath: 'day.csv', targetFilePath: 'in/', ...fields })]))
  const answer = (offer: Offer | undefined, end: object) =>
    centre.send('fleet/till-1/down/offer-end', Buffer.from(JSON.stringify({ offerId: offer?.offerId, ...end })))
  run('e1')
  const offer = await until(() => centre.offers[0], { what: 'an offer' })
  const files = [{ path: '', sha256: hashOf(Buffer.from('figures')), size: 7 }]
  t.match(offer, { executionId: 'e1', attempt: 1, scriptId: 7, files })
  t.equal(centre.store.get(hashOf(Buffer.from('figures')))?.toString(), 'figures', 'in the store before it is offered')
  for (const waiting of ['no SERVER is online', 'no SERVER is online']) answer(offer, { waiting })
  answer({ ...offer, offerId: 'another' }, { message: 'not this one' })
  answer(offer, { message: 'received there' })
  const events = await finished(centre, 'e1')
  t.strictSame(
    events.flatMap(({ scriptId, message }) => (scriptId === 7 && message ? [message] : [])),
    ['no SERVER is online', 'received there'],
    'the reason to wait is said once'
  )
  run('e2')
  answer(await until(() => centre.offers[1], { what: 'the second offer' }), { error: 'no room' })
  t.match((await finished(centre, 'e2')).at(-1), { status: 'FAILED', message: /no room/ })
  run('e3', { timeout: 0.1 })
  t.match((await finished(centre, 'e3')).at(-1), { status: 'FAILED', message: /no SERVER machine has taken it/ })
})

t.test('a SERVER takes what is offered to it, and answers each time it is asked', async (t) => {
  const folders = makeFolders(t)
  const bytes = randomBytes(3 * blockSize)
  const { centre } = await startMachine(t, folders, { env: { ROLE: 'SERVER' } })
  const order = {
    from: 'till-9',
    ...offer(centre, bytes),
    name: 'day.csv',
    targetFilePath: 'in/till-9/',
    createFilePath: true,
    overWrite: 'OVERWRITE'
  }
  const receive = async (offerId: string, fields: object = {}) => {
    centre.send('fleet/till-1/down/receive', Buffer.from(JSON.stringify({ offerId, ...order, ...fields })))
    return until(() => centre.received.find((received) => received.offerId === offerId), { what: offerId })
  }
  const blocks = () => centre.topics.filter((topic) => topic.endsWith('/up/blocks')).length
  t.match(await receive('o1'), { from: 'till-9', message: /^received .*in\/till-9\/day.csv/ })
  t.ok(readFileSync(join(folders.root, 'in/till-9/day.csv')).equals(bytes))
  const asked = blocks()
  t.match(await receive('o2'), { message: /has this content already/ })
  t.equal(blocks(), asked, 'nothing was fetched again')
  t.match(await receive('o3', { targetFilePath: '../out/' }), { error: /holds '\.\.'/ })
  t.match(await receive('o4', { targetFilePath: '/etc/x' }), { error: /outside/ })
  t.match(await receive('o5', { name: '..' }), { error: /no file name/ })
  const both = ['o6', 'o7'].map((id) => receive(id, { ...offer(centre, randomBytes(100)), targetFilePath: 'same' }))
  for (const received of await Promise.all(both)) t.match(received, { message: /^received/ }, 'one after the other')
})

t.test('a STORE takes nothing', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders)
  const order = { from: 'x', name: 'x', targetFilePath: 'x', createFilePath: false, overWrite: 'OVERWRITE' }
  const payload = JSON.stringify({ offerId: 'o', ...order, ...offer(centre, Buffer.from('x')) })
  centre.send('fleet/till-1/down/receive', Buffer.from(payload))
  t.match(await until(() => centre.received[0], { what: 'an answer' }), { error: /not a SERVER/ })
  t.strictSame(readdirSync(folders.root), ['bin'])
})

t.test('a STORE offers nothing', async (t) => {
  const folders = makeFolders(t)
  writeFileSync(join(folders.root, 'data'), 'x')
  const centre = createCentre()
  await startMachine(t, folders, { centre })
  centre.send(
    'fleet/till-1/down/stage',
    Buffer.from(JSON.stringify({ stageId: 's', runId: 'r', path: 'data', ignoreHiddenFile: false }))
  )
  t.match(await until(() => centre.staged[0], { what: 'an answer' }), { error: /not a SERVER/ })
  t.equal(centre.store.size, 0)
})
