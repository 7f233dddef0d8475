import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { blockSize, compile, Report } from '@fleetgate/contracts/fleet'
import { until } from '@fleetgate/testkit'
import t from 'tap'
import { command, finished, hashOf, offer, sendCommand, short, step } from './centre.js'
import { configOf, makeFolders, startMachine, writeProgram } from './machine.js'

const checkReport = compile(Report)

t.test('sends a file, decides, runs the program, and reports each step', async (t) => {
  const folders = makeFolders(t)
  writeProgram(folders, 'check', [
    'sha256sum "$1"',
    'pwd',
    'echo "[$2]"',
    'printenv MQTT_PASSWORD || echo "nothing secret"'
  ])
  process.env.MQTT_PASSWORD = 'hidden'
  t.teardown(() => delete process.env.MQTT_PASSWORD)
  const { centre } = await startMachine(t, folders)
  const bytes = randomBytes(3 * blockSize + 17)
  const scripts = [
    step(1, 'SEND_FILE', { filePath: '/srv/data.bin', targetFilePath: 'new/folder/', createFilePath: true }),
    step(2, 'IF', {
      conditions: [step(3, 'GET_FILE_STATUS', { filePath: 'new/folder/data.bin' })],
      true: [step(4, 'EXECUTE_FILE', { filePath: 'bin/check', arguments: ['../new/folder/data.bin', 'a b; $(id)'] })],
      false: [step(5, 'EXECUTE_FILE', { filePath: 'bin/none' })]
    })
  ]
  sendCommand(centre, command('e1', scripts, { sources: { 1: offer(centre, bytes) } }))
  const events = await finished(centre, 'e1')
  t.strictSame(short(events), [
    'RECEIVED',
    'TASK_STARTED',
    'STEP_STARTED 1',
    'STEP_ENDED 1 SUCCESS',
    'STEP_STARTED 2',
    'STEP_STARTED 3',
    'STEP_ENDED 3 SUCCESS',
    'STEP_ENDED 2 SUCCESS',
    'STEP_ENDED 5 SKIPPED',
    'STEP_STARTED 4',
    'STEP_ENDED 4 SUCCESS',
    'TASK_ENDED SUCCESS',
    'FINISHED SUCCESS'
  ])
  t.strictSame(
    events.map(({ seq }) => seq),
    events.map((_, index) => index + 1),
    'numbered without gaps'
  )
  for (const report of centre.reports) t.doesNotThrow(() => checkReport(report), 'as the contract says')
  t.ok(readFileSync(join(folders.root, 'new/folder/data.bin')).equals(bytes))
  t.strictSame(readdirSync(join(folders.root, 'new/folder')), ['data.bin'], 'no part file is left')
  const program = events.find(({ kind, scriptId }) => kind === 'STEP_ENDED' && scriptId === 4)
  t.equal(program?.exitCode, 0)
  t.equal(
    program?.output,
    `${hashOf(bytes)}  ../new/folder/data.bin\n${folders.programs}\n[a b; $(id)]\nnothing secret\n`
  )
  t.equal(events.find(({ scriptId, kind }) => kind === 'STEP_ENDED' && scriptId === 2)?.message, 'true')
  t.strictSame(readdirSync(join(folders.state, 'runs')), [], 'the run folder has served')
})

t.test('says who it is after each connect', async (t) => {
  const { centre, wire } = await startMachine(t, makeFolders(t), { env: { ATTRIBUTES: '{"city":"Bern"}' } })
  const hellos = () => centre.topics.filter((topic) => topic === 'fleet/till-1/up/hello').length
  await until(() => hellos() === 1, { what: 'a hello' })
  const attributes = { os: process.platform, city: 'Bern', ip: /./, hostname: /./, diskFree: /^[1-9]\d*$/ }
  t.match(centre.hellos[0], { role: 'STORE', version: /^\d+\.\d+/, attributes })
  wire.down()
  wire.up()
  await until(() => hellos() === 2, { what: 'another hello' })
})

t.test('a false condition takes the other branch and is no failure', async (t) => {
  const folders = makeFolders(t)
  writeProgram(folders, 'good', ['exit 0'])
  const { centre } = await startMachine(t, folders)
  const branches = {
    true: [step(4, 'EXECUTE_FILE', { filePath: 'bin/none' })],
    false: [step(5, 'EXECUTE_FILE', { filePath: 'bin/good' })]
  }
  const conditions = [step(2, 'GET_FILE_STATUS', { filePath: 'none' }), step(3, 'GET_FILE_STATUS', { filePath: 'bin' })]
  sendCommand(centre, command('e1', [step(1, 'IF', { conditions, ...branches })]))
  t.strictSame(short(await finished(centre, 'e1')).slice(2), [
    'STEP_STARTED 1',
    'STEP_STARTED 2',
    'STEP_ENDED 2 FAILED',
    'STEP_ENDED 3 SKIPPED',
    'STEP_ENDED 1 SUCCESS',
    'STEP_ENDED 4 SKIPPED',
    'STEP_STARTED 5',
    'STEP_ENDED 5 SUCCESS',
    'TASK_ENDED SUCCESS',
    'FINISHED SUCCESS'
  ])
})

