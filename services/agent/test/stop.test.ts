import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { blockSize, downTopic } from '@fleetgate/contracts/fleet'
import { until } from '@fleetgate/testkit'
import t from 'tap'
import { clientId } from './bare.js'
import { type Centre, command, finished, offer, sendCommand, short, step } from './centre.js'
import { makeFolders, startMachine, writeProgram } from './machine.js'

t.setTimeout(120_000)

const reason = 'the run was cancelled'

function stop(centre: Centre, executionId: string, attempt = 1): void {
  centre.send(downTopic(clientId, 'stop'), Buffer.from(JSON.stringify({ executionId, attempt, reason })))
}

const begun = (centre: Centre, executionId: string, scriptId: number) =>
  until(
    () => centre.events(executionId).some((event) => event.kind === 'STEP_STARTED' && event.scriptId === scriptId),
    { what: `step ${scriptId} to begin` }
  )

t.test('a stop ends a running program and everything after it, once', async (t) => {
  const folders = makeFolders(t)
  const pidFile = join(folders.root, 'pid')
  writeProgram(folders, 'long', [`echo $$ > ${pidFile}`, 'exec sleep 300'])
  writeProgram(folders, 'never', [`touch ${folders.root}/ran`])
  const { centre } = await startMachine(t, folders)
  const scripts = [
    step(1, 'EXECUTE_FILE', { filePath: 'bin/long' }),
    step(2, 'EXECUTE_FILE', { filePath: 'bin/never' })
  ]
  const tasks = [
    { taskId: 1, name: 'one', order: 1, scripts },
    { taskId: 2, name: 'two', order: 2, scripts: [step(3, 'EXECUTE_FILE', { filePath: 'bin/never' })] }
  ]
  sendCommand(centre, { ...command('e1', []), tasks })
  const pid = await until(() => existsSync(pidFile) && Number(readFileSync(pidFile, 'utf8')), { what: 'the program' })
  stop(centre, 'e1')
  const events = await finished(centre, 'e1')
  t.strictSame(short(events).slice(-6), [
    'STEP_STARTED 1',
    'STEP_ENDED 1 FAILED',
    'STEP_ENDED 2 SKIPPED',
    'TASK_ENDED FAILED',
    'TASK_ENDED SKIPPED',
    'FINISHED FAILED'
  ])
  t.match(events.at(-1)?.message, reason)
  t.notOk(existsSync(`/proc/${pid}`), 'the program is gone')
  t.notOk(existsSync(join(folders.root, 'ran')))
  const reports = centre.reports.length
  stop(centre, 'e1')
  await until(() => centre.reports.length > reports, { what: 'the reports once more' })
  t.strictSame(short(centre.events('e1')), short(events), 'and nothing else')
})

t.test('a stop cuts transfers, waits, retries, and what has not begun', async (t) => {
  const folders = makeFolders(t)
  const { centre } = await startMachine(t, folders, { env: { CONCURRENCY: '3' } })
  centre.passBlock = () => false
  const source = { sources: { 1: offer(centre, randomBytes(3 * blockSize)) } }
  const retries = { filePath: 'none', targetFilePath: 'x', retryTimes: 5, retryInterval: 300 }
  const waits = step(1, 'WAIT_FLAG_FILE', { filePath: 'none', timeout: 300 })
  sendCommand(centre, command('fetches', [step(1, 'SEND_FILE', { filePath: 'x', targetFilePath: 'x' })], source))
  sendCommand(centre, command('waits', [waits]))
  sendCommand(centre, command('retries', [step(1, 'COPY_FILE', retries)]))
  sendCommand(centre, command('queued', [waits]))
  for (const id of ['fetches', 'waits', 'retries']) await begun(centre, id, 1)
  stop(centre, 'queued')
  t.match((await finished(centre, 'queued')).at(-1), { status: 'FAILED', message: new RegExp(reason) }, 'at once')
  for (const id of ['fetches', 'waits', 'retries']) {
    stop(centre, id)
    const events = await finished(centre, id)
    t.match(events.at(-1), { status: 'FAILED', message: new RegExp(reason) }, id)
  }
})

t.test('a stop that comes before its command, or for another attempt', async (t) => {
  const folders = makeFolders(t)
  writeProgram(folders, 'log', [`echo ran >> ${folders.root}/runs`])
  const { centre } = await startMachine(t, folders)
  const log = [step(1, 'EXECUTE_FILE', { filePath: 'bin/log' })]
  stop(centre, 'e1')
  t.match((await finished(centre, 'e1')).at(-1), { status: 'FAILED', message: reason })
  sendCommand(centre, command('e1', log))
  sendCommand(centre, command('e1', log, { attempt: 2 }))
  t.match((await finished(centre, 'e1', 2)).at(-1), { status: 'SUCCESS' }, 'a new attempt is a new decision')
  t.equal(readFileSync(join(folders.root, 'runs'), 'utf8'), 'ran\n', 'the stopped attempt never began')
  stop(centre, 'e1', 1)
  const waits = [step(1, 'WAIT_FLAG_FILE', { filePath: 'flag', timeout: 300 })]
  sendCommand(centre, command('e2', waits, { attempt: 2 }))
  await until(() => centre.events('e2', 2).length > 2, { what: 'the wait' })
  stop(centre, 'e2', 1)
  stop(centre, 'e2', 2)
  t.match((await finished(centre, 'e2', 2)).at(-1), { status: 'FAILED', message: new RegExp(reason) })
})
