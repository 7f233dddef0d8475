import { createWriteStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { checkOutsideParts, findStack, isPortFree, type RuntimeInfo, startStack } from '@fleetgate/local'
import { until } from '@fleetgate/testkit'
import type { DemoOptions } from './options.js'

/** A running product, started by this process or found. */
export interface RunningStack {
  url: string
  mqttUrl: string
  processes(): { name: string; pid?: number | undefined }[]
  /** kill -9; whoever keeps the process starts it again. */
  kill(name: string): void
  /** Ends it if this process has started it. */
  stop(): Promise<void>
}

type Wishes = Pick<DemoOptions, 'dataDir' | 'port' | 'mqttPort' | 'say'>

/** The product on this DATA_DIR, started if it does not run. */
export async function findOrStart(wishes: Wishes): Promise<RunningStack> {
  const { dataDir, say } = wishes
  const found = findStack(dataDir)
  if (found) return useFound(found, wishes)
  const port = await freeFrom(wishes.port, say)
  const mqttPort = await freeFrom(wishes.mqttPort, say)
  say(`Starting Fleetgate in ${dataDir} …`)
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const log = createWriteStream(join(dataDir, 'services.log'), { flags: 'a', mode: 0o600 })
  const onLine = (name: string, line: string) => void log.write(`${name} ${line}\n`)
  await checkOutsideParts(process.env)
  const stack = await startStack({ dataDir, port, mqttPort, onLine })
  say(`Fleetgate is ready at ${stack.url}, MQTT at ${stack.mqttUrl}`)
  return { ...stack, kill: (name) => stack.kill(name, 'SIGKILL'), stop: () => stack.stop() }
}

async function useFound({ url, mqttUrl }: RuntimeInfo, { dataDir, say }: Wishes): Promise<RunningStack> {
  const now = () => findStack(dataDir)
  await until(() => now()?.isReady, { what: 'the running stack to be ready', deadlineMs: 60_000, everyMs: 200 })
  say(`Using Fleetgate at ${url}, MQTT at ${mqttUrl}`)
  const processes = () => now()?.processes ?? []
  return {
    url,
    mqttUrl,
    processes,
    kill: (name) => {
      const pid = processes().find((one) => one.name === name)?.pid
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
    },
    stop: async () => undefined
  }
}

async function freeFrom(wanted: number, say: (line: string) => void): Promise<number> {
  for (let port = wanted; port < 65_536; port += 1) {
    if (!(await isPortFree(port))) continue
    if (port !== wanted) say(`Port ${wanted} is in use; taking ${port}`)
    return port
  }
  throw new Error(`no port is free from ${wanted} on`)
}