t.test('a condition that cannot be decided fails the IF instead of taking a branch', async (t) => {
  const { centre } = await startMachine(t, makeFolders(t))
  const conditions = [step(2, 'GET_FILE_STATUS', { filePath: '/etc/passwd' })]
  sendCommand(
    centre,
    command('e1', [step(1, 'IF', { conditions, false: [step(3, 'GET_FILE_STATUS', { filePath: 'bin' })] })])
  )
  const events = await finished(centre, 'e1')
  t.match(events.at(-1), { status: 'FAILED', message: /outside of the allowed folders/ })
  t.notOk(
    events.some(({ scriptId }) => scriptId === 3),
    'neither branch is touched'
  )
})

t.test('a failed step ends its task, and a failed task the execution', async (t) => {
  const folders = makeFolders(t)
  writeProgram(folders, 'bad', ['echo why >&2', 'exit 3'])
  const { centre } = await startMachine(t, folders)
  const first = [step(1, 'EXECUTE_FILE', { filePath: 'bin/bad' }), step(2, 'GET_FILE_STATUS', { filePath: 'bin' })]
  const second = [step(3, 'GET_FILE_STATUS', { filePath: 'bin' })]
  const tasks = [
    { taskId: 8, name: 'late', order: 2, scripts: second },
    { taskId: 9, name: 'first', order: 1, scripts: first }
  ]
  sendCommand(centre, command('e1', [], { tasks }))
  const events = await finished(centre, 'e1')
  t.strictSame(short(events).slice(1), [
    'TASK_STARTED',
    'STEP_STARTED 1',
    'STEP_ENDED 1 FAILED',
    'STEP_ENDED 2 SKIPPED',
    'TASK_ENDED FAILED',
    'TASK_ENDED SKIPPED',
    'FINISHED FAILED'
  ])
  t.match(
    events.find(({ status }) => status === 'FAILED'),
    { exitCode: 3, output: 'why\n', message: 'exit code 3' }
  )
  t.match(events.at(-1)?.message, /task 'first': EXECUTE_FILE \(script 1\): exit code 3/)
})

t.test('steps that need not be waited for run beside and are joined at the end of the task', async (t) => {
  const folders = makeFolders(t)
  const [flag, mark] = [join(folders.root, 'flag'), join(folders.root, 'mark')]
  writeProgram(folders, 'waits', [`while [ ! -e ${flag} ]; do sleep 0.05; done`, `echo done > ${mark}`, 'exit 1'])
  writeProgram(folders, 'releases', [`echo go > ${flag}`])
  const { centre } = await startMachine(t, folders)
  const beside = step(1, 'EXECUTE_FILE', { filePath: 'bin/waits', block: false })
  sendCommand(centre, command('e1', [beside, step(2, 'EXECUTE_FILE', { filePath: 'bin/releases' })]))
  const events = await finished(centre, 'e1')
  t.ok(existsSync(mark), 'both ran at the same time, and the end waited for both')
  t.match(events.at(-1), { status: 'FAILED', message: /exit code 1/ }, 'its failure is the failure of the task')
})

t.test('tries a step again as often as it says', async (t) => {
  const folders = makeFolders(t)
  const count = join(folders.root, 'count')
  writeProgram(folders, 'third', [`echo x >> ${count}`, `[ $(wc -l < ${count}) -ge 3 ]`])
  const { centre } = await startMachine(t, folders)
  const flaky = (retryTimes: number) => [
    step(1, 'EXECUTE_FILE', { filePath: 'bin/third', retryTimes, retryInterval: 0.01 })
  ]
  sendCommand(centre, command('e1', flaky(1)))
  t.equal((await finished(centre, 'e1')).at(-1)?.status, 'FAILED')
  sendCommand(centre, command('e2', flaky(4)))
  const events = await finished(centre, 'e2')
  t.equal(events.at(-1)?.status, 'SUCCESS', 'the third run in all succeeds')
  t.equal(readFileSync(count, 'utf8'), 'x\nx\nx\n')
})

