/**
 * The agent dies by kill -9 and comes back. It runs as a process of its own (mortal.ts), wired to this one, and kills itself
 * before or after the n-th time something is made durable.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { blockSize, castFilter, type ReportEvent } from '@fleetgate/contracts/fleet'
import { until } from '@fleetgate/testkit'
import t, { type Test } from 'tap'
import { readClaim } from '../src/runs/runFiles.js'
import { buildBundle } from '../tools/buildBundle.js'
import { type Centre, command, createCentre, hashOf, sendCast, sendCommand, short, step } from './centre.js'
import { type Folders, makeFolders, writeProgram } from './machine.js'
import type { FromAgent } from './mortal.js'

t.setTimeout(390_000)

/** As one file, as on machines, a life begins in a fraction of the time: this test is mostly lives that begin. */
const folder = mkdtempSync(join(tmpdir(), 'mortal-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const main = await buildBundle(join(folder, 'mortal.mjs'), fileURLToPath(new URL('./mortal.js', import.meta.url)))

interface Mortal {
  process: ChildProcess
  ended: Promise<unknown>
  kill(): Promise<unknown>
}

async function startMortal(t: Test, folders: Folders, centre: Centre, env: NodeJS.ProcessEnv = {}): Promise<Mortal> {
  const { state, root, programs } = folders
  // Without the hooks that the test runner puts into every process: to load them takes longer than the life.
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, main], {
    env: { ...process.env, STATE_DIR: state, ROOTS: root, PROGRAMS: programs, ...env },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'advanced'
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  const kill = () => {
    child.kill('SIGKILL')
    return ended
  }
  t.teardown(kill)
  centre.send = (topic, payload) => child.connected && child.send({ topic, payload }, () => undefined)
  child.on('message', ({ topic, payload, id }: FromAgent) => {
    void centre
      .published(topic, Buffer.from(payload))
      .then(() => child.connected && child.send({ id }, () => undefined))
  })
  const hellos = () => centre.topics.filter((topic) => topic.endsWith('/hello')).length
  const before = hellos()
  await Promise.race([until(() => hellos() > before, { what: 'a hello' }), ended])
  return { process: child, ended, kill }
}

const isFinished = (centre: Centre) => centre.events('e1').at(-1)?.kind === 'FINISHED'

/** Same seq, same event: a life of the agent never says anything else than the one before. */
function contradictions(centre: Centre): ReportEvent[] {
  const known = new Map<number, string>()
  return centre.reports
    .flatMap(({ events }) => events)
    .filter((event) => {
      const text = JSON.stringify(event)
      const isOther = (known.get(event.seq) ?? text) !== text
      known.set(event.seq, text)
      return isOther
    })
}

interface World {
  folders: Folders
  centre: Centre
  bytes: Buffer
  sent: object
}

/** A file of some blocks, a decision about it, and a program that must run exactly once. */
function makeWorld(t: Test): World {
  const folders = makeFolders(t)
  const centre = createCentre()
  const bytes = randomBytes(5 * blockSize + 100)
  centre.store.set(hashOf(bytes), bytes)
  writeProgram(folders, 'once', [`echo ran >> ${folders.root}/runs.log`, `sha256sum < ${folders.root}/data`])
  const scripts = [
    step(1, 'SEND_FILE', { filePath: 'data', targetFilePath: 'data' }),
    step(2, 'IF', {
      conditions: [step(3, 'GET_FILE_STATUS', { filePath: 'data' })],
      true: [step(4, 'EXECUTE_FILE', { filePath: 'bin/once' })]
    })
  ]
  const files = [{ path: '', sha256: hashOf(bytes), size: bytes.length }]
  return { folders, centre, bytes, sent: command('e1', scripts, { sources: { 1: { files } } }) }
}

/** One life with a death at that point, then another without; answers whether the first one died. */
async function dieOnce(t: Test, world: World, when: string): Promise<boolean> {
  const { folders, centre, sent } = world
  const first = await startMortal(t, folders, centre, { DIE: when })
  sendCommand(centre, sent)
  const died = await Promise.race([
    first.ended.then(() => true),
    until(() => isFinished(centre), { what: 'the end' }).then(() => false)
  ])
  if (!died) {
    await first.kill()
    return false
  }
  await startMortal(t, folders, centre)
  // The scheduler repeats a command until it hears of the machine.
  sendCommand(centre, sent)
  await until(() => isFinished(centre), { what: `the end after ${when}` })
  return true
}

async function proveOnce(t: Test, world: World, when: string): Promise<boolean> {
  const died = await dieOnce(t, world, when)
  const { folders, centre, bytes } = world
  const ran = existsSync(join(folders.root, 'runs.log')) ? readFileSync(join(folders.root, 'runs.log'), 'utf8') : ''
  t.equal(ran, 'ran\n', `${when}: the program ran exactly once`)
  t.ok(readFileSync(join(folders.root, 'data')).equals(bytes), `${when}: the file is whole`)
  const events = centre.events('e1')
  t.equal(events.at(-1)?.status, 'SUCCESS', `${when}: success`)
  t.equal(events.find(({ kind, scriptId }) => kind === 'STEP_ENDED' && scriptId === 4)?.output, `${hashOf(bytes)}  -\n`)
  t.strictSame(contradictions(centre), [], `${when}: no event changed`)
  t.strictSame(
    events.map(({ seq }) => seq),
    events.map((_, index) => index + 1),
    `${when}: no event is missing`
  )
  t.strictSame(readdirSync(folders.root).sort(), ['bin', 'data', 'runs.log'], `${when}: nothing is left behind`)
  return died
}

/** Points `step` apart, some at a time, until a life is over before it comes to its point; answers the deaths. */
async function dieAtEach(t: Test, side: string, step: number): Promise<number> {
  let [next, deaths, isOver] = [1, 0, false]
  const work = async () => {
    while (!isOver) {
      const point = next
      next += step
      if (await proveOnce(t, makeWorld(t), `${side} ${point}`)) deaths += 1
      else isOver = true
    }
  }
  // More than there are cores: a life mostly waits for the disk, for processes to start, for the other side.
  await Promise.all(Array.from({ length: 5 }, work))
  return deaths
}

// The moment after a sync is almost the one before the next: of those every other will do.
for (const { side, step, least } of [
  { side: 'before', step: 1, least: 8 },
  { side: 'after', step: 2, least: 4 }
]) {
  t.test(`killed ${side} each fsync in turn: the file is whole and the program ran once`, async (t) => {
    const deaths = await dieAtEach(t, side, step)
    t.ok(deaths >= least, `${deaths} deaths`)
  })
}

t.test('killed in the middle of a file, it fetches only what it has not got', async (t) => {
  const world = makeWorld(t)
  const { centre, folders } = world
  const bytes = randomBytes(40 * blockSize)
  centre.store.set(hashOf(bytes), bytes)
  const files = [{ path: '', sha256: hashOf(bytes), size: bytes.length }]
  const sent = command('e1', [step(1, 'SEND_FILE', { filePath: 'data', targetFilePath: 'data' })], {
    sources: { 1: { files } }
  })
  const passed: number[] = []
  centre.passBlock = (index) => passed.push(index) > 0
  t.ok(await dieOnce(t, { ...world, sent }, 'block 20'))
  t.ok(readFileSync(join(folders.root, 'data')).equals(bytes))
  t.ok(passed.length >= 40 && passed.length <= 40 + 16, `${passed.length} blocks sent for 40`)
  t.strictSame(readdirSync(folders.root).sort(), ['bin', 'data'])
})

t.test('killed in the middle of a cast, it asks only for what it has not got', async (t) => {
  const folders = makeFolders(t)
  const centre = createCentre()
  const bytes = randomBytes(12 * blockSize)
  centre.store.set(hashOf(bytes), bytes)
  const castId = 'a-cast'
  const files = [{ path: '', sha256: hashOf(bytes), size: bytes.length }]
  const sent = command('e1', [step(1, 'BROADCAST', { filePath: 'data', targetFilePath: 'data' })], {
    sources: { 1: { files, castId } }
  })
  let asked = 0
  centre.passBlock = () => ++asked > 0
  centre.filters.add(castFilter(castId))
  const first = await startMortal(t, folders, centre, { DIE: 'block 9' })
  sendCommand(centre, sent)
  await until(() => centre.joins.length === 1, { what: 'the join' })
  sendCast(centre, castId, bytes, [...Array(12).keys()])
  await first.ended
  await startMortal(t, folders, centre)
  await until(() => centre.joins.length === 2, { what: 'the join of the next life' })
  await until(() => isFinished(centre), { what: 'the end' })
  t.equal(centre.events('e1').at(-1)?.status, 'SUCCESS')
  t.ok(readFileSync(join(folders.root, 'data')).equals(bytes))
  t.equal(asked, 4, 'eight had come')
})

t.test('a stop holds over a death: the program is ended by the next life', async (t) => {
  const folders = makeFolders(t)
  const centre = createCentre()
  const pidFile = join(folders.root, 'pid')
  writeProgram(folders, 'long', [`echo $$ > ${pidFile}`, 'exec sleep 300'])
  const scripts = [step(1, 'EXECUTE_FILE', { filePath: 'bin/long' }), step(2, 'EXECUTE_FILE', { filePath: 'bin/long' })]
  // As if it had died between the journal and the program's end.
  const first = await startMortal(t, folders, centre)
  sendCommand(centre, command('e1', scripts))
  const pid = await until(() => existsSync(pidFile) && Number(readFileSync(pidFile, 'utf8')), { what: 'the program' })
  await first.kill()
  const stopped = { t: 'stopped', executionId: 'e1', attempt: 1, reason: 'the run was cancelled' }
  appendFileSync(join(folders.state, 'journal'), `${JSON.stringify(stopped)}\n`)
  await startMortal(t, folders, centre)
  await until(() => isFinished(centre), { what: 'the end' })
  t.match(centre.events('e1').at(-1), { status: 'FAILED', message: /the run was cancelled/ })
  t.notOk(existsSync(`/proc/${pid}`), 'the program is gone')
  t.ok(short(centre.events('e1')).includes('STEP_ENDED 2 SKIPPED'))
})

t.test('a program goes on while its agent is dead, and its result is found', async (t) => {
  const folders = makeFolders(t)
  const centre = createCentre()
  const flag = join(folders.root, 'flag')
  writeProgram(folders, 'long', [
    `echo begun > ${folders.root}/begun`,
    `while [ ! -e ${flag} ]; do sleep 0.05; done`,
    'echo late',
    'exit 7'
  ])
  const first = await startMortal(t, folders, centre)
  sendCommand(centre, command('e1', [step(1, 'EXECUTE_FILE', { filePath: 'bin/long', retryTimes: 0 })]))
  await until(() => existsSync(join(folders.root, 'begun')), { what: 'the program' })
  await first.kill()
  t.notOk(isFinished(centre))
  const second = await startMortal(t, folders, centre)
  await second.kill()
  writeFileSync(flag, '')
  const [run = ''] = readdirSync(join(folders.state, 'runs'))
  await until(() => existsSync(join(folders.state, 'runs', run, 'exit')), {
    what: 'the exit file, with no agent alive'
  })
  await startMortal(t, folders, centre)
  await until(() => isFinished(centre), { what: 'the end' })
  t.match(
    centre.events('e1').find(({ kind }) => kind === 'STEP_ENDED'),
    { exitCode: 7, output: 'late\n', status: 'FAILED' }
  )
  t.equal(short(centre.events('e1')).filter((text) => text === 'STEP_STARTED 1').length, 1)
})

t.test('a program whose runner vanished is INDETERMINATE and not run again, whatever the retries', async (t) => {
  const folders = makeFolders(t)
  const centre = createCentre()
  const log = join(folders.root, 'runs.log')
  writeProgram(folders, 'long', [`echo $$ >> ${log}`, 'sleep 60'])
  const first = await startMortal(t, folders, centre)
  sendCommand(centre, command('e1', [step(1, 'EXECUTE_FILE', { filePath: 'bin/long', retryTimes: 5 })]))
  await until(() => existsSync(log) && readFileSync(log, 'utf8') !== '', { what: 'the program' })
  await first.kill()
  const [run = ''] = readdirSync(join(folders.state, 'runs'))
  const runner = await until(() => readClaim(join(folders.state, 'runs', run)), { what: 'the claim' })
  process.kill(runner.pid, 'SIGKILL')
  t.teardown(() => process.kill(-Number(readFileSync(log, 'utf8')), 'SIGKILL'))
  await startMortal(t, folders, centre)
  await until(() => isFinished(centre), { what: 'the end' })
  const end = centre.events('e1').find(({ kind }) => kind === 'STEP_ENDED')
  t.match(end, { status: 'FAILED', message: /^INDETERMINATE: .*still runs as process \d+/ })
  t.equal(readFileSync(log, 'utf8').split('\n').length, 2, 'one run')
})

t.test('SIGTERM stops the agent at once and leaves the program to its runner', async (t) => {
  const folders = makeFolders(t)
  const centre = createCentre()
  writeProgram(folders, 'short', [`echo x >> ${folders.root}/runs.log`, 'sleep 1'])
  const first = await startMortal(t, folders, centre)
  sendCommand(centre, command('e1', [step(1, 'EXECUTE_FILE', { filePath: 'bin/short' })]))
  await until(() => existsSync(join(folders.root, 'runs.log')), { what: 'the program' })
  first.process.kill('SIGTERM')
  t.equal(await first.ended, 0, 'a clean exit')
  t.notOk(
    short(centre.events('e1')).some((text) => text.startsWith('STEP_ENDED')),
    'nothing is said to have ended'
  )
  await startMortal(t, folders, centre)
  await until(() => isFinished(centre), { what: 'the end' })
  t.equal(centre.events('e1').at(-1)?.status, 'SUCCESS')
  t.equal(readFileSync(join(folders.root, 'runs.log'), 'utf8'), 'x\n')
})
