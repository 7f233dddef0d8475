import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

export interface DemoOptions {
  dataDir: string
  /** Port of the gateway to start; where it is busy the next free one is taken. */
  port: number
  mqttPort: number
  /** Number of STORE machines. */
  stores: number
  /** Size of the file that is distributed, in bytes. */
  bytes: number
  /** Kill parts of the product while the job runs. */
  chaos: boolean
  /** Leave everything running at the end. */
  keep: boolean
  /** Who works, where users exist already. */
  email?: string | undefined
  password?: string | undefined
  say: (line: string) => void
}

export const usage = `Usage: scripts/demo [options]

Runs the main job on real input: starts Fleetgate where none runs, registers the first user where none exists, starts one
SERVER and some STORE machines, distributes a file, runs a program on each, and checks every machine.

  --stores N    number of STORE machines (5)
  --size MB     size of the file (20)
  --chaos       kill -9 scheduler, broker-proxy, NATS, MongoDB, gateway and one machine while the job runs
  --keep        leave everything running at the end (Ctrl-C stops it)

Environment: DATA_DIR (.data), PORT (8080), MQTT_PORT (1883), EMAIL and PASSWORD (where users exist already)`

export function readOptions(args: string[], env: NodeJS.ProcessEnv): DemoOptions | undefined {
  const { values } = parseArgs({
    args,
    options: {
      stores: { type: 'string', default: '5' },
      size: { type: 'string', default: '20' },
      chaos: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  if (values.help) return undefined
  return {
    dataDir: resolve(env.DATA_DIR || '.data'),
    port: number('PORT', env.PORT || '8080', 65_535),
    mqttPort: number('MQTT_PORT', env.MQTT_PORT || '1883', 65_535),
    stores: number('--stores', values.stores, 100),
    bytes: number('--size', values.size, 100_000) * 1024 * 1024,
    chaos: values.chaos,
    keep: values.keep,
    email: env.EMAIL,
    password: env.PASSWORD,
    say: (line) => console.log(line)
  }
}

function number(name: string, text: string, maximum: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= maximum) return value
  throw new Error(`${name} must be a whole number from 1 to ${maximum}, not '${text}'`)
}
