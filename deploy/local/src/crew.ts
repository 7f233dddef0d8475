import type { Log } from '@fleetgate/contracts'
import type { Program } from './process/child.js'
import { type BackOff, defaultBackOff, type ProcessState, type Supervised, supervise } from './process/supervise.js'

/** A process of the crew and how to see that it serves. */
export interface Member {
  program: Program
  isReady: () => Promise<boolean>
}

export interface CrewOptions {
  log?: Log | undefined
  /** Each line that a process writes. */
  onLine?: ((name: string, line: string) => void) | undefined
  /** Some process started or ended. */
  onChange?: (() => void) | undefined
  backOff?: BackOff | undefined
  readyWithinMs?: number | undefined
}

export interface Crew {
  /** Starts these together. They are stopped together too, before those that were there. */
  add(members: readonly Member[]): void
  /** Resolves when all serve; rejects when they do not in time, when one dies again and again, or when stopped. */
  ready(): Promise<void>
  processes(): ProcessState[]
  kill(name: string, signal: NodeJS.Signals): void
  stop(graceMs: number): Promise<void>
}

const defaultReadyMs = 60_000
const lookEveryMs = 40
/** So many deaths before it first serves are no bad luck: a wrong setting, most likely. */
const hopelessRestarts = 5

type Running = Member & { supervised: Supervised }

export function createCrew(options: CrewOptions): Crew {
  const { log, onLine, onChange = () => {}, backOff = defaultBackOff, readyWithinMs = defaultReadyMs } = options
  const stages: Running[][] = []
  let isStopping = false

  function run(member: Member): Running {
    const { name } = member.program
    const supervised = supervise(member.program, {
      backOff,
      onChange: () => onChange(),
      onLine: (line) => onLine?.(name, line),
      onDeath: (reason, againInMs) => log?.warn({ process: name, reason, againInMs }, 'process died, starting it again')
    })
    return { ...member, supervised }
  }

  async function waitFor({ supervised, isReady }: Running, end: number): Promise<void> {
    const before = supervised.state().restarts
    while (!(await isReady())) {
      if (isStopping) throw new Error('stopped while starting')
      const { name, restarts } = supervised.state()
      if (restarts - before >= hopelessRestarts) throw new Error(`${name} dies again and again: see its lines above`)
      if (Date.now() > end) throw new Error(`${name} is not ready after ${readyWithinMs / 1000} s: see its lines above`)
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
    }
  }

  const all = () => stages.flat()
  return {
    add: (members) => {
      if (isStopping) throw new Error('stopped while starting')
      const stage: Running[] = []
      stages.push(stage)
      for (const member of members) stage.push(run(member))
    },
    ready: async () => {
      const end = Date.now() + readyWithinMs
      await Promise.all(all().map((running) => waitFor(running, end)))
    },
    processes: () => all().map(({ supervised }) => supervised.state()),
    kill: (name, signal) => {
      const found = all().find(({ program }) => program.name === name)
      if (!found) throw new Error(`no process ${name}`)
      found.supervised.kill(signal)
    },
    stop: async (graceMs) => {
      isStopping = true
      for (const stage of stages.toReversed()) {
        await Promise.all(stage.map(({ supervised }) => supervised.stop(graceMs)))
      }
    }
  }
}
