import { createHash } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Log } from '@fleetgate/contracts'
import { nodeForEngine } from './libc/newerLibc.js'
import { answers, type Part, startPart } from './part.js'
import { privateFolder } from './privateFolder.js'
import type { Program } from './process/child.js'

export interface EngineOptions {
  /** Where the documents live; made if missing. */
  dir: string
  /** Path of the unix socket, at most 107 bytes; a private folder's when not given. It is the same after a restart. */
  socket?: string
  log?: Log
}

export interface Engine extends Part {
  uri: string
}

const longestSocket = 107

/** The engine as a program to run, and how to reach it. */
export interface EngineProgram {
  program: Program
  uri: string
  isReady: () => Promise<boolean>
}

export async function engineProgram(options: EngineOptions): Promise<EngineProgram> {
  const dir = resolve(options.dir)
  const socket = options.socket ?? socketPath(dir)
  if (Buffer.byteLength(socket) > longestSocket) throw new Error(`socket path over ${longestSocket} bytes: ${socket}`)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  privateFolder(dirname(socket))
  const [command, ...args] = await nodeForEngine(options.log)
  const host = fileURLToPath(new URL('./engineHost.js', import.meta.url))
  return {
    program: { name: 'engine', command, args: [...args, host, dir, socket], endsWithParent: true },
    // The engine knows no sessions, so no retryable writes.
    uri: `mongodb://${encodeURIComponent(socket)}/?directConnection=true&retryWrites=false`,
    isReady: async () => existsSync(socket) && (await answers({ path: socket }))
  }
}

/** Starts the MongoDB engine in a process of its own and waits until it serves. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const { program, uri, isReady } = await engineProgram(options)
  const onLine = (line: string) => options.log?.debug({ line }, 'engine')
  return { ...(await startPart(program, { isReady, onLine })), uri }
}

/** Beside the data where that is short enough for a unix socket, else in a private folder of the system's own. */
function socketPath(dir: string): string {
  const beside = join(`${dir}.run`, 'engine.sock')
  if (Buffer.byteLength(beside) + '.new'.length <= longestSocket) return beside
  const name = createHash('sha256').update(dir).digest('hex').slice(0, 16)
  return join(tmpdir(), `fleetgate-${process.getuid?.() ?? 0}-${name}`, 'engine.sock')
}