t.test('ends a program, and its children, when its time is over', async (t) => {
  const folders = makeFolders(t)
  writeProgram(folders, 'slow', ['echo begun', 'sleep 60 & wait'])
  const { centre } = await startMachine(t, folders)
  sendCommand(centre, command('e1', [step(1, 'EXECUTE_FILE', { filePath: 'bin/slow', timeout: 0.5 })]))
  const events = await finished(centre, 'e1')
  t.match(
    events.find(({ kind }) => kind === 'STEP_ENDED'),
    { status: 'FAILED', message: 'ended after 0.5 s', output: 'begun\n' }
  )
})

t.test('reports only the end of a long output, in whole characters', async (t) => {
  const folders = makeFolders(t)
  writeProgram(folders, 'loud', ['i=0; while [ $i -lt 3000 ]; do echo "☃ $i"; i=$((i+1)); done'])
  const { centre } = await startMachine(t, folders)
  sendCommand(centre, command('e1', [step(1, 'EXECUTE_FILE', { filePath: 'bin/loud' })]))
  const output = (await finished(centre, 'e1')).find(({ kind }) => kind === 'STEP_ENDED')?.output ?? ''
  t.ok(Buffer.byteLength(output) <= 4096 && Buffer.byteLength(output) > 4000)
  t.ok(output.endsWith('☃ 2999\n'))
  t.notMatch(output, /\ufffd/)
})

t.test('refuses what it may not or cannot do, with the reason', async (t) => {
  const folders = makeFolders(t)
  writeFileSync(join(folders.root, 'plain'), '')
  writeFileSync(join(folders.programs, 'no-mode'), '')
  writeProgram(folders, 'no-shebang', [])
  writeFileSync(join(folders.programs, 'broken'), '#!/no/such/shell\n', { mode: 0o755 })
  const { centre } = await startMachine(t, folders)
  const source = offer(centre, randomBytes(10))
  const cases: [ReturnType<typeof step>, RegExp][] = [
    [step(1, 'EXECUTE_FILE', { filePath: 'plain' }), /not on the list of allowed programs/],
    [step(1, 'EXECUTE_FILE', { filePath: '/bin/sh', arguments: ['-c', 'id'] }), /not on the list/],
    [step(1, 'EXECUTE_FILE', { filePath: 'bin/no-mode' }), /not executable/],
    [step(1, 'EXECUTE_FILE', { filePath: 'bin/broken' }), /could not be started: .*ENOENT/],
    [step(1, 'EXECUTE_FILE', {}), /filePath is required/],
    [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: '../x' }), /holds '\.\.'/],
    [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: 'c:\\x' }), /Windows path/],
    [step(1, 'SEND_FILE', { filePath: '..', targetFilePath: 'in/' }), /no file name/],
    [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: 'no/such/x' }), /does not exist \(createFilePath is off\)/]
  ]
  for (const [index, [one, message]] of cases.entries()) {
    sendCommand(centre, command(`e${index}`, [one], { sources: { 1: source } }))
    const end = (await finished(centre, `e${index}`)).find(({ kind }) => kind === 'STEP_ENDED')
    t.match(end, { status: 'FAILED', message }, String(message))
  }
  sendCommand(
    centre,
    command('unstaged', [step(1, 'SEND_FILE', { targetFilePath: 'x' })], {
      sources: { 1: { error: 'no SERVER has it' } }
    })
  )
  t.match((await finished(centre, 'unstaged')).at(-1), { status: 'FAILED', message: /no SERVER has it/ })
  sendCommand(centre, {
    ...command('odd', []),
    tasks: [{ taskId: 1, name: 'x', order: 1, scripts: [step(1, 'DANCE' as 'IF')] }]
  })
  t.match((await finished(centre, 'odd')).at(-1), {
    status: 'FAILED',
    message: /unsupported command: .*type must be one of/
  })
  t.strictSame(readdirSync(folders.root).sort(), ['bin', 'plain'], 'nothing was made')
})

t.test('a repeated command restarts nothing and gets the same answer', async (t) => {
  const folders = makeFolders(t)
  const [count, flag] = [join(folders.root, 'count'), join(folders.root, 'flag')]
  writeProgram(folders, 'counts', [`echo x >> ${count}`, `while [ ! -e ${flag} ]; do sleep 0.05; done`])
  const { centre } = await startMachine(t, folders)
  const sent = command('e1', [step(1, 'EXECUTE_FILE', { filePath: 'bin/counts' })])
  sendCommand(centre, sent)
  await until(() => existsSync(count), { what: 'the program' })
  sendCommand(centre, { ...sent, epoch: 4 })
  writeFileSync(flag, '')
  const events = await finished(centre, 'e1')
  t.equal(centre.reports.at(-1)?.epoch, 4, 'the higher epoch is adopted')
  const seen = centre.reports.length
  sendCommand(centre, { ...sent, epoch: 2 })
  await until(() => centre.reports.slice(seen).some((report) => report.events.at(-1)?.kind === 'FINISHED'), {
    what: 'the answer'
  })
  t.strictSame(
    centre.reports.slice(seen).flatMap((report) => report.events),
    events,
    'all events once more, unchanged'
  )
  t.equal(centre.reports.at(-1)?.epoch, 4)
  t.equal(readFileSync(count, 'utf8'), 'x\n', 'the program ran once')
})

