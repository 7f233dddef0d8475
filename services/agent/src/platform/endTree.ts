import { type ChildProcess, execFile } from 'node:child_process'
import { win32 } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Between asking a program to end and ending it. */
const graceMs = 5000

/**
 * Ends a program that was started with `ownGroup`, and its children with it: also those that did not care for the first signal
 * while the program itself did. Resolves when nothing of it is left, or was ended by force.
 */
export async function endTree(child: ChildProcess): Promise<void> {
  if (process.platform === 'win32') return endByForce(child)
  signalGroup(child, 'SIGTERM')
  const begun = performance.now()
  while (hasGroup(child) && performance.now() - begun < graceMs) await delay(50)
  signalGroup(child, 'SIGKILL')
}

/**
 * How the program of a run is started. On Windows a group of its own would come without a console, so that each of its children
 * opened a window; there it belongs to the runner, and ends with it.
 */
export const ownGroup = process.platform === 'win32' ? { windowsHide: true } : { detached: true }

/**
 * Windows knows neither process groups nor a signal that could be refused. Its own tool ends a process and those that it has
 * started, from the top; one whose parent has ended before is nobody's child any more and stays.
 */
function endByForce(child: ChildProcess): Promise<void> {
  const tool = win32.join(process.env.SYSTEMROOT ?? 'C:\\Windows', 'System32', 'taskkill.exe')
  return new Promise((resolve) => {
    execFile(tool, ['/T', '/F', '/PID', String(child.pid)], { windowsHide: true }, () => {
      // Without the tool at least the program itself; one that has ended is not there to be ended.
      child.kill('SIGKILL')
      resolve()
    })
  })
}

function hasGroup({ pid }: ChildProcess): boolean {
  if (pid === undefined) return false
  try {
    process.kill(-pid, 0)
    return true
  } catch {
    return false
  }
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal)
  } catch {
    // It has ended by itself meanwhile.
  }
}
