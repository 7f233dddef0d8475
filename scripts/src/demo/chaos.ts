import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { until } from '@fleetgate/testkit'
import type { Machine } from './machines.js'

export interface ChaosParts {
  /** Names of the product's processes, and a way to end one by kill -9; it is started again by its keeper. */
  names: string[]
  kill(name: string): void
  server: Machine
  stores: Machine[]
  isOver: () => boolean
  say: (line: string) => void
}

/**
 * Kills each part once, spread over the phases of a run: planning, upload, transfer, programs at work. Answers what was
 * killed before the run was over.
 */
export async function wreak(parts: ChaosParts): Promise<string[]> {
  const { stores, isOver } = parts
  const victim = stores[Math.floor(stores.length / 2)]
  const killed: string[] = []
  const strike = (name: string, kill: () => void) => {
    parts.say(`kill -9 ${name}${isOver() ? ' (after the end)' : ''}`)
    if (!isOver()) killed.push(name)
    kill()
  }
  const strikePart = (pattern: RegExp) => {
    const name = parts.names.find((one) => pattern.test(one))
    if (name) strike(name, () => parts.kill(name))
    else parts.say(`no process matches ${pattern}`)
  }
  strikePart(/scheduler/)
  await delay(300)
  strikePart(/nats/i)
  await phase(() => stores.some(hasPart) || isOver())
  strikePart(/broker-proxy/)
  await phase(() => stores.some(hasRun) || isOver())
  strikePart(/engine|mongo/i)
  if (victim) await strikeMachine(victim, strike)
  strikePart(/gateway/)
  return killed
}

async function strikeMachine(victim: Machine, strike: (name: string, kill: () => void) => void): Promise<void> {
  await phase(() => hasRun(victim))
  strike(`the agent of ${victim.name}`, victim.kill)
  await delay(500)
  victim.start()
}

/** A phase that does not come in time must not keep the others from being tried. */
async function phase(isThere: () => boolean): Promise<void> {
  await until(isThere, { what: 'the phase', deadlineMs: 45_000, everyMs: 20 }).catch(() => undefined)
}

function hasPart({ root }: Machine): boolean {
  const inbox = join(root, 'inbox')
  return existsSync(inbox) && readdirSync(inbox).length > 0
}

function hasRun({ root }: Machine): boolean {
  return existsSync(join(root, 'runs.log'))
}
