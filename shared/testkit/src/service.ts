import { join } from 'node:path'
import { type Child, freePort, isServing, launch, mainFile, serviceMember } from '@fleetgate/local'
import type { Parts } from './parts.js'
import type { Teardown } from './teardown.js'
import { until } from './until.js'

export interface ServiceOptions {
  /** Folder below `services/`, or `gateway`. */
  name: string
  parts: Pick<Parts, 'natsUrl' | 'mongoUri' | 'dir' | 'keyFile'>
  env?: NodeJS.ProcessEnv
  deadlineMs?: number
}

export interface RunningService {
  url: string
  port: number
  pid(): number
  /** Ends it: SIGKILL unless told otherwise. Resolves when it is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on the same port and waits for it. */
  restart(): Promise<void>
  /** Everything it wrote, of all its starts. */
  output(): string
}

/** One service in a process of its own on the given parts, as the runtime starts it, ready to serve. */
export async function startService(t: Teardown, options: ServiceOptions): Promise<RunningService> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const lines: string[] = []
  let child: Child | undefined
  let ended: string | undefined

  async function start(): Promise<void> {
    const file = mainFile(options.name)
    const { program } = serviceMember({ name: options.name, file, url, env: environment(options, port) })
    const started = launch(program, (line) => lines.push(line))
    child = started
    ended = undefined
    void started.exited.then((reason) => {
      if (child === started) ended = reason
    })
    const isUp = async () => ended !== undefined || (await isServing(url))
    await until(isUp, { what: `${options.name} to be ready`, deadlineMs: options.deadlineMs ?? 30_000 }).catch(
      (cause) => {
        throw new Error([`${options.name} is not ready`, ...lines].join('\n'), { cause })
      }
    )
    if (ended !== undefined) throw new Error([`${options.name} ${ended}`, ...lines].join('\n'))
  }

  const kill = async (signal: NodeJS.Signals = 'SIGKILL') => {
    child?.send(signal)
    await child?.exited
  }
  t.teardown(() => kill())
  await start()
  return { url, port, pid: () => child?.pid ?? 0, kill, restart: start, output: () => lines.join('\n') }
}

function environment({ parts, name, env }: ServiceOptions, port: number): NodeJS.ProcessEnv {
  return {
    ...process.env,
    // The test runner's own would load its hooks into the service.
    NODE_OPTIONS: '',
    LOG_LEVEL: 'info',
    CHECK_REPLIES: 'true',
    HOST: '127.0.0.1',
    PORT: String(port),
    NATS_URL: parts.natsUrl,
    MONGODB_URI: parts.mongoUri,
    SECRETS_KEY_FILE: parts.keyFile,
    DATA_DIR: join(parts.dir, name),
    ...env
  }
}
