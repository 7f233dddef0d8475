import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const call = promisify(execFile)

/** Names a process for ever: a pid alone is given again to others, and start times begin anew with each boot. */
export interface ProcessMark {
  pid: number
  /** When it was started, in the words of the system; empty where that does not say. */
  startedAt: string
  boot: string
}

interface Facts {
  state: string
  startedAt: string
}

export async function markOf(pid: number): Promise<ProcessMark> {
  return { pid, startedAt: (await factsOf(pid))?.startedAt ?? '', boot: await bootId() }
}

/** True while this very process runs; a zombie does not run. On Windows the pid alone decides. */
export async function isRunning(mark: ProcessMark): Promise<boolean> {
  if (mark.boot !== (await bootId())) return false
  if (process.platform !== 'linux' && !answersSignals(mark.pid)) return false
  const facts = await factsOf(mark.pid)
  if (facts) return facts.startedAt === mark.startedAt && !/^[ZX]/.test(facts.state)
  return process.platform === 'win32'
}

async function factsOf(pid: number): Promise<Facts | undefined> {
  if (process.platform === 'linux') return factsFromProc(pid)
  return process.platform === 'win32' ? undefined : factsFromPs(pid)
}

async function factsFromProc(pid: number): Promise<Facts | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  // The second field is the name in parentheses and may hold anything; the state is field 3, the start time field 22.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', startedAt: fields[19] ?? '' }
}

/** What ps says is good for a moment: it is a process of its own, and a run is looked at ten times a second. */
const goodForMs = 2000
const known = new Map<number, Facts & { at: number }>()

/** macOS and other systems with the ps of POSIX; start times have whole seconds there. */
export async function factsFromPs(pid: number): Promise<Facts | undefined> {
  const last = known.get(pid)
  if (last && Date.now() - last.at < goodForMs) return last
  known.delete(pid)
  const env = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' }
  const answer = await call('ps', ['-o', 'stat=', '-o', 'lstart=', '-p', String(pid)], { env }).catch(() => undefined)
  const [, state = '', startedAt = ''] = /^\s*(\S+)\s+(\S.*\S)\s*$/.exec(answer?.stdout ?? '') ?? []
  if (startedAt === '') return undefined
  const facts = { state, startedAt }
  known.set(pid, { ...facts, at: Date.now() })
  return facts
}

let boot: Promise<string> | undefined

/** Empty where the system gives its boots no names. */
function bootId(): Promise<string> {
  boot ??= readBootId().then((text) => text.trim())
  return boot
}

async function readBootId(): Promise<string> {
  if (process.platform === 'darwin') {
    return call('sysctl', ['-n', 'kern.bootsessionuuid']).then(
      ({ stdout }) => stdout,
      () => ''
    )
  }
  return readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
}

function answersSignals(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
