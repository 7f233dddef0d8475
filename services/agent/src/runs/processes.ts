import { readFile } from 'node:fs/promises'

/** Names a process for ever: a pid alone is given again to others, and start times begin anew with each boot. */
export interface ProcessMark {
  pid: number
  /** Clock ticks since boot, as /proc says; empty where there is no /proc. */
  startedAt: string
  boot: string
}

export async function markOf(pid: number): Promise<ProcessMark> {
  return { pid, startedAt: (await statOf(pid))?.startedAt ?? '', boot: await bootId() }
}

/** True while this very process runs; a zombie does not run. */
export async function isRunning(mark: ProcessMark): Promise<boolean> {
  if (mark.boot !== (await bootId())) return false
  const stat = await statOf(mark.pid)
  if (stat) return stat.startedAt === mark.startedAt && stat.state !== 'Z' && stat.state !== 'X'
  return process.platform !== 'linux' && answersSignals(mark.pid)
}

async function statOf(pid: number): Promise<{ state: string; startedAt: string } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  // The second field is the name in parentheses and may hold anything; the state is field 3, the start time field 22.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', startedAt: fields[19] ?? '' }
}

async function bootId(): Promise<string> {
  const text = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  return text.trim()
}

function answersSignals(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
