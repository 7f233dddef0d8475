import { spawn } from 'node:child_process'
import { mkdir, open, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { passedEnvironment } from '../platform/environment.js'
import { isRunning } from '../platform/processes.js'
import { syncPath } from '../platform/replaceFile.js'
import { mainFile } from '../self.js'
import {
  claim,
  outputFile,
  type RunExit,
  type RunOrder,
  readClaim,
  readExit,
  readProgram,
  wishEnd,
  writeOrder
} from './runFiles.js'

export type RunEnd =
  | { kind: 'exited'; exit: RunExit }
  /** The program has certainly not been started and never will be from this folder. */
  | { kind: 'notStarted' }
  /** It was started and nobody knows how it ended: the machine or the runner died. */
  | { kind: 'unknown'; detail: string }

export interface Runner {
  /** Starts the program detached; its folder must be in the journal before. */
  start(folder: string, order: RunOrder): Promise<void>
  /** Waits for the end of a run that this process or an earlier one has started. An abort only ends the waiting. */
  wait(folder: string, signal: AbortSignal): Promise<RunEnd>
  /** Asks the runner to end its program; `wait` then tells how it ended. */
  cancel(folder: string): Promise<void>
  /** The last bytes of what the program wrote. */
  outputTail(folder: string, bytes: number): Promise<string>
  remove(folder: string): Promise<void>
}

const pollMs = 100

/** `root` is the folder of all run folders. */
export function createRunner(root: string): Runner {
  const started = new Map<string, { isAlive: boolean }>()

  async function start(folder: string, order: RunOrder): Promise<void> {
    const path = join(root, folder)
    await mkdir(path, { recursive: true, mode: 0o700 })
    await syncPath(root)
    await writeOrder(path, order)
    const runner = spawn(process.execPath, ['--max-old-space-size=32', mainFile, 'runner', path], {
      detached: true,
      stdio: 'ignore',
      windowsHide: true,
      cwd: dirname(mainFile),
      env: passedEnvironment(process.env)
    })
    const life = { isAlive: true }
    started.set(folder, life)
    const gone = () => {
      life.isAlive = false
    }
    runner.once('error', gone)
    runner.once('exit', gone)
    runner.unref()
  }

  async function wait(folder: string, signal: AbortSignal): Promise<RunEnd> {
    const path = join(root, folder)
    for (;;) {
      signal.throwIfAborted()
      const isOurs = started.get(folder)?.isAlive === true
      const end = await look(path, isOurs)
      if (end) {
        started.delete(folder)
        return end
      }
      await delay(pollMs, undefined, { signal })
    }
  }

  return {
    start,
    wait,
    cancel: async (folder) => {
      const path = join(root, folder)
      if (await takeUnclaimed(path)) return
      const claimed = await readClaim(path)
      if (!claimed || claimed.isVoid || !(await isRunning(claimed))) return
      // On Windows that would be its death, and its program's end be unknown.
      if (process.platform === 'win32') await wishEnd(path)
      else signal(claimed.pid)
    },
    outputTail: (folder, bytes) => readTail(join(root, folder, outputFile), bytes),
    // The runner has its files open until it is gone, which on Windows keeps the folder there.
    remove: (folder) => rm(join(root, folder), { recursive: true, force: true, maxRetries: 10 })
  }
}

function signal(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    // It has ended between the two, and has written how.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** One look at a run folder: its end, or nothing while it lasts. */
async function look(path: string, runnerMayClaim: boolean): Promise<RunEnd | undefined> {
  const claimed = await readClaim(path).catch(() => undefined)
  if (!claimed) {
    if (runnerMayClaim) return undefined
    return (await takeUnclaimed(path)) ? { kind: 'notStarted' } : undefined
  }
  if (claimed.isVoid) return { kind: 'notStarted' }
  const isAlive = await isRunning(claimed)
  // In this order: a runner that ended between the two looks has written its exit before.
  const exit = await readExit(path)
  if (exit) return { kind: 'exited', exit }
  if (isAlive) return undefined
  return { kind: 'unknown', detail: await describeLoss(path) }
}

async function takeUnclaimed(path: string): Promise<boolean> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  return claim(path, true)
}

async function describeLoss(path: string): Promise<string> {
  const program = await readProgram(path).catch(() => undefined)
  if (program && (await isRunning(program))) return `the program still runs as process ${program.pid}, unsupervised`
  return 'the machine or the runner stopped before the program ended'
}

async function readTail(path: string, bytes: number): Promise<string> {
  const file = await open(path, 'r').catch(() => undefined)
  if (!file) return ''
  try {
    const { size } = await file.stat()
    const from = Math.max(0, size - bytes)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(size, bytes)), 0, Math.min(size, bytes), from)
    // A cut inside a UTF-8 character leaves its continuation bytes at the front.
    let start = 0
    while (from > 0 && start < bytesRead && ((buffer[start] ?? 0) & 0xc0) === 0x80) start += 1
    return buffer.toString('utf8', start, bytesRead)
  } finally {
    await file.close()
  }
}
