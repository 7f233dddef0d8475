import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { loadConfig } from '@fleetgate/kit'
import { type StackService, stackServices, workspaceRoot } from '@fleetgate/local'

type Schema = Parameters<typeof loadConfig>[0]

/** A process that is deployed, and the schema of its settings, read from its own code. */
export interface Process {
  name: StackService
  schema: Schema
  /** The names of its settings. */
  known: Set<string>
  /** Those that have neither a default nor may be left out. */
  required: string[]
  /** Throws where settings that are good each do not go together. */
  checkTogether(config: object): void
}

export async function loadProcesses(): Promise<Process[]> {
  return Promise.all(stackServices.map(loadProcess))
}

async function loadProcess(name: StackService): Promise<Process> {
  const folder = name === 'gateway' ? name : join('services', name)
  const file = pathToFileURL(join(workspaceRoot, folder, 'dist/src/config.js'))
  const { Config } = (await import(file.href)) as { Config: Schema }
  const known = new Set(Object.keys(Config.properties))
  const required = (Config.required ?? []).filter((key) => Config.properties[key]?.default === undefined)
  return { name, schema: Config, known, required, checkTogether: await togetherOf(name) }
}

/** broker-proxy wants more of some settings where its broker is EMQX. */
async function togetherOf(name: StackService): Promise<(config: object) => void> {
  if (name !== 'broker-proxy') return () => undefined
  const file = pathToFileURL(join(workspaceRoot, 'services/broker-proxy/dist/src/broker/emqx/settings.js'))
  const { emqxSettings } = (await import(file.href)) as { emqxSettings: (config: object) => unknown }
  return (config) => {
    if ((config as { BROKER: string }).BROKER === 'emqx') emqxSettings(config)
  }
}

/** What is wrong with the settings that a deployment gives to a process: missing, unknown, not to its schema. */
export function flawsOf(process: Process, given: NodeJS.ProcessEnv): string[] {
  const env = withoutFiles(process, given)
  const unknown = Object.keys(env).filter((key) => !process.known.has(key))
  const missing = process.required.filter((key) => !env[key])
  return [
    ...unknown.map((key) => `${process.name} knows no ${key}`),
    ...missing.map((key) => `${process.name} needs ${key}`),
    ...wrongValues(process, env)
  ]
}

/** Any setting may stand in a file that `<NAME>_FILE` names. */
function withoutFiles({ known }: Process, given: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const entries = Object.entries(given).map(([key, value]) => {
    const isFile = key.endsWith('_FILE') && !known.has(key)
    return isFile ? [key.slice(0, -'_FILE'.length), 'a-secret-from-a-file'] : [key, value]
  })
  return Object.fromEntries(entries)
}

function wrongValues({ name, schema, checkTogether }: Process, env: NodeJS.ProcessEnv): string[] {
  try {
    checkTogether(loadConfig(schema, env))
    return []
  } catch (error) {
    return [`${name}: ${(error as Error).message}`]
  }
}
