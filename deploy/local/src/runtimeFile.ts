import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { endProcess, type Identity, isAlive } from './process/identity.js'

/** `runtime.json` in DATA_DIR: what runs there now. It holds credentials, so it is for its user alone. */
export interface RuntimeInfo extends Identity {
  url: string
  mqttUrl: string
  natsUrl: string
  mongoUri: string
  /** Base URL of each service, by name. */
  urls: Record<string, string>
  /** False while it starts. */
  isReady: boolean
  processes: (Identity & { name: string })[]
}

const fileName = 'runtime.json'
const leftoverGraceMs = 3000

export function writeRuntime(dataDir: string, info: RuntimeInfo): void {
  const file = join(dataDir, fileName)
  writeFileSync(`${file}.new`, `${JSON.stringify(info, undefined, 2)}\n`, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

export function removeRuntime(dataDir: string): void {
  rmSync(join(dataDir, fileName), { force: true })
}

/** What the file says, whether that still runs or not. */
export function readRuntime(dataDir: string): RuntimeInfo | undefined {
  try {
    return JSON.parse(readFileSync(join(dataDir, fileName), 'utf8')) as RuntimeInfo
  } catch {
    return undefined
  }
}

/** The stack that runs on this folder, or nothing. */
export function findStack(dataDir: string): RuntimeInfo | undefined {
  const info = readRuntime(dataDir)
  return info && isAlive(info) ? info : undefined
}

/** Ends what a killed runtime left behind. Only for the process that has claimed the folder. */
export async function endLeftovers(dataDir: string): Promise<void> {
  const info = readRuntime(dataDir)
  await Promise.all((info?.processes ?? []).map((process) => endProcess(process, leftoverGraceMs)))
  removeRuntime(dataDir)
}
