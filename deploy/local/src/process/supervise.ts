import { type Child, launch, type Program } from './child.js'

export interface BackOff {
  firstMs: number
  maxMs: number
  /** A process that lived this long starts again without delay history. */
  healthyMs: number
}

export const defaultBackOff: BackOff = { firstMs: 200, maxMs: 10_000, healthyMs: 30_000 }

export interface ProcessState {
  name: string
  /** Undefined while it waits to be started again. */
  pid: number | undefined
  restarts: number
}

export interface SuperviseOptions {
  onLine?: (line: string) => void
  /** After each start and end: the process ids have changed. */
  onChange?: () => void
  /** When it ended without being told to. */
  onDeath?: (reason: string, againInMs: number) => void
  backOff?: BackOff
}

export interface Supervised {
  readonly name: string
  state(): ProcessState
  kill(signal: NodeJS.Signals): void
  /** Ends it for good. */
  stop(graceMs: number): Promise<void>
}

const ignore = () => {}

/** Starts a program and starts it again whenever it dies, with a growing delay. */
export function supervise(program: Program, options: SuperviseOptions = {}): Supervised {
  const { onLine = ignore, onChange = ignore, onDeath = ignore, backOff = defaultBackOff } = options
  let child: Child | undefined
  let timer: NodeJS.Timeout | undefined
  let restarts = 0
  let delayMs = backOff.firstMs
  let isStopping = false

  function start(): void {
    const startedAt = Date.now()
    const started = launch(program, onLine)
    child = started
    onChange()
    void started.exited.then((reason) => {
      child = undefined
      if (isStopping) return
      if (Date.now() - startedAt >= backOff.healthyMs) delayMs = backOff.firstMs
      onDeath(reason, delayMs)
      timer = setTimeout(restart, delayMs)
      delayMs = Math.min(delayMs * 2, backOff.maxMs)
      onChange()
    })
  }

  function restart(): void {
    restarts++
    start()
  }

  start()
  return {
    name: program.name,
    state: () => ({ name: program.name, pid: child?.pid, restarts }),
    kill: (signal) => child?.send(signal),
    stop: async (graceMs) => {
      isStopping = true
      clearTimeout(timer)
      await child?.stop(graceMs)
      onChange()
    }
  }
}
