/** The process that runs one program for the agent, when the disk is full or the program does not want to end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '@fleetgate/testkit'
import t, { type Test } from 'tap'
import { outputFile, type RunOrder, readExit, wishEnd, writeOrder } from '../src/runs/runFiles.js'
import { mainFile } from '../src/self.js'
import { finished, sendCommand, step, command as toCommand } from './centre.js'
import { makeFolders, startMachine, writeProgram } from './machine.js'

t.setTimeout(240_000)

interface Run {
  folder: string
  root: string
  runner: ChildProcess
}

/** `full` names files of the run folder whose drafts meet a full disk. */
async function startRun(t: Test, lines: string[], full: string[] = [], order: Partial<RunOrder> = {}): Promise<Run> {
  const folders = makeFolders(t)
  const folder = join(folders.base, 'run')
  mkdirSync(folder)
  for (const name of full) symlinkSync('/dev/full', join(folder, `${name}.new`))
  const program = writeProgram(folders, 'program', lines)
  await writeOrder(folder, { program, args: [], cwd: folders.root, timeoutMs: 60_000, ...order })
  const runner = spawn(process.execPath, [mainFile, 'runner', folder], { stdio: 'ignore' })
  t.teardown(() => runner.kill('SIGKILL'))
  return { folder, root: folders.root, runner }
}

const exitOf = ({ folder }: Run) => until(() => readExit(folder), { what: 'the exit', deadlineMs: 30_000 })

t.test('a program at work is not called one that could not be started, whatever cannot be noted of it', async (t) => {
  const run = await startRun(t, ['sleep 0.2', 'exit 3'], ['program'])
  t.strictSame(await exitOf(run), { exitCode: 3 })
})

t.test('a disk that is full when the program ends costs time, not the result', async (t) => {
  const run = await startRun(t, ['echo x > ran', 'exit 4'], ['exit'])
  await until(() => existsSync(join(run.root, 'ran')), { what: 'the program', deadlineMs: 30_000 })
  let isGone = false
  run.runner.once('exit', () => {
    isGone = true
  })
  // Longer than the program takes to end: the runner has to try again.
  await new Promise((resolve) => setTimeout(resolve, 1500))
  t.notOk(isGone, 'the runner stays')
  rmSync(join(run.folder, 'exit.new'))
  t.strictSame(await exitOf(run), { exitCode: 4 })
})

t.test('a runner whose folder is gone does not stay for ever', async (t) => {
  const run = await startRun(t, ['while [ ! -e go ]; do sleep 0.05; done'])
  // The last that it writes there before the end.
  await until(() => existsSync(join(run.folder, 'program')), { what: 'the program', deadlineMs: 30_000 })
  const ended = new Promise((resolve) => run.runner.once('exit', resolve))
  rmSync(run.folder, { recursive: true })
  writeProgram({ base: '', root: '', state: '', programs: run.root }, 'go', [])
  t.equal(await ended, 0)
})

t.test('children that do not care for the first signal end too, though the program itself does', async (t) => {
  const stubborn = "(trap '' TERM; exec sleep 300) & echo $! > pid"
  const run = await startRun(t, [stubborn, 'echo x > ready', 'wait'])
  await until(() => existsSync(join(run.root, 'ready')), { what: 'the program', deadlineMs: 30_000 })
  const pid = Number(readFileSync(join(run.root, 'pid'), 'utf8'))
  run.runner.kill('SIGTERM')
  t.match(await exitOf(run), { cancelled: true })
  const isOver = () => !existsSync(`/proc/${pid}`) || /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  await until(isOver, { what: 'the end of the child', deadlineMs: 30_000 })
})

t.test('a program ends by a file too, where there are no signals', async (t) => {
  const run = await startRun(t, ['echo x > ready', 'sleep 300'])
  await until(() => existsSync(join(run.root, 'ready')), { what: 'the program', deadlineMs: 30_000 })
  await wishEnd(run.folder)
  t.match(await exitOf(run), { cancelled: true, signal: 'SIGTERM' })
})

t.test('a program whose end was wished before it began is not started', async (t) => {
  const folders = makeFolders(t)
  const program = writeProgram(folders, 'program', ['echo x > ran'])
  const folder = join(folders.base, 'run')
  mkdirSync(folder)
  await writeOrder(folder, { program, args: [], cwd: folders.root, timeoutMs: 60_000 })
  await wishEnd(folder)
  const runner = spawn(process.execPath, [mainFile, 'runner', folder], { stdio: 'ignore' })
  t.teardown(() => runner.kill('SIGKILL'))
  t.strictSame(await until(() => readExit(folder), { what: 'the exit', deadlineMs: 30_000 }), { cancelled: true })
  t.notOk(existsSync(join(folders.root, 'ran')))
})

t.test('output without end does not fill the disk, and its end is kept', async (t) => {
  const lines = ['head -c 20000000 /dev/zero', 'while [ ! -e go ]; do sleep 0.05; done', 'echo the end']
  const run = await startRun(t, lines)
  const output = join(run.folder, outputFile)
  const size = () => (existsSync(output) ? statSync(output).size : 0)
  await until(() => size() === 20_000_000, { what: 'the output', deadlineMs: 30_000, everyMs: 5 })
  await until(() => size() === 0, { what: 'the cut', deadlineMs: 30_000 })
  writeProgram({ base: '', root: '', state: '', programs: run.root }, 'go', [])
  t.strictSame(await exitOf(run), { exitCode: 0 })
  t.equal(readFileSync(output, 'utf8'), 'the end\n')
})

t.test('a program may run for longer than a timer can wait', async (t) => {
  const folders = makeFolders(t)
  writeProgram(folders, 'slow', ['sleep 0.5'])
  const { centre } = await startMachine(t, folders, { env: { PROGRAM_TIMEOUT: String(30 * 86_400) } })
  sendCommand(centre, toCommand('e1', [step(1, 'EXECUTE_FILE', { filePath: 'bin/slow' })]))
  t.match((await finished(centre, 'e1')).at(-1), { status: 'SUCCESS' })
})
