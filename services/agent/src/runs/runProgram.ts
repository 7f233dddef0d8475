import { type ChildProcess, spawn } from 'node:child_process'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { markOf } from '../platform/processes.js'
import { claim, outputFile, type RunExit, type RunOrder, readOrder, writeExit, writeProgram } from './runFiles.js'

/** Between asking a program to end and ending it. */
const graceMs = 5000
/** Only the end of the output is ever reported; a program that writes for ever must not fill the disk. */
const outputLimit = 16 * 1024 * 1024

/** Between two tries to write what became of the program. */
const retryMs = 1000

/**
 * Runs the one program of a run folder and writes down what became of it. Called in a process of its own, in its own
 * session, so that the program and its result outlive the agent.
 */
export async function runProgram(folder: string): Promise<void> {
  const wish = listenForCancel()
  const order = await readOrder(folder)
  if (!order || !(await claim(folder, false))) return
  await writeAtLast(folder, await run(folder, order, wish).catch((error: Error): RunExit => ({ error: error.message })))
}

/** A disk that is full, by this very program perhaps, must not cost its result. Without the folder nobody waits for it. */
async function writeAtLast(folder: string, exit: RunExit): Promise<void> {
  for (;;) {
    try {
      return await writeExit(folder, exit)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      await delay(retryMs)
    }
  }
}

/** Listening from the first moment on: a signal must not end the runner between its claim and its program. */
function listenForCancel(): AbortSignal {
  const wish = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => wish.abort())
  return wish.signal
}

async function run(folder: string, order: RunOrder, wish: AbortSignal): Promise<RunExit> {
  const output = await open(join(folder, outputFile), 'a', 0o600)
  // Looked at last: from here to the listener nothing is waited for.
  if (wish.aborted) return { cancelled: true }
  const { program, args, cwd, timeoutMs } = order
  const child = spawn(program, args, { cwd, stdio: ['ignore', output.fd, output.fd], detached: true })
  const end = endOf(child)
  const watch = setInterval(() => void cutOutput(output).catch(() => undefined), 2000)
  let timedOut: boolean | undefined
  let ending: Promise<void> | undefined
  const endIt = () => {
    ending ??= endGroup(child)
  }
  const timer = setTimeout(() => {
    timedOut = true
    endIt()
  }, timeoutMs)
  wish.addEventListener('abort', endIt)
  // It is at work from here on: a note that cannot be written for people to read must not look like a failed start.
  if (child.pid !== undefined) await writeProgram(folder, await markOf(child.pid)).catch(() => undefined)
  const exit = await end
  clearTimeout(timer)
  clearInterval(watch)
  await ending
  return { ...exit, timedOut, cancelled: wish.aborted || undefined }
}

function endOf(child: ChildProcess): Promise<RunExit> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ error: error.message }))
    child.once('exit', (code, signal) => resolve({ exitCode: code ?? undefined, signal: signal ?? undefined }))
  })
}

/**
 * The program leads a process group of its own, so its children end with it: also those that did not care for the first
 * signal while the program itself did. Resolves when nothing of it is left, or was ended by force.
 */
async function endGroup(child: ChildProcess): Promise<void> {
  signalGroup(child, 'SIGTERM')
  const begun = performance.now()
  while (hasGroup(child) && performance.now() - begun < graceMs) await delay(50)
  signalGroup(child, 'SIGKILL')
}

function hasGroup({ pid }: ChildProcess): boolean {
  if (process.platform === 'win32' || pid === undefined) return false
  try {
    process.kill(-pid, 0)
    return true
  } catch {
    return false
  }
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
