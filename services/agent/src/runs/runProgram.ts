import { type ChildProcess, spawn } from 'node:child_process'
import { open, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { endTree, ownGroup } from '../platform/endTree.js'
import { markOf } from '../platform/processes.js'
import {
  claim,
  isEndWished,
  outputFile,
  type RunExit,
  type RunOrder,
  readOrder,
  writeExit,
  writeProgram
} from './runFiles.js'

/** Only the end of the output is ever reported; a program that writes for ever must not fill the disk. */
const outputLimit = 16 * 1024 * 1024

/** Between two tries to write what became of the program. */
const retryMs = 1000

/** Between two looks whether the program is to end. */
const lookMs = 250

/**
 * Runs the one program of a run folder and writes down what became of it. Called in a process of its own, in its own
 * session, so that the program and its result outlive the agent.
 */
export async function runProgram(folder: string): Promise<void> {
  const wish = listenForCancel(folder)
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
function listenForCancel(folder: string): AbortSignal {
  const wish = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => wish.abort())
  const look = setInterval(() => void isEndWished(folder).then((isWished) => isWished && wish.abort()), lookMs)
  look.unref()
  return wish.signal
}

async function run(folder: string, order: RunOrder, wish: AbortSignal): Promise<RunExit> {
  const outputPath = join(folder, outputFile)
  const output = await open(outputPath, 'a', 0o600)
  const isWished = await isEndWished(folder)
  // Looked at last: from here to the listener nothing is waited for.
  if (isWished || wish.aborted) return { cancelled: true }
  const { program, args, cwd, timeoutMs, isVerbatim = false } = order
  const stdio = ['ignore' as const, output.fd, output.fd]
  const child = spawn(program, args, { cwd, stdio, windowsVerbatimArguments: isVerbatim, ...ownGroup })
  const end = endOf(child)
  const watch = setInterval(() => void cutOutput(outputPath).catch(() => undefined), 2000)
  let timedOut: boolean | undefined
  let ending: Promise<void> | undefined
  const endIt = () => {
    ending ??= endTree(child)
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

/** By its path: what is open for adding to it must not cut it on Windows. */
async function cutOutput(path: string): Promise<void> {
  const { size } = await stat(path)
  if (size > outputLimit) await truncate(path, 0)
}
