import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startStack } from '@fleetgate/local'
import { createApi } from '@fleetgate/testkit'
import { measureChecks } from './bench/tokenChecks.js'
import { toTable } from './demo/table.js'

/** How fast people sign in, whether auth stays responsive meanwhile, and what a token check costs every service. */
const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '8' }, clients: { type: 'string', default: '16' } }
})
const seconds = within('seconds', values.seconds, 20)
const clients = within('clients', values.clients, 60)

/** The bound that the product promises. */
const longestStallMs = 20
/** prom-client's monitor looks every 10 ms, and that wait is in its figures. */
const monitorMs = 10
const scrapeEveryMs = 500

const dataDir = mkdtempSync(join(tmpdir(), 'fleetgate-bench-'))
const free = '1000000000'
const env = { LOGIN_FREE_PER_ACCOUNT: free, LOGIN_FREE_PER_ADDRESS: free, LOG_LEVEL: 'warn' }
const stack = await startStack({ dataDir, services: ['auth'], env })
try {
  await measureLogins(createApi(stack.urls.auth ?? ''))
} finally {
  await stack.stop()
  rmSync(dataDir, { recursive: true, force: true })
}
const checks = await measureChecks()
for (const line of toTable(['token check', 'per second'], checks)) console.log(line)

async function measureLogins(api: ReturnType<typeof createApi>): Promise<void> {
  await api.register()
  await api.login()
  await stallOf(api)
  const until = Date.now() + seconds * 1000
  const times: number[] = []
  const stalls: number[] = []
  async function signIn(): Promise<void> {
    while (Date.now() < until) {
      const start = performance.now()
      await api.login()
      times.push(performance.now() - start)
    }
  }
  async function watch(): Promise<void> {
    while (Date.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, scrapeEveryMs))
      stalls.push(await stallOf(api))
    }
  }
  await Promise.all([watch(), ...Array.from({ length: clients }, signIn)])
  printLogins(times, stalls)
}

function printLogins(times: number[], stalls: number[]): void {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (part: number) => `${Math.round(sorted[Math.floor(sorted.length * part)] ?? 0)} ms`
  const worst = Math.max(...stalls)
  const rows = [
    ['log-ins per second', (times.length / seconds).toFixed(1)],
    [`log-in with ${clients} at once, p50 / p99`, `${at(0.5)} / ${at(0.99)}`],
    ['longest stall of the event loop', `${worst.toFixed(1)} ms`],
    [`half-second spans with a stall over ${longestStallMs} ms`, `${countLong(stalls)} of ${stalls.length}`]
  ]
  for (const line of toTable(['auth', `in ${seconds} s`], rows)) console.log(line)
  console.log(
    'A stall is what auth itself did plus what the machine gave to others meanwhile, bcrypt threads included.\n'
  )
}

function countLong(stalls: number[]): number {
  return stalls.filter((stall) => stall > longestStallMs).length
}

/** The longest stall since it was last asked for, ms. */
async function stallOf(api: ReturnType<typeof createApi>): Promise<number> {
  const { text } = await api.get('/metrics')
  const found = /^nodejs_eventloop_lag_max_seconds(?:\{[^}]*\})? (\S+)$/m.exec(text)?.[1]
  if (found === undefined) throw new Error('auth does not tell the lag of its event loop')
  return Math.max(0, Number(found) * 1000 - monitorMs)
}

function within(name: string, text: string, most: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value > 0 && value <= most) return value
  throw new Error(`--${name} must be a whole number from 1 to ${most}`)
}
