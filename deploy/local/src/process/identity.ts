import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** A process for ever: process ids are used again, the pair of id and start time is not. */
export interface Identity {
  pid: number
  /** When it started, in the system's own form: only good to compare. */
  startedAt: string
}

/** The living process with that id, or nothing. One that waits to be reaped counts as dead. */
export function identify(pid: number): Identity | undefined {
  const startedAt = process.platform === 'linux' ? fromProc(pid) : fromPs(pid)
  return startedAt ? { pid, startedAt } : undefined
}

export function isAlive({ pid, startedAt }: Identity): boolean {
  return identify(pid)?.startedAt === startedAt
}

function fromProc(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name, in parentheses, may hold blanks and parentheses itself. State is field 3, start time field 22.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

function fromPs(pid: number): string | undefined {
  try {
    const [state = 'Z', ...start] = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' })
      .trim()
      .split(/\s+/)
    return state.startsWith('Z') ? undefined : start.join('_').replaceAll(':', '.')
  } catch {
    return undefined
  }
}

const lookEveryMs = 20

/** Ends a process that need not be our child: SIGTERM, and SIGKILL after `graceMs`. Resolves when it is gone. */
export async function endProcess(identity: Identity, graceMs: number): Promise<void> {
  send(identity, 'SIGTERM')
  if (await isGone(identity, graceMs)) return
  send(identity, 'SIGKILL')
  if (!(await isGone(identity, graceMs + 5000))) throw new Error(`process ${identity.pid} cannot be ended`)
}

function send(identity: Identity, signal: NodeJS.Signals): void {
  try {
    if (isAlive(identity)) process.kill(identity.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function isGone(identity: Identity, withinMs: number): Promise<boolean> {
  const end = Date.now() + withinMs
  while (isAlive(identity)) {
    if (Date.now() > end) return false
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
  }
  return true
}
