import { setTimeout as delay } from 'node:timers/promises'
import type { Stack } from '@fleetgate/local'
import { until } from '@fleetgate/testkit'
import type { Machine } from '../demo/machines.js'
import type { Random } from './random.js'

export interface Injector {
  /** Faults so far. */
  count(): number
  /** Ends the fault at work, and resolves when everything runs again. */
  stop(): Promise<void>
}

export interface InjectorOptions {
  stack: Stack
  agents: Machine[]
  random: Random
  /** Of these parts only. */
  only?: RegExp | undefined
  say(line: string): void
}

const freezeMs = [500, 15_000] as const
const pauseMs = [500, 6_000] as const
const killsOf = 0.6
const deadlineMs = 120_000
const restartAgentMs = 500

interface Part {
  name: string
  signal(signal: NodeJS.Signals): void
  /** Started again by whom it belongs to. */
  isBack(): boolean
}

/** One part after the other is killed with -9 or frozen for a while, whichever and whenever the seed says. */
export function startFaults(options: InjectorOptions): Injector {
  const { random, say, only } = options
  const down = new Set<Machine>()
  const stopping = new AbortController()
  const begun = Date.now()
  let count = 0
  const pause = (ms: number) => delay(ms, undefined, { signal: stopping.signal }).catch(() => undefined)

  async function strike(parts: Part[]): Promise<void> {
    const kind = random.pick([...new Set(parts.map(kindOf))])
    const part = random.pick(parts.filter((one) => kindOf(one) === kind))
    const isKill = random.next() < killsOf
    // More short ones than long ones, so that more happens in the same time.
    const frozenMs = freezeMs[0] + (freezeMs[1] - freezeMs[0]) * random.next() ** 2
    const at = ((Date.now() - begun) / 1000).toFixed(1).padStart(6)
    count += 1
    say(`${at} s  ${isKill ? 'kill -9' : `freeze ${(frozenMs / 1000).toFixed(1)} s`}  ${part.name}`)
    if (isKill) return part.signal('SIGKILL')
    part.signal('SIGSTOP')
    await pause(frozenMs)
    part.signal('SIGCONT')
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      await pause(random.between(...pauseMs))
      if (stopping.signal.aborted) return
      const all = partsOf(options, down).filter(({ name }) => only?.test(name) ?? true)
      const there = all.filter(({ isBack }) => isBack())
      if (there.length > 0) await strike(there)
    }
  }

  const running = loop()
  running.catch(() => undefined)
  return {
    count: () => count,
    async stop() {
      stopping.abort()
      await running
      const isWhole = () => partsOf(options, down).every(({ isBack }) => isBack())
      await until(isWhole, { what: 'every part to be started again', deadlineMs, everyMs: 50 })
    }
  }
}

/** Replicas are one kind: what there is only one of dies as often. */
function kindOf({ name }: Part): string {
  return name.startsWith('the agent') ? 'agent' : name.replace(/-\d+$/, '')
}

function partsOf({ stack, agents }: InjectorOptions, down: Set<Machine>): Part[] {
  const processes = stack.processes().map(({ name, pid }) => ({
    name,
    signal: (signal: NodeJS.Signals) => stack.kill(name, signal),
    isBack: () => pid !== undefined
  }))
  const machines = agents.map((agent) => ({
    name: `the agent ${agent.name}`,
    signal: (signal: NodeJS.Signals) => signalAgent(agent, signal, down),
    isBack: () => !down.has(agent)
  }))
  return [...processes, ...machines]
}

/** Nobody keeps an agent but us. */
function signalAgent(agent: Machine, signal: NodeJS.Signals, down: Set<Machine>): void {
  process.kill(agent.pid() as number, signal)
  if (signal !== 'SIGKILL') return
  down.add(agent)
  setTimeout(() => {
    agent.start()
    down.delete(agent)
  }, restartAgentMs)
}
