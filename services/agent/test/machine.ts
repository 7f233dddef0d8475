import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Agent, startAgent } from '../src/agent.js'
import { type AgentConfig, loadConfig } from '../src/config.js'
import { clientId, quiet } from './bare.js'
import { type Centre, createCentre, createWire, type Wire } from './centre.js'

export interface Folders {
  base: string
  root: string
  programs: string
  state: string
}

interface Teardown {
  teardown(close: () => unknown): unknown
}

/** A machine's folders: one root with a folder of programs in it, and a state folder beside. */
export function makeFolders(t: Teardown): Folders {
  const base = mkdtempSync(join(tmpdir(), 'agent-'))
  t.teardown(() => rmSync(base, { recursive: true, force: true }))
  const folders = { base, root: join(base, 'root'), programs: join(base, 'root', 'bin'), state: join(base, 'state') }
  mkdirSync(folders.programs, { recursive: true })
  return folders
}

export function configOf({ root, programs, state }: Folders, env: NodeJS.ProcessEnv = {}): AgentConfig {
  return loadConfig({ CLIENT_ID: clientId, STATE_DIR: state, ROOTS: root, PROGRAMS: programs, ...env })
}

/** Writes a program for the shell and answers its path. */
export function writeProgram({ programs }: Folders, name: string, lines: string[]): string {
  const path = join(programs, name)
  writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 })
  return path
}

export interface Machine {
  agent: Agent
  centre: Centre
  wire: Wire
}

export async function startMachine(
  t: Teardown,
  folders: Folders,
  {
    env = {},
    centre = createCentre(),
    now = Date.now,
    elapsed = () => performance.now()
  }: { env?: NodeJS.ProcessEnv; centre?: Centre; now?: () => number; elapsed?: () => number } = {}
): Promise<Machine> {
  const wire = createWire(centre)
  const agent = await startAgent({ config: configOf(folders, env), connection: wire, now, elapsed, log: quiet })
  t.teardown(() => agent.stop())
  return { agent, centre, wire }
}
