import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { freePort } from '@fleetgate/local'
import { until } from '@fleetgate/testkit'

/** One way to the backend, and the process (with its children) whose CPU counts. */
export interface Candidate {
  name: string
  url: string
  pid: number | undefined
}

export interface Started extends Candidate {
  stop: () => Promise<void>
}

export interface Surroundings {
  backendUrl: string
  natsUrl: string
  dir: string
}

const root = new URL('../../../../', import.meta.url)
const inRoot = (path: string) => fileURLToPath(new URL(path, root))

export async function startBackend(natsUrl: string): Promise<Started & { token: string; pid: number }> {
  const child = spawn(process.execPath, [inRoot('gateway/dist/test/benchBackend.js')], {
    env: { ...process.env, NATS_URL: natsUrl },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const line = await new Promise<string>((resolve, reject) => {
    // Its log lines come the same way.
    createInterface({ input: child.stdout }).on('line', (text) => text.startsWith('ready ') && resolve(text.slice(6)))
    child.once('exit', (code) => reject(new Error(`the backend ended with ${code}`)))
  })
  const { url, token } = JSON.parse(line) as { url: string; token: string }
  return { name: 'backend', url, token, pid: child.pid as number, stop: () => stop(child) }
}

export async function startGateway({ backendUrl, natsUrl }: Surroundings): Promise<Started> {
  const port = await freePort()
  const services = ['AUTH', 'DEVICES', 'SCHEDULER', 'BROKER_PROXY', 'CLUSTER_MANAGER']
  const urls = Object.fromEntries(services.map((name) => [`${name}_URL`, backendUrl]))
  const flags = process.env.BENCH_NODE_FLAGS?.split(' ').filter(Boolean) ?? []
  const child = spawn(process.execPath, [...flags, inRoot('gateway/dist/src/main.js')], {
    env: { ...process.env, ...urls, HOST: '127.0.0.1', PORT: String(port), NATS_URL: natsUrl, LOG_LEVEL: 'warn' },
    stdio: ['ignore', 'inherit', 'inherit']
  })
  return whenUp(
    { name: 'gateway', url: `http://127.0.0.1:${port}`, pid: child.pid, stop: () => stop(child) },
    '/readyz'
  )
}

/** Debian's nginx as people configure it: one worker, keep-alive to the upstream. Nothing when it is not on PATH. */
export async function startNginx({ backendUrl, dir }: Surroundings): Promise<Started | undefined> {
  if (spawnSync('nginx', ['-v']).error) return undefined
  const port = await freePort()
  const file = `${dir}/nginx.conf`
  await writeFile(file, nginxConfig(port, new URL(backendUrl).host, dir))
  const child = spawn('nginx', ['-p', dir, '-c', file, '-e', `${dir}/error.log`], {
    stdio: ['ignore', 'inherit', 'inherit']
  })
  return whenUp({ name: 'nginx', url: `http://127.0.0.1:${port}`, pid: child.pid, stop: () => stop(child) }, '/healthz')
}

function nginxConfig(port: number, backend: string, dir: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${dir}/${name};`
  )
  return `daemon off; worker_processes 1; pid ${dir}/nginx.pid; error_log ${dir}/error.log warn;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000; keepalive_timeout 65s; ${temporary.join(' ')}
  upstream backend { server ${backend}; keepalive 256; keepalive_requests 1000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
    }
  }
}
`
}

async function whenUp(started: Started, path: string): Promise<Started> {
  try {
    await until(async () => (await fetch(started.url + path)).ok, { what: `${started.name} to be up` })
    return started
  } catch (error) {
    await started.stop()
    throw error
  }
}

/** Ends it and resolves when it has gone. */
export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  await ended
}
