import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Log } from '@fleetgate/contracts'
import { claim } from '../process/claim.js'
import { downloadLibc } from './aptDownload.js'
import { glibcVersion, isAtLeast, neededGlibc, versionIn } from './glibc.js'
import { releaseOf } from './release.js'

/** Loader and library folder of each processor that the engine package knows. */
const platforms: Partial<Record<NodeJS.Architecture, { triplet: string; loader: string }>> = {
  x64: { triplet: 'x86_64-linux-gnu', loader: 'ld-linux-x86-64.so.2' },
  arm64: { triplet: 'aarch64-linux-gnu', loader: 'ld-linux-aarch64.so.1' }
}

/** How to start Node for the engine: `[command, ...first arguments]`. */
export type NodeCommand = [command: string, ...args: string[]]

const claimWaitMs = 200_000

/**
 * Node as it is where the C library is new enough; else Node through a newer libc6, fetched once into a cache folder.
 * That process alone uses it: nothing on the system changes.
 */
export async function nodeForEngine(log?: Log): Promise<NodeCommand> {
  const version = glibcVersion()
  if (process.platform !== 'linux' || (version && isAtLeast(version, neededGlibc))) return [process.execPath]
  try {
    if (!version) throw new Error('this system does not use glibc')
    return await cachedLibc(log)
  } catch (cause) {
    const reason =
      cause instanceof Error ? (cause as Error & { stderr?: string }).stderr || cause.message : String(cause)
    throw new Error(
      `The embedded document engine needs glibc ${neededGlibc} or newer. This machine has ${version ?? 'none'}, and ` +
        `a newer one could not be fetched beside it (${reason.trim()}). Set MONGODB_URI to a MongoDB replica set ` +
        '(for example mongodb://db.example.com:27017/?replicaSet=rs0) and start again.',
      { cause }
    )
  }
}

async function cachedLibc(log?: Log): Promise<NodeCommand> {
  const platform = platforms[process.arch]
  const release = releaseOf(readFileSync('/etc/os-release', 'utf8'))
  if (!platform) throw new Error(`no engine for ${process.arch}`)
  if (!release?.next) throw new Error(`no newer release is known for ${release?.suite ?? 'this system'}`)
  const cache = cacheFolder()
  const folder = join(cache, `libc6-${release.next}-${process.arch}`)
  if (!existsSync(folder)) {
    mkdirSync(cache, { recursive: true, mode: 0o700 })
    const held = await claim(cache, { waitMs: claimWaitMs })
    try {
      if (!existsSync(folder)) await fetchInto(folder, { from: release.suite, to: release.next }, log)
    } finally {
      held.release()
    }
  }
  return commandIn(folder, platform)
}

/** `FLEETGATE_CACHE`, else the user's cache folder. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  return env.FLEETGATE_CACHE || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'fleetgate')
}

async function fetchInto(folder: string, change: { from: string; to: string }, log?: Log): Promise<void> {
  log?.info({ release: change.to, folder }, 'fetching a newer C library for the document engine, once')
  const work = mkdtempSync(`${folder}.`)
  try {
    const file = await downloadLibc(work, change)
    const tree = join(work, 'tree')
    execFileSync('dpkg-deb', ['-x', file, tree], { stdio: 'pipe' })
    const platform = platforms[process.arch]
    if (platform) checkLibc(commandIn(tree, platform))
    renameSync(tree, folder)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Fails when it is too old or cannot run this Node: better here than as a riddle at the engine's start. */
function checkLibc([loader, ...args]: NodeCommand): void {
  const version = versionIn(execFileSync(loader, ['--version'], { encoding: 'utf8' }).replace(/^.*?GLIBC/s, ''))
  if (!version || !isAtLeast(version, neededGlibc)) throw new Error(`fetched glibc ${version ?? 'of no version'}`)
  execFileSync(loader, [...args, '--version'], { stdio: 'pipe' })
}

function commandIn(folder: string, { triplet, loader }: { triplet: string; loader: string }): NodeCommand {
  // Older packages put it below /lib.
  const own = [join(folder, 'usr/lib', triplet), join(folder, 'lib', triplet)].find((dir) =>
    existsSync(join(dir, loader))
  )
  if (!own) throw new Error(`no ${loader} in ${folder}: remove that folder and start again`)
  const path = [own, `/lib/${triplet}`, `/usr/lib/${triplet}`].join(':')
  return [join(own, loader), '--library-path', path, process.execPath]
}
