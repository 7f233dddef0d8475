import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Log } from '@fleetgate/contracts'
import { natsBinary } from './natsBinary.js'
import { answers, type Part, startPart } from './part.js'
import { freePort } from './ports.js'
import type { Program } from './process/child.js'
import { endProcess, identify } from './process/identity.js'

export interface NatsOptions {
  /** Where the streams live; made if missing. */
  dir: string
  /** A free one when not given. */
  port?: number
  log?: Log
  /** Keeps the credentials of an earlier start, so that clients can come back; new ones when not given. */
  password?: string
}

export interface Nats extends Part {
  url: string
}

/** The server as a program to run, and how to reach it. */
export interface NatsProgram {
  program: Program
  url: string
  isReady: () => Promise<boolean>
}

const user = 'fleetgate'
const leftoverGraceMs = 5000

export async function natsProgram(options: NatsOptions): Promise<NatsProgram> {
  const dir = resolve(options.dir)
  const port = options.port ?? (await freePort())
  const password = options.password ?? randomBytes(24).toString('base64url')
  // Something else may listen there: only the greeting with this name is the server of this start.
  const name = `fleetgate-${randomBytes(6).toString('hex')}`
  const command = natsBinary()
  const file = join(dir, 'nats.conf')
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  await endLeftover(dir, file)
  // A new file, because the mode of an old one would stay.
  rmSync(file, { force: true })
  writeFileSync(file, natsConfig({ dir, name, port, password }), { mode: 0o600 })
  return {
    program: { name: 'nats', command, args: ['-c', file], endsWithParent: false },
    url: `nats://${user}:${password}@127.0.0.1:${port}`,
    isReady: () => answers({ port, host: '127.0.0.1' }, name)
  }
}

/** Starts nats-server with JetStream and waits until it serves. */
export async function startNats(options: NatsOptions): Promise<Nats> {
  const { program, url, isReady } = await natsProgram(options)
  const onLine = (line: string) => options.log?.debug({ line }, 'nats')
  return { ...(await startPart(program, { isReady, onLine })), url }
}

interface NatsSettings {
  dir: string
  name: string
  port: number
  password: string
}

/** Only this machine, and on it only who knows the password: other users could command the fleet otherwise. */
export function natsConfig({ dir, name, port, password }: NatsSettings): string {
  return `server_name: ${name}
host: 127.0.0.1
port: ${port}
pid_file: ${JSON.stringify(join(dir, 'nats.pid'))}
authorization { user: ${user}, password: ${JSON.stringify(password)} }
# Blocks of files travel in messages of a little over 256 KB; reports with output may be larger.
max_payload: 2MB
jetstream {
  store_dir: ${JSON.stringify(join(dir, 'jetstream'))}
  max_memory_store: 256MB
  # The disk is the limit; a smaller figure would only refuse files that fit.
  max_file_store: 1TB
  # A stored message is in the kernel's hands before it is acknowledged, so the kill of any process loses nothing.
  # Against a power cut it is flushed to disk this often; "always" would cost a flush for each message.
  sync_interval: 10s
}
`
}

/** Two servers on one folder would spoil it: one whose parent was killed is ended first. */
async function endLeftover(dir: string, config: string): Promise<void> {
  const pid = Number(readIfThere(join(dir, 'nats.pid')))
  const leftover = pid > 0 ? identify(pid) : undefined
  // The id may belong to some other program by now; ours names its configuration.
  if (!leftover || !readIfThere(`/proc/${pid}/cmdline`).split('\0').includes(config)) return
  await endProcess(leftover, leftoverGraceMs)
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
