import { constants } from 'node:fs'
import { access, open, readdir, rm, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { AgentConfig } from '../config.js'
import { holderOf } from '../lock.js'
import { refuseOverlap } from '../overlap.js'
import { createPaths } from '../paths.js'
import { isWindowsProgram } from '../platform/windowsPrograms.js'
import { Skipped } from './result.js'

type Looks = [name: string, work: () => Promise<string>][]

/** With less the next file or journal entry may be one too many. */
const leastFree = 100 * 1024 * 1024

export function localLooks(config: AgentConfig): Looks {
  const { stateDir, roots, programs, mqtt } = config
  return [
    ['secrets', () => lookAtSecrets(mqtt.passwordFile)],
    ['state', () => lookAtState(stateDir)],
    ...roots.map((root): Looks[number] => ['root', () => lookAtRoot(root)]),
    ['nesting', () => lookAtNesting(config)],
    ...programs.map((path): Looks[number] => ['program', () => lookAtProgram(path)]),
    ...[...new Set([stateDir, ...roots])].map((path): Looks[number] => ['disk', () => lookAtDisk(path)])
  ]
}

/** The group may read it: that is how a file of root's is lent to the agent. */
async function lookAtSecrets(path: string | undefined): Promise<string> {
  if (path === undefined) throw new Skipped('the password is in no file')
  if (process.platform === 'win32') throw new Skipped('Windows has no permissions that this could look at')
  if ((await stat(path)).mode & 0o007) throw new Error(`everybody may read the password in ${path}: chmod 600`)
  return `${path} is nobody else's`
}

async function lookAtState(stateDir: string): Promise<string> {
  const path = await nearest(stateDir)
  // Making the folder would leave it to whoever runs this look, who need not be whoever runs the agent.
  await access(path, constants.W_OK | constants.X_OK).catch(because(`${path} is not writable by this user`))
  if (path !== stateDir) return `${stateDir} will be made in ${path}`
  await tryToWrite(stateDir)
  const holder = await holderOf(stateDir)
  return `${stateDir} is writable${holder ? `; an agent uses it as process ${holder.pid}` : ''}`
}

async function lookAtRoot(root: string): Promise<string> {
  const facts = await stat(root).catch(because(`${root} does not exist`))
  if (!facts.isDirectory()) throw new Error(`${root} is not a folder`)
  await tryToWrite(root)
  return `${root} is writable`
}

async function lookAtNesting({ stateDir, roots }: AgentConfig): Promise<string> {
  await refuseOverlap(stateDir, await createPaths(roots))
  return 'state folder and roots lie apart'
}

async function lookAtProgram(path: string): Promise<string> {
  const facts = await stat(path).catch(because(`${path} does not exist`))
  if (!facts.isDirectory()) {
    await access(path, constants.X_OK).catch(because(`${path} is not executable by this user`))
    return `${path} is executable`
  }
  const names = await readdir(path).catch(because(`${path} is not readable by this user`))
  const may = await Promise.all(names.map((name) => isProgram(join(path, name))))
  const count = may.filter(Boolean).length
  return `${path} holds ${count} ${count === 1 ? 'program' : 'programs'} that may be run`
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return (await stat(path)).isFile() && (process.platform !== 'win32' || isWindowsProgram(path))
  } catch {
    return false
  }
}

async function lookAtDisk(path: string): Promise<string> {
  const { bavail, bsize } = await statfs(await nearest(path))
  const detail = `${Math.floor((bavail * bsize) / 1024 / 1024)} MB free for ${path}`
  if (bavail * bsize < leastFree) throw new Error(`${detail}, which is less than ${leastFree / 1024 / 1024}`)
  return detail
}

async function tryToWrite(folder: string): Promise<void> {
  const path = join(folder, `.fleetgate-check-${process.pid}.part`)
  try {
    const file = await open(path, 'wx', 0o600)
    await file.sync().finally(() => file.close())
  } catch (cause) {
    throw new Error(`${folder} is not writable by this user: ${(cause as Error).message}`, { cause })
  } finally {
    await rm(path, { force: true })
  }
}

/** The folder itself, or the nearest above that exists. */
async function nearest(path: string): Promise<string> {
  const isThere = await stat(path).then(
    (facts) => facts.isDirectory(),
    () => false
  )
  return isThere || dirname(path) === path ? path : nearest(dirname(path))
}

function because(message: string): (cause: unknown) => never {
  return (cause) => {
    throw new Error(message, { cause })
  }
}
