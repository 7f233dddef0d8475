import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BusOptions, connectBus, type Log } from '../../src/index.js'

export interface NatsServer {
  url: string
  /** With further arguments. */
  start(...more: string[]): Promise<void>
  kill(signal: NodeJS.Signals): Promise<void>
}

interface Teardown {
  teardown(close: () => unknown): void
}

/** The testkit has the full runtime, but it depends on this package: here is the least that starts a server. */
export async function startNatsServer(t: Teardown): Promise<NatsServer> {
  const port = await freePort()
  const dir = mkdtempSync(join(tmpdir(), 'contracts-'))
  let child: ChildProcess | undefined

  async function start(...more: string[]): Promise<void> {
    const args = ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', dir, ...more]
    child = spawn(findBinary(), args, { stdio: 'ignore' })
    await until(() => canConnect(port), 'nats-server listens')
  }

  async function kill(signal: NodeJS.Signals): Promise<void> {
    const dying = child
    if (!dying || dying.exitCode !== null || dying.signalCode !== null) return
    await new Promise((resolve) => {
      dying.once('exit', resolve)
      dying.kill(signal)
    })
  }

  t.teardown(async () => {
    await kill('SIGKILL')
    rmSync(dir, { recursive: true, force: true })
  })
  await start()
  return { url: `nats://127.0.0.1:${port}`, start, kill }
}

export async function openBus(t: Teardown, url: string, options: Partial<BusOptions> = {}) {
  const bus = await connectBus({ name: 'test', url, log: silentLog, ...options })
  t.teardown(() => bus.close())
  return bus
}

export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export async function until(condition: () => unknown, what: string, deadlineMs = 15_000): Promise<void> {
  const deadline = Date.now() + deadlineMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await sleep(10)
  }
}

function findBinary(): string {
  const onPath = (process.env.PATH ?? '').split(delimiter).map((dir) => join(dir, 'nats-server'))
  const found = onPath.find((path) => existsSync(path))
  if (found) return found
  // From dist/test/support: the runtime's own optional dependency.
  const local = createRequire(new URL('../../../../../deploy/local/package.json', import.meta.url))
  return join(local.resolve('@lagz0ne/nats-embedded-linux-x64/package.json'), '..', 'nats-server')
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
