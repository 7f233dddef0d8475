import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { StackOptions } from '../src/index.js'

export const fakeMain = fileURLToPath(new URL('./fakeService.js', import.meta.url))

/** No embedded parts: nobody connects to these. */
export const noParts = { MONGODB_URI: 'mongodb://127.0.0.1:9', NATS_URL: 'nats://127.0.0.1:9' }

export interface Place {
  dataDir: string
  /** What the fake services wrote so far. */
  journal(): string[]
}

export function temporaryPlace(t: { teardown(close: () => unknown): unknown }): Place {
  const dataDir = mkdtempSync(join(tmpdir(), 'fleetgate-local-'))
  t.teardown(() => rmSync(dataDir, { recursive: true, force: true }))
  return { dataDir, journal: () => readFileSync(journalOf(dataDir), 'utf8').trim().split('\n') }
}

function journalOf(dataDir: string): string {
  return join(dataDir, 'journal.txt')
}

/** A stack of fake services. */
export function fakeOptions(dataDir: string, env: NodeJS.ProcessEnv = noParts): StackOptions {
  return {
    dataDir,
    mainOf: () => fakeMain,
    services: ['auth', 'devices', 'gateway'],
    env: { ...env, JOURNAL: journalOf(dataDir) },
    backOff: { firstMs: 20, maxMs: 80, healthyMs: 30_000 }
  }
}

/** Waits for a condition; the testkit's own `until` is built on this package. */
export async function until(what: string, condition: () => unknown, deadlineMs = 10_000): Promise<void> {
  const end = Date.now() + deadlineMs
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
