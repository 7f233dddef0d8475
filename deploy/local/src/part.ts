import { connect, type NetConnectOpts } from 'node:net'
import { launch, type Program } from './process/child.js'

/** A running part that is not a service. */
export interface Part {
  pid: number
  stop(): Promise<void>
  /** Ends the process at once, as a crash would. */
  kill(): Promise<void>
}

const readyWithinMs = 20_000
const lookEveryMs = 15
const stopGraceMs = 10_000
const keptLines = 20

export interface PartOptions {
  isReady: () => Promise<boolean>
  onLine?: ((line: string) => void) | undefined
}

/** Starts a program once and waits until it serves; fails with its last lines when it dies before. */
export async function startPart(program: Program, { isReady, onLine }: PartOptions): Promise<Part> {
  const lines: string[] = []
  const child = launch(program, (line) => {
    lines.push(line)
    if (lines.length > keptLines) lines.shift()
    onLine?.(line)
  })
  let ended: string | undefined
  void child.exited.then((reason) => {
    ended = reason
  })
  const end = Date.now() + readyWithinMs
  while (!(await isReady())) {
    if (ended === undefined && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
      continue
    }
    await child.stop(0)
    throw new Error([`${program.name} did not start: ${ended ?? 'no answer'}`, ...lines].join('\n'))
  }
  return {
    pid: child.pid ?? 0,
    stop: () => child.stop(stopGraceMs),
    kill: async () => {
      child.send('SIGKILL')
      await child.exited
    }
  }
}

/** True when something accepts connections there and, if asked for, greets with words that hold these. */
export function answers(target: NetConnectOpts, greeting = ''): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(target)
    const done = (isThere: boolean) => {
      socket.destroy()
      resolve(isThere)
    }
    socket.once('error', () => done(false))
    socket.setTimeout(1000, () => done(false))
    if (greeting) socket.once('data', (data) => done(data.toString('latin1').includes(greeting)))
    else socket.once('connect', () => done(true))
  })
}
