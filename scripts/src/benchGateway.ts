import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startNats } from '@fleetgate/local'
import { type Candidate, startBackend, startGateway, startNginx } from './bench/candidates.js'
import { generator, type Load, measure } from './bench/load.js'
import { printTable } from './bench/table.js'

/**
 * Direct, through the gateway and through nginx, in turn within one run, so that a slow minute of the machine hits all
 * of them. Usage: scripts/bench/gateway [--seconds 4] [--rounds 3] [--connections 50]
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '50' }
  }
})
const seconds = positive('seconds', values.seconds)
const rounds = positive('rounds', values.rounds)
const connections = positive('connections', values.connections)
const warmUpSeconds = 4
const sizes = { 'small JSON': '/v1/jobs', '20 KB JSON': '/v1/tasks' }

const closers: (() => unknown)[] = []
try {
  await run()
} finally {
  for (const close of closers.reverse()) await close()
}

async function run(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'fleetgate-bench-'))
  closers.push(() => rm(dir, { recursive: true, force: true }))
  const natsUrl = process.env.NATS_URL ?? (await ownNats(dir))
  const backend = await startBackend(natsUrl)
  closers.push(backend.stop)
  const candidates: Candidate[] = [{ name: 'direct', url: backend.url, pid: undefined }]
  for (const start of [startGateway, startNginx]) {
    const candidate = await start({ backendUrl: backend.url, natsUrl, dir })
    if (!candidate) continue
    closers.push(candidate.stop)
    candidates.push(candidate)
  }
  for (const [size, path] of Object.entries(sizes)) {
    const loads = await inTurn(candidates, {
      path,
      token: backend.token,
      backendPid: backend.pid,
      seconds,
      connections
    })
    console.log(
      `\n${size}: ${loads.direct?.[0]?.bytes} bytes, ${connections} connections of ${generator.name}, ${rounds} rounds of ${seconds} s`
    )
    printTable(loads)
  }
  console.log(`\nLoad average of the machine: ${loadavg()[0]?.toFixed(1)}, with ${cpus().length} processors.`)
  console.log(
    'The gateway and the service check the token; nginx checks nothing. CPU is the proxy process, all of its threads.'
  )
  if (candidates.length < 3) console.log('nginx is not on PATH, so there is no row of it.')
}

async function ownNats(dir: string): Promise<string> {
  const nats = await startNats({ dir: join(dir, 'nats') })
  closers.push(() => nats.stop())
  return nats.url
}

type Question = Parameters<typeof measure>[1]

async function inTurn(candidates: Candidate[], question: Question): Promise<Record<string, Load[]>> {
  const loads: Record<string, Load[]> = Object.fromEntries(candidates.map(({ name }) => [name, []]))
  // Not counted: V8 goes on compiling for some ten thousand requests, which would be put down to the gateway.
  for (const candidate of candidates) await measure(candidate, { ...question, seconds: warmUpSeconds })
  for (let round = 0; round < rounds; round++) {
    for (let index = 0; index < candidates.length; index++) {
      const candidate = candidates[(index + round) % candidates.length] as Candidate
      loads[candidate.name]?.push(await measure(candidate, question))
    }
  }
  return loads
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number above 0`)
  return value
}
