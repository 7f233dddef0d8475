import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startStack } from '@fleetgate/local'
import { logIn } from '../demo/account.js'
import { createAsker } from './asker.js'
import { startChanges } from './changes.js'
import { openDatabase } from './database.js'
import { startFaults } from './faults.js'
import { failedFlows } from './flow.js'
import { startJobs } from './jobs.js'
import { createLines } from './lines.js'
import type { Ground, Load } from './load.js'
import { createRandom } from './random.js'
import { unrest } from './rest.js'
import { startSockets } from './sockets.js'
import { startTelemetry } from './telemetry.js'
import { startTokens } from './tokens.js'

export interface SoakOptions {
  dataDir: string
  seconds: number
  seed: number
  replicas: number
  /** Only parts of such names die. */
  only?: RegExp | undefined
  /** Within this time after the last fault everything is at rest. */
  restMs: number
  env?: NodeJS.ProcessEnv
  say(line: string): void
}

export interface Soaked {
  counts: Record<string, number>
  /** Executions and workflow runs that ended as failed, by what is said of them: allowed, but to be looked at. */
  failures: Record<string, number>
  restedMs: number
  /** What is wrong. */
  findings: string[]
}

const lookEveryMs = 1_000
/** Of a busy machine. */
const readyWithinMs = 180_000
const backOff = { firstMs: 200, maxMs: 1_000, healthyMs: 5_000 }

/** The whole stack under load while its parts die one after the other, and what is wrong when it should be at rest again. */
export async function soak(options: SoakOptions): Promise<Soaked> {
  const { dataDir, replicas, say } = options
  const file = join(dataDir, 'stack.log')
  const lines = createLines((name, line) => appendFileSync(file, `${new Date().toISOString()} ${name} ${line}\n`))
  const env = { NODE_OPTIONS: '', ...options.env }
  const stack = await startStack({ dataDir, replicas, backOff, env, log: lines.log, onLine: lines.hear, readyWithinMs })
  // Of their own, so that the load, whose order is the machine's, does not change what dies when.
  const [forFaults, random] = [createRandom(options.seed), createRandom(options.seed + 1)]
  const closing: (() => unknown)[] = []
  try {
    const { url, mqttUrl, natsUrl, mongoUri } = stack
    const { token, ...account } = await logIn(url, { dataDir, say: () => {} })
    const database = await openDatabase(mongoUri)
    closing.push(database.close)
    const asker = createAsker(account.session)
    const atEnd: Ground['atEnd'] = (close) => void closing.push(close)
    const ground: Ground = { account, token, url, mqttUrl, natsUrl, mongoUri, asker, random, dataDir, atEnd }
    const jobs = await startJobs(ground, database)
    const loads: Load[] = [jobs]
    for (const start of [startTelemetry, startChanges, startTokens, startSockets]) {
      loads.push(await start(ground, database))
    }
    const injector = startFaults({
      ...{ stack, agents: jobs.agents, random: forFaults, say },
      ...(options.only && { only: options.only })
    })
    await delay(options.seconds * 1000)
    await injector.stop()
    await stack.ready()
    say('the last fault is over')
    await Promise.all(loads.map((load) => load.stop()))
    say('the load is over')
    const begun = performance.now()
    const look = async () => [
      ...(await unrest(stack, ground, database)),
      ...(await Promise.all(loads.map((load) => load.faults()))).flat()
    ]
    const left = await rest(look, options)
    return {
      counts: {
        faults: injector.count(),
        ...asker.counts(),
        ...Object.assign({}, ...loads.map((load) => load.counts()))
      },
      failures: { ...(await jobs.failures()), ...(await failedFlows(database)) },
      restedMs: performance.now() - begun,
      findings: [...left, ...asker.findings(), ...lines.findings()]
    }
  } finally {
    for (const close of closing.reverse()) await close()
    await stack.stop()
  }
}

/** Looks until nothing is wrong; answers what is wrong when the time is up. */
async function rest(look: () => Promise<string[]>, { restMs, say }: SoakOptions): Promise<string[]> {
  const end = Date.now() + restMs
  for (let before = ''; ; ) {
    const wrong = await look().catch((error: unknown) => [
      `looking failed: ${error instanceof Error ? error.stack : error}`
    ])
    if (wrong.length === 0 || Date.now() > end) return wrong
    const now = `${wrong.length} things are not as they must be, such as: ${wrong[0]?.slice(0, 100)}`
    if (now !== before) say(now)
    before = now
    await delay(lookEveryMs)
  }
}
