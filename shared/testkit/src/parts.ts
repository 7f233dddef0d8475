import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Engine, freePort, type Nats, secretsKeyFile, startEngine, startNats } from '@fleetgate/local'
import type { Teardown } from './teardown.js'

export interface PartsOptions {
  nats?: boolean
  engine?: boolean
}

export interface Parts {
  /** Empty when not asked for. */
  natsUrl: string
  mongoUri: string
  /** A folder of this test alone, removed at its end. */
  dir: string
  /** A key file for SECRETS_KEY_FILE. */
  keyFile: string
  /** Ends the part as a crash would (SIGKILL); `start…` brings it back on its folder and address. */
  killEngine(): Promise<void>
  startEngine(): Promise<void>
  killNats(): Promise<void>
  startNats(): Promise<void>
}

/** A folder that is removed at the end of the test. */
export function temporaryFolder(t: Teardown): string {
  const dir = mkdtempSync(join(tmpdir(), 'fleetgate-test-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** A real MongoDB engine and a real NATS of this test alone. In tests that need one of them, ask for one. */
export async function startParts(t: Teardown, { nats = true, engine = true }: PartsOptions = {}): Promise<Parts> {
  const dir = temporaryFolder(t)
  const engineOptions = { dir: join(dir, 'documents') }
  const port = nats ? await freePort() : 0
  const [startedEngine, startedNats] = await Promise.all([
    engine ? startEngine(engineOptions) : undefined,
    nats ? startNats({ dir: join(dir, 'nats'), port }) : undefined
  ])
  const running: { engine: Engine | undefined; nats: Nats | undefined } = { engine: startedEngine, nats: startedNats }
  // At once: nothing of a finished test is worth a graceful end.
  t.teardown(() => Promise.all([running.engine?.kill(), running.nats?.kill()]))
  const natsUrl = startedNats?.url ?? ''
  return {
    natsUrl,
    mongoUri: startedEngine?.uri ?? '',
    dir,
    keyFile: secretsKeyFile(dir),
    killEngine: async () => running.engine?.kill(),
    startEngine: async () => {
      running.engine = await startEngine(engineOptions)
    },
    killNats: async () => running.nats?.kill(),
    startNats: async () => {
      const { password } = new URL(natsUrl)
      running.nats = await startNats({ dir: join(dir, 'nats'), port, password })
    }
  }
}
