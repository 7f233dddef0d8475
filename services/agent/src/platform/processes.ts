import { execFile } from 'node:child_process'
import { open, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const call = promisify(execFile)
/** Where systems have their own tools, whatever the agent was started with. */
const toolEnv = { PATH: `/usr/bin:/bin:/usr/sbin:/sbin:${process.env.PATH ?? ''}`, LC_ALL: 'C', TZ: 'UTC' }

/** Names a process for ever: a pid alone is given again to others, and start times begin anew with each boot. */
export interface ProcessMark {
  pid: number
  /** When it was started, in the words of the system; empty where that does not say. */
  startedAt: string
  boot: string
  /** On Windows: a file that it has open for itself alone as long as it runs (life.ts). */
  held?: string | undefined
}

interface Facts {
  state: string
  startedAt: string
}

export async function markOf(pid: number): Promise<ProcessMark> {
  return { pid, startedAt: (await factsOf(pid))?.startedAt ?? '', boot: await bootId() }
}

/** Opens a file and lets go of it. */
type Look = (path: string) => Promise<void>

/** True while this very process runs; a zombie does not run. On Windows it is one that is known by a file, or unknown. */
export async function isRunning(
  mark: ProcessMark,
  isWindows = process.platform === 'win32',
  look: Look = openAndClose
): Promise<boolean> {
  if (isWindows) return mark.held !== undefined && answersSignals(mark.pid) && isTaken(mark.held, look)
  if (mark.boot !== (await bootId())) return false
  if (process.platform !== 'linux' && !answersSignals(mark.pid)) return false
  const facts = await factsOf(mark.pid)
  return facts !== undefined && facts.startedAt === mark.startedAt && !/^[ZX]/.test(facts.state)
}

/** A file that nobody has open for itself alone can be opened. */
function isTaken(file: string, look: Look): Promise<boolean> {
  return look(file).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'EBUSY'
  )
}

async function openAndClose(path: string): Promise<void> {
  const file = await open(path, 'r')
  await file.close()
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
  const args = ['-o', 'stat=', '-o', 'lstart=', '-p', String(pid)]
  const answer = await call('ps', args, { env: toolEnv }).catch(() => undefined)
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
    return call('sysctl', ['-n', 'kern.bootsessionuuid'], { env: toolEnv }).then(
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
