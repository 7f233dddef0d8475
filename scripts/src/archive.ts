import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Claim, ClaimedError, takeDataDir } from '@fleetgate/local'

/** What lasts of a stack: documents, streams with the files in them, what services keep, keys. */
const kept = ['documents', 'nats', 'services', 'mqtt-cert.pem', 'mqtt-key.pem', 'secrets.key']

/** The configuration of NATS is made anew at each start, with a password of that start. */
const leftOut = ['nats/nats.conf', 'nats/nats.pid']

/** Writes what lasts of a stopped stack into one file that its user alone may read. Nothing can start on it meanwhile. */
export async function backUp(dataDir: string, file: string): Promise<void> {
  if (!existsSync(join(dataDir, 'secrets.key')))
    throw new Error(`${dataDir} is no data folder of Fleetgate: it has no secrets.key`)
  const held = await take(dataDir)
  const part = `${resolve(file)}.part`
  try {
    rmSync(part, { force: true })
    // Made before it is filled: the key of all secrets goes into it.
    closeSync(openSync(part, 'wx', 0o600))
    const there = kept.filter((name) => existsSync(join(dataDir, name)))
    const args = ['-c', '-z', '-f', part, '-C', dataDir, ...leftOut.map((name) => `--exclude=${name}`), ...there]
    execFileSync('tar', args, { stdio: ['ignore', 'ignore', 'inherit'] })
    renameSync(part, resolve(file))
  } finally {
    rmSync(part, { force: true })
    held.release()
  }
}

/** Puts a backup into a data folder that holds nothing yet. */
export async function restore(file: string, dataDir: string): Promise<void> {
  if (!existsSync(file)) throw new Error(`there is no file ${file}`)
  const held = await take(dataDir)
  try {
    unpack(file, dataDir)
  } finally {
    held.release()
  }
}

function unpack(file: string, dataDir: string): void {
  if (kept.some((name) => existsSync(join(dataDir, name))))
    throw new Error(`${dataDir} holds data already: move it away, or name another folder in DATA_DIR`)
  const unpacked = `${resolve(dataDir)}/restoring`
  rmSync(unpacked, { recursive: true, force: true })
  mkdirSync(unpacked, { mode: 0o700 })
  execFileSync('tar', ['-x', '-z', '-f', resolve(file), '-C', unpacked], { stdio: ['ignore', 'ignore', 'inherit'] })
  // The key last: a folder with it is whole.
  const names = readdirSync(unpacked).sort((a, b) => kept.indexOf(a) - kept.indexOf(b))
  for (const name of names) renameSync(join(unpacked, name), join(dataDir, name))
  rmSync(unpacked, { recursive: true })
}

async function take(dataDir: string): Promise<Claim> {
  try {
    return await takeDataDir(dataDir)
  } catch (error) {
    if (!(error instanceof ClaimedError)) throw error
    throw new Error(`Fleetgate runs on ${dataDir} (process ${error.owner}): stop it first`, { cause: error })
  }
}
