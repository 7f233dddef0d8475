import { type ChildProcess, spawn } from 'node:child_process'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { markOf } from '../platform/processes.js'
import { claim, outputFile, type RunExit, type RunOrder, readOrder, writeExit, writeProgram } from './runFiles.js'

/** Between asking a program to end and ending it. */
const graceMs = 5000
/** Only the end of the output is ever reported; a program that writes for ever must not fill the disk. */
const outputLimit = 16 * 1024 * 1024

/**
 * Runs the one program of a run folder and writes down what became of it. Called in a process of its own, in its own
 * session, so that the program and its result outlive the agent.
 */
export async function runProgram(folder: string): Promise<void> {
  const wish = listenForCancel()
  const order = await readOrder(folder)
  if (!order || !(await claim(folder, false))) return
  const output = await open(join(folder, outputFile), 'a', 0o600)
  const watch = setInterval(() => void cutOutput(output), 2000)
  const exit = await run(folder, order, output, wish).catch((error: Error): RunExit => ({ error: error.message }))
  clearInterval(watch)
  await writeExit(folder, exit)
}

/** Listening from the first moment on: a signal must not end the runner between its claim and its program. */
function listenForCancel(): AbortSignal {
  const wish = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => wish.abort())
  return wish.signal
}

async function run(folder: string, order: RunOrder, output: FileHandle, wish: AbortSignal): Promise<RunExit> {
  if (wish.aborted) return { cancelled: true }
  const { program, args, cwd, timeoutMs } = order
  const child = spawn(program, args, { cwd, stdio: ['ignore', output.fd, output.fd], detached: true })
  const end = endOf(child)
  let timedOut: boolean | undefined
  const timer = setTimeout(() => {
    timedOut = true
    endGroup(child)
  }, timeoutMs)
  wish.addEventListener('abort', () => endGroup(child))
  if (child.pid !== undefined) await writeProgram(folder, await markOf(child.pid))
  const exit = await end
  clearTimeout(timer)
  return { ...exit, timedOut, cancelled: wish.aborted || undefined }
}

function endOf(child: ChildProcess): Promise<RunExit> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ error: error.message }))
    child.once('exit', (code, signal) => resolve({ exitCode: code ?? undefined, signal: signal ?? undefined }))
  })
}

/** The program leads a process group of its own, so its children end with it. */
function endGroup(child: ChildProcess): void {
  signalGroup(child, 'SIGTERM')
  setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs).unref()
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    // Windows knows neither process groups nor signals: there the program itself is ended at once.
    if (process.platform === 'win32') child.kill(signal)
    else if (child.pid !== undefined) process.kill(-child.pid, signal)
  } catch {
    // It has ended by itself meanwhile.
  }
}

async function cutOutput(output: FileHandle): Promise<void> {
  const { size } = await output.stat()
  if (size > outputLimit) await output.truncate(0)
}
