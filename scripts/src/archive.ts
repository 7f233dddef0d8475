import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { findStack } from '@fleetgate/local'

/** What lasts of a stack: documents, streams with the files in them, what services keep, keys. */
const kept = ['documents', 'nats', 'services', 'mqtt-cert.pem', 'mqtt-key.pem', 'secrets.key']

/** Writes what lasts of a stopped stack into one file that its user alone may read. */
export function backUp(dataDir: string, file: string): void {
  refuseRunning(dataDir)
  const there = kept.filter((name) => existsSync(join(dataDir, name)))
  if (!there.includes('secrets.key'))
    throw new Error(`${dataDir} is no data folder of Fleetgate: it has no secrets.key`)
  const part = `${resolve(file)}.part`
  rmSync(part, { force: true })
  // The configuration of NATS is made anew at each start, with a password of that start.
  const args = ['-c', '-z', '-f', part, '-C', dataDir, '--exclude=nats/nats.conf', '--exclude=nats/nats.pid', ...there]
  execFileSync('tar', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  chmodSync(part, 0o600)
  renameSync(part, resolve(file))
}

/** Puts a backup into a data folder that holds nothing yet. */
export function restore(file: string, dataDir: string): void {
  refuseRunning(dataDir)
  if (!existsSync(file)) throw new Error(`there is no file ${file}`)
  if (kept.some((name) => existsSync(join(dataDir, name))))
    throw new Error(`${dataDir} holds data already: move it away, or name another folder in DATA_DIR`)
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const unpacked = `${resolve(dataDir)}/restoring`
  rmSync(unpacked, { recursive: true, force: true })
  mkdirSync(unpacked, { mode: 0o700 })
  execFileSync('tar', ['-x', '-z', '-f', resolve(file), '-C', unpacked], { stdio: ['ignore', 'ignore', 'inherit'] })
  // The key last: a folder with it is whole.
  const names = readdirSync(unpacked).sort((a, b) => kept.indexOf(a) - kept.indexOf(b))
  for (const name of names) renameSync(join(unpacked, name), join(dataDir, name))
  rmSync(unpacked, { recursive: true })
}

function refuseRunning(dataDir: string): void {
  const running = findStack(dataDir)
  if (running) throw new Error(`Fleetgate runs on ${dataDir} (process ${running.pid}): stop it first`)
}
