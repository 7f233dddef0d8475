import { join } from 'node:path'
import type { Log } from '@fleetgate/contracts'
import { engineProgram } from './engine.js'
import { natsProgram } from './nats.js'
import { portFrom } from './ports.js'
import type { Program } from './process/child.js'

/** An embedded part to supervise. */
export interface EmbeddedPart {
  program: Program
  isReady: () => Promise<boolean>
}

export interface StackParts {
  natsUrl: string
  mongoUri: string
  /** Those that the environment does not bring from outside. */
  embedded: EmbeddedPart[]
}

/** The document engine and NATS; MONGODB_URI and NATS_URL take the place of one each. */
export async function stackParts(dataDir: string, env: NodeJS.ProcessEnv, log?: Log): Promise<StackParts> {
  const logging = log ? { log } : {}
  const engine = env.MONGODB_URI ? undefined : await engineProgram({ dir: join(dataDir, 'documents'), ...logging })
  const port = portFrom(env, 'NATS_PORT')
  const nats = env.NATS_URL
    ? undefined
    : await natsProgram({ dir: join(dataDir, 'nats'), ...(port && { port }), ...logging })
  return {
    mongoUri: engine?.uri ?? env.MONGODB_URI ?? '',
    natsUrl: nats?.url ?? env.NATS_URL ?? '',
    embedded: [engine, nats].filter((part) => part !== undefined)
  }
}