t.test('a newer attempt ends the older one before it begins; an older one is ignored', async (t) => {
  const folders = makeFolders(t)
  const log = join(folders.root, 'log')
  writeProgram(folders, 'logs', [
    `echo begin $1 >> ${log}`,
    `trap 'echo end $1 >> ${log}; exit 1' TERM`,
    '[ $1 = 2 ] || { sleep 60 & wait; }'
  ])
  const { centre } = await startMachine(t, folders)
  const attempt = (n: number) =>
    command('e1', [step(1, 'EXECUTE_FILE', { filePath: 'bin/logs', arguments: [`${n}`] })], { attempt: n })
  sendCommand(centre, attempt(1))
  await until(() => existsSync(log), { what: 'the first program' })
  sendCommand(centre, attempt(2))
  t.equal((await finished(centre, 'e1', 2)).at(-1)?.status, 'SUCCESS')
  t.match((await finished(centre, 'e1', 1)).at(-1), { status: 'FAILED', message: /superseded by attempt 2/ })
  t.equal(readFileSync(log, 'utf8'), 'begin 1\nend 1\nbegin 2\n')
  sendCommand(centre, attempt(1))
  sendCommand(centre, command('e2', []))
  await finished(centre, 'e2')
  t.equal(readFileSync(log, 'utf8'), 'begin 1\nend 1\nbegin 2\n', 'a late command of attempt 1 starts nothing')
})

t.test('works off one execution after the other, in order', async (t) => {
  const folders = makeFolders(t)
  const log = join(folders.root, 'log')
  writeProgram(folders, 'logs', [`echo + >> ${log}; sleep 0.1; echo - >> ${log}`])
  const { centre } = await startMachine(t, folders)
  for (const id of ['e1', 'e2', 'e3'])
    sendCommand(centre, command(id, [step(1, 'EXECUTE_FILE', { filePath: 'bin/logs' })]))
  await finished(centre, 'e3')
  t.equal(readFileSync(log, 'utf8'), '+\n-\n'.repeat(3))
})

t.test('begins nothing after the deadline of the run', async (t) => {
  const folders = makeFolders(t)
  let now = 1000
  // By the system's clock: what passes before a command is in the journal counts.
  const expiresInMs = 60_000
  writeProgram(folders, 'good', [])
  const { centre } = await startMachine(t, folders, { elapsed: () => now })
  const scripts = [step(1, 'EXECUTE_FILE', { filePath: 'bin/good' })]
  sendCommand(centre, command('in-time', scripts, { expiresInMs }))
  t.equal((await finished(centre, 'in-time')).at(-1)?.status, 'SUCCESS')
  writeProgram(folders, 'slow', ['sleep 0.3'])
  const slow = [step(1, 'EXECUTE_FILE', { filePath: 'bin/slow' }), step(2, 'EXECUTE_FILE', { filePath: 'bin/good' })]
  sendCommand(centre, command('slow', slow, { expiresInMs }))
  sendCommand(centre, command('late', scripts, { expiresInMs }))
  await until(() => centre.events('slow').some(({ kind }) => kind === 'STEP_STARTED'), { what: 'the first step' })
  now += expiresInMs + 1
  t.strictSame(short(await finished(centre, 'slow')).slice(2, 5), [
    'STEP_STARTED 1',
    'STEP_ENDED 1 SUCCESS',
    'STEP_ENDED 2 FAILED'
  ])
  t.match((await finished(centre, 'late')).at(-1), { status: 'FAILED', message: /deadline has passed/ })
})

