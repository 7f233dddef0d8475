/** What people type: `scripts/up` in a terminal, and `scripts/demo` beside it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stackServices, workspaceRoot } from '@fleetgate/local'
import { freePort, temporaryFolder, until } from '@fleetgate/testkit'
import t from 'tap'

const dataDir = temporaryFolder(t)
const ports = { PORT: String(await freePort()), MQTT_PORT: String(await freePort()) }
const env = { ...process.env, ...ports, NODE_OPTIONS: '', DATA_DIR: dataDir }
const deadlineMs = 120_000

interface Running {
  pid: number
  output(): string
  /** How it ended: a code or a signal. */
  ended: Promise<number | NodeJS.Signals>
}

/** In a process group of its own, as a shell starts what is typed. */
function run(script: string, args: string[] = [], more: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(join(workspaceRoot, 'scripts', script), args, { env: { ...env, ...more }, detached: true })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      text += String(chunk)
    })
  const ended = once(child, 'close').then(([code, signal]) => code ?? signal)
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await ended
  })
  return { pid: child.pid ?? 0, output: () => text, ended }
}

const up = run('up')
await until(() => up.output().includes('Fleetgate is ready at'), { what: 'the stack', deadlineMs }).catch((cause) => {
  throw new Error(up.output(), { cause })
})

t.test('up puts before each line whose it is', async (t) => {
  const lines = up.output().trim().split('\n')
  const [ready] = lines.filter((line) => line.startsWith('Fleetgate is ready'))
  t.equal(ready, `Fleetgate is ready at http://127.0.0.1:${ports.PORT}`)
  const said = lines.filter((line) => line !== ready && !/^(installing|building)/.test(line))
  const names = new Set(said.map((line) => line.slice(0, 15).trim()))
  const known = ['fleetgate', 'engine', 'nats', ...stackServices]
  t.same(
    [...names].filter((name) => !known.includes(name)),
    []
  )
  for (const name of stackServices) t.ok(names.has(name), `${name} is heard`)
  for (const line of said.filter((one) => stackServices.some((name) => one.startsWith(name)))) {
    const { service } = JSON.parse(line.slice(15)) as { service: string }
    t.equal(service, line.slice(0, 15).trim())
  }
})

t.test('demo fails where a machine does, names it, and leaves what it found', async (t) => {
  // The program of the demo calls it in the folder of its machine.
  const failing = ['#!/bin/sh', 'case "$PWD" in *demo-store-2/*) exit 7 ;; esac', 'exec /usr/bin/sha256sum "$@"']
  const bin = t.testdir({ sha256sum: `${failing.join('\n')}\n` })
  chmodSync(join(bin, 'sha256sum'), 0o755)
  const demo = run('demo', ['--stores', '2', '--size', '1'], { PATH: `${bin}:${process.env.PATH}` })
  t.equal(await demo.ended, 1, demo.output())
  t.match(demo.output(), /^Using Fleetgate at /m)
  const wrong = demo
    .output()
    .split('\n')
    .filter((line) => line.startsWith('WRONG'))
  t.ok(wrong.includes('WRONG  demo-store-2: exit code 7'), wrong.join('\n'))
  t.same(
    wrong.filter((line) => !line.includes('demo-store-2')),
    []
  )
  t.notMatch(demo.output(), 'Every machine has the file')
  t.equal((await fetch(`http://127.0.0.1:${ports.PORT}/healthz`)).status, 200)
  t.same(
    processesOf(dataDir).filter(({ command }) => command.includes('/agent/')),
    [],
    'its machines are gone'
  )
})

t.test('Ctrl-C, which reaches the whole process group, ends up and all that it has started', async (t) => {
  t.ok(processesOf(dataDir).length >= 8, 'the runtime, its parts and its services')
  process.kill(-up.pid, 'SIGINT')
  t.equal(await up.ended, 0)
  const lines = up.output().trim().split('\n')
  t.ok(lines.some((line) => /^fleetgate +stopping/.test(line)))
  for (const name of stackServices)
    t.ok(
      lines.some((line) => line.startsWith(name) && line.includes('"shut down"')),
      `${name} ends in order`
    )
  await until(() => processesOf(dataDir).length === 0, { what: 'the last watchdog to end', deadlineMs })
  t.notOk(readdirSync(dataDir).some((name) => name === 'runtime.json' || name.startsWith('lock-')))
})

/** Whoever has the folder on its command line or in its environment, this process left out. */
function processesOf(folder: string): { pid: number; command: string }[] {
  const pids = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
  return pids.flatMap((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      const isOurs = `${command}${readFileSync(`/proc/${pid}/environ`, 'utf8')}`.includes(folder)
      return isOurs && command !== '' ? [{ pid, command }] : []
    } catch {
      return []
    }
  })
}
