import { closeSync, openSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Identity, identify, isAlive } from './identity.js'

/** A folder that is ours until released, or until this process dies. */
export interface Claim {
  release(): void
}

/** Thrown when the folder belongs to another living process. */
export class ClaimedError extends Error {
  override readonly name = 'ClaimedError'

  constructor(
    readonly folder: string,
    readonly owner: number
  ) {
    super(`${folder} is in use by process ${owner}`)
  }
}

const pattern = /^lock-(\d+)-(.+)$/
const retryMs = 50

/**
 * Takes a folder for this process, waiting up to `waitMs` while another has it. The lock is an empty file that names
 * its owner (process id and start time), so a dead owner holds nothing. Everyone first puts up its file and then looks for
 * others: of two at the same time at least one sees the other and steps back.
 */
export async function claim(folder: string, { waitMs = 300 } = {}): Promise<Claim> {
  const me = identify(process.pid)
  if (!me) throw new Error('cannot read the start time of this process')
  const file = join(folder, `lock-${me.pid}-${me.startedAt}`)
  const end = Date.now() + waitMs
  for (;;) {
    const owner = attempt(folder, file)
    if (owner === undefined) return heldUntilExit(file)
    if (Date.now() > end) throw new ClaimedError(folder, owner)
    // A random wait, so that two that stepped back do not meet again.
    await new Promise((resolve) => setTimeout(resolve, retryMs * (1 + Math.random())))
  }
}

function heldUntilExit(file: string): Claim {
  const remove = () => rmSync(file, { force: true })
  process.once('exit', remove)
  const release = () => {
    process.off('exit', remove)
    remove()
  }
  return { release }
}

/** Answers the process that has the folder, or nothing when it is ours now. */
function attempt(folder: string, file: string): number | undefined {
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return process.pid
    throw error
  }
  for (const other of others(folder, file)) {
    if (isAlive(other)) {
      rmSync(file, { force: true })
      return other.pid
    }
    rmSync(join(folder, `lock-${other.pid}-${other.startedAt}`), { force: true })
  }
  return undefined
}

function others(folder: string, file: string): Identity[] {
  return readdirSync(folder).flatMap((name) => {
    const [, pid, startedAt] = pattern.exec(name) ?? []
    return pid && startedAt && join(folder, name) !== file ? [{ pid: Number(pid), startedAt }] : []
  })
}