t.test('a clock that is a day wrong, or is put right on the way, ends no run', async (t) => {
  const folders = makeFolders(t)
  const day = 86_400_000
  let skew = -day
  const clock = { now: () => Date.now() + skew }
  writeProgram(folders, 'good', [])
  writeProgram(folders, 'long', [`while [ ! -e ${folders.root}/flag ]; do sleep 0.05; done`])
  const { centre, agent } = await startMachine(t, folders, clock)
  const scripts = [step(1, 'EXECUTE_FILE', { filePath: 'bin/long' }), step(2, 'EXECUTE_FILE', { filePath: 'bin/good' })]
  sendCommand(centre, command('e1', scripts, { expiresInMs: 3_600_000 }))
  await until(() => centre.events('e1').some(({ kind }) => kind === 'STEP_STARTED'), { what: 'the first step' })
  // As a machine without a battery does when it hears what time it is.
  skew = 0
  writeFileSync(join(folders.root, 'flag'), '')
  t.match((await finished(centre, 'e1')).at(-1), { status: 'SUCCESS' })
  const off = centre.reports[0]
  t.ok(off && off.sentAt < Date.now() - day / 2, 'what it says of the time tells the scheduler how wrong it is')
  await agent.stop()

  rmSync(join(folders.root, 'flag'))
  skew = day
  const second = await startMachine(t, folders, { ...clock, centre })
  sendCommand(centre, command('e2', scripts, { expiresInMs: 3_600_000 }))
  await until(() => centre.events('e2').some(({ kind }) => kind === 'STEP_STARTED'), { what: 'the first step' })
  await second.agent.stop()
  skew = 0
  // Before the moment at which it took the command, as far as it can tell.
  await startMachine(t, folders, { ...clock, centre })
  writeFileSync(join(folders.root, 'flag'), '')
  t.match((await finished(centre, 'e2')).at(-1), { status: 'SUCCESS' })
})

t.test('a report is sent until it is acknowledged, in order, and stamped anew', async (t) => {
  const folders = makeFolders(t)
  const { centre, wire } = await startMachine(t, folders)
  centre.acknowledges = (topic) => !topic.endsWith('/report')
  sendCommand(centre, command('e1', [step(1, 'GET_FILE_STATUS', { filePath: 'bin' })]))
  await until(() => centre.reports.length > 0, { what: 'a report' })
  wire.down()
  const before = centre.reports.length
  centre.acknowledges = () => true
  wire.up()
  sendCommand(centre, command('e2', []))
  await finished(centre, 'e2')
  const again = centre.reports.slice(before).filter(({ executionId }) => executionId === 'e1')
  t.equal(again[0]?.events[0]?.seq, 1, 'what was not acknowledged comes again')
  t.ok((again[0]?.sentAt ?? 0) >= (centre.reports[0]?.sentAt ?? 0))
  const seqs = again.flatMap((report) => report.events.map(({ seq }) => seq))
  t.strictSame(
    seqs,
    [...seqs].sort((a, b) => a - b)
  )
  wire.down()
  wire.up()
  const count = centre.reports.length
  sendCommand(centre, command('e3', []))
  await finished(centre, 'e3')
  t.notOk(
    centre.reports.slice(count).some(({ executionId }) => executionId === 'e1'),
    'what was acknowledged does not'
  )
})

t.test('garbage from the wire harms nobody', async (t) => {
  const { centre } = await startMachine(t, makeFolders(t))
  for (const channel of ['execution', 'stage', 'file-info', 'block', 'block/x/1/y', 'new']) {
    for (const text of ['', '{', 'null', '[]', '{"executionId":{"$gt":""}}', '"x"'])
      centre.send(`fleet/till-1/down/${channel}`, Buffer.from(text))
  }
  sendCommand(centre, command('../../e1', []))
  t.equal((await finished(centre, '../../e1')).at(-1)?.status, 'SUCCESS')
})

t.test('refuses a configuration that it cannot keep safe', async (t) => {
  const folders = makeFolders(t)
  const config = (env: NodeJS.ProcessEnv) => () => configOf(folders, env)
  t.throws(config({ ROOTS: 'relative' }), /ROOTS must hold absolute paths/)
  t.throws(config({ ROOTS: '[]' }), /ROOTS/)
  t.throws(config({ ROOTS: '["/a"' }), /ROOTS is not valid JSON/)
  t.throws(config({ CLIENT_ID: 'a/#' }), /CLIENT_ID/)
  t.throws(config({ ROLE: 'BOTH' }), /ROLE must be one of SERVER, STORE/)
  t.strictSame(configOf(folders, { ROOTS: '/a:/b', PROGRAMS: '["/x:y"]' }).roots, ['/a', '/b'])
  t.strictSame(configOf(folders, { PROGRAMS: '["/x:y"]' }).programs, ['/x:y'])
  const inside = { ...folders, state: join(folders.root, 'state') }
  await t.rejects(startMachine(t, inside), /must not lie within each other/)
  await startMachine(t, folders)
  await t.rejects(startMachine(t, folders), /in use by the agent with pid/, 'nor two agents on one state folder')
})
