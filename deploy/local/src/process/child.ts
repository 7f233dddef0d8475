import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** A program to run as a child. */
export interface Program {
  name: string
  command: string
  args: string[]
  env?: NodeJS.ProcessEnv
  /** Node programs of ours notice themselves that we are gone; all others get a watchdog. */
  endsWithParent: boolean
}

export interface Child {
  /** Undefined when it could not be started. */
  pid: number | undefined
  /** Resolves, with words for the log, when the process is gone. */
  exited: Promise<string>
  send(signal: NodeJS.Signals): void
  /** SIGTERM, and SIGKILL after `graceMs`. */
  stop(graceMs: number): Promise<void>
}

/**
 * Starts a program in a process group of its own: Ctrl-C in a terminal reaches us alone, and we stop the children in
 * their order.
 */
export function launch(program: Program, onLine: (line: string) => void): Child {
  const child = spawn(program.command, program.args, {
    env: program.env ?? process.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', ...(program.endsWithParent ? (['ipc'] as const) : [])]
  })
  for (const stream of [child.stdout, child.stderr]) {
    if (stream) createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', onLine)
  }
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal ? `ended by ${signal}` : `ended with code ${code}`))
  })
  if (!program.endsWithParent && child.pid) watch(child.pid, exited)
  return {
    pid: child.pid,
    exited,
    send: (signal) => child.kill(signal),
    stop: (graceMs) => stop(child, exited, graceMs)
  }
}

async function stop(child: ChildProcess, exited: Promise<string>, graceMs: number): Promise<void> {
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
  await exited
  clearTimeout(timer)
}

/** A shell that waits for its input to end, which happens when we die however we die, and then ends that process. */
function watch(pid: number, exited: Promise<string>): void {
  const script = 'cat >/dev/null; kill -TERM "$1"'
  const watchdog = spawn('sh', ['-c', script, 'sh', String(pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore']
  })
  // Without `sh` the next start still ends the leftover.
  watchdog.on('error', () => {})
  watchdog.unref()
  void exited.then(() => watchdog.kill('SIGKILL'))
}
