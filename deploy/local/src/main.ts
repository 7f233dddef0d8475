/** What `./scripts/up` runs: the whole product on this machine, until Ctrl-C. */
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Log } from '@fleetgate/contracts'
import { linePrinter } from './output.js'
import { checkOutsideParts } from './outsideParts.js'
import { portFrom } from './ports.js'
import { ClaimedError } from './process/claim.js'
import { findStack } from './runtimeFile.js'
import { usesEmqx, workspaceRoot } from './services.js'
import { type PreparedStack, prepareStack } from './stack.js'

const { env } = process
const defaultPort = 8080
const defaultMqttPort = 1883
const name = 'fleetgate'

const print = linePrinter(process.stderr)
const levels = ['debug', 'info', 'warn', 'error'] as const
const lowest = Math.max(
  0,
  levels.findIndex((level) => level === (env.LOG_LEVEL ?? 'info'))
)
const log = Object.fromEntries(
  levels.map((level, index) => [
    level,
    (fields: object, message: string) => {
      const words = Object.entries(fields).map(([key, value]) => `${key}=${String(value)}`)
      if (index >= lowest) print(name, [message, ...words].join(' '))
    }
  ])
) as unknown as Log

/**
 * What NATS writes is of interest when something is wrong, or to who asks for it. Its warning of a readable password is
 * no news: the file is for this user alone.
 */
function onLine(process: string, line: string): void {
  if (process === 'nats' && lowest > 0 && /\[(INF|DBG|TRC)\]|Plaintext passwords/.test(line)) return
  print(process, line)
}

/** `--replicas 2`, or `REPLICAS`. */
function wantedReplicas(): number {
  const { values } = parseArgs({ options: { replicas: { type: 'string', default: env.REPLICAS || '1' } } })
  const replicas = Number(values.replicas)
  if (!Number.isInteger(replicas) || replicas < 1 || replicas > 16)
    throw new Error(`--replicas takes a number from 1 to 16, not ${values.replicas}`)
  return replicas
}

let stack: PreparedStack | undefined
let signals = 0

async function onSignal(): Promise<void> {
  signals++
  // While the start is still being prepared nothing runs; from the second signal on there is no patience.
  if (!stack) process.exit(0)
  if (signals === 1) log.info({}, 'stopping; once more to stop at once')
  await stack.stop(signals > 1 ? { graceMs: 0 } : {})
  process.exit(0)
}

async function main(dataDir: string): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void onSignal())
  // A closed terminal or a cut pipe is no reason to die: SIGHUP and the like tell.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  const ports = {
    port: portFrom(env, 'PORT') ?? defaultPort,
    mqttPort: portFrom(env, 'MQTT_PORT') ?? defaultMqttPort
  }
  await checkOutsideParts(env)
  const replicas = wantedReplicas()
  if (replicas > 1 && !usesEmqx(env))
    log.info({}, 'broker-proxy stays one, as its broker is in it; BROKER=emqx has more')
  stack = await prepareStack({ ...ports, replicas, dataDir, log, onLine })
  log.info({ data: dataDir, mqtt: stack.mqttUrl }, 'starting')
  await stack.start()
  console.log(`Fleetgate is ready at ${stack.url}`)
}

const dataDir = resolve(env.DATA_DIR || join(workspaceRoot, '.data'))
try {
  await main(dataDir)
} catch (error) {
  // A stop during the start ends in onSignal.
  if (signals === 0) {
    console.error(error instanceof ClaimedError ? describeOwner(error) : `fleetgate: ${wordsOf(error)}`)
    await stack?.stop()
    process.exit(1)
  }
}

function describeOwner({ folder, owner }: ClaimedError): string {
  const url = findStack(folder)?.url
  const where = url ? ` at ${url}` : ''
  const advice = 'Set DATA_DIR, PORT and MQTT_PORT to run another.'
  return `fleetgate: already running on ${folder} (process ${owner})${where}. ${advice}`
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
