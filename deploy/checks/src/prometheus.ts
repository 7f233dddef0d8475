import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { freePort, until } from '@fleetgate/testkit'

export interface Programs {
  prometheus: string
  promtool: string
}

/**
 * Those on PATH, else Debian's package, fetched once by apt into a cache folder and unpacked there: nothing on the system
 * changes but apt's lists. The reason in words where neither is to be had.
 */
export function findPrometheus(): Programs | string {
  const onPath = (process.env.PATH ?? '').split(delimiter).find((folder) => existsSync(join(folder, 'promtool')))
  if (onPath) return programsIn(onPath)
  const cache = join(process.env.FLEETGATE_CACHE || join(homedir(), '.cache/fleetgate'), 'prometheus')
  const unpacked = join(cache, 'usr/bin')
  try {
    if (!existsSync(join(unpacked, 'promtool'))) download(cache)
    return programsIn(unpacked)
  } catch (error) {
    return `prometheus is not on PATH and apt does not give it: ${String(error).split('\n')[0]}`
  }
}

function programsIn(folder: string): Programs {
  return { prometheus: join(folder, 'prometheus'), promtool: join(folder, 'promtool') }
}

function download(cache: string): void {
  mkdirSync(cache, { recursive: true })
  const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: cache, stdio: 'pipe' })
  if (process.getuid?.() === 0) run('apt-get', '-q', 'update')
  run('apt-get', '-q', '-o', 'APT::Sandbox::User=root', 'download', 'prometheus')
  const name = readdirSync(cache).find((file) => file.startsWith('prometheus_'))
  if (!name) throw new Error('apt-get download left no package')
  run('dpkg-deb', '-x', name, '.')
}

export interface Prometheus {
  query(expression: string): Promise<{ metric: Record<string, string>; value: [number, string] }[]>
  /** State of the alerts that are pending or firing. */
  alerts(): Promise<{ labels: Record<string, string>; state: string }[]>
}

interface Teardown {
  teardown(close: () => unknown): void
}

/** A server on a free port of this machine, with its data in `dir` beside its configuration. */
export async function startPrometheus(t: Teardown, { prometheus }: Programs, dir: string): Promise<Prometheus> {
  const address = `127.0.0.1:${await freePort()}`
  const args = [
    `--config.file=${dir}/prometheus.yml`,
    `--storage.tsdb.path=${dir}/data`,
    `--web.listen-address=${address}`
  ]
  const child = spawn(prometheus, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (chunk) => {
    said = (said + String(chunk)).slice(-4000)
  })
  t.teardown(async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    if (child.exitCode !== null) return
    child.kill('SIGKILL')
    await ended
  })
  const ask = async <T>(path: string): Promise<T> => {
    const answer = (await (await fetch(`http://${address}/api/v1/${path}`)).json()) as { data: T; error?: string }
    if (answer.error) throw new Error(answer.error)
    return answer.data
  }
  const isReady = async () => (await fetch(`http://${address}/-/ready`)).ok
  await until(isReady, { what: 'Prometheus to be ready' }).catch((cause) => {
    throw new Error(said, { cause })
  })
  return {
    query: async (text) => (await ask<{ result: [] }>(`query?query=${encodeURIComponent(text)}`)).result,
    alerts: async () => (await ask<{ alerts: [] }>('alerts')).alerts
  }
}
