import { chmod, open, rename, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

const isWindows = process.platform === 'win32'

export interface Patience {
  /** How long to go on trying; 0 is rename() as it is. */
  withinMs: number
  everyMs: number
  rename(from: string, to: string): Promise<void>
}

const usual: Patience = { withinMs: isWindows ? 5000 : 0, everyMs: 50, rename }

/**
 * Puts a file in the place of another. Windows refuses that while somebody has the other open, as virus scanners and viewers
 * have for a moment, and where it is read-only; elsewhere it is a rename and nothing else.
 */
export async function replaceFile(from: string, to: string, patience: Partial<Patience> = {}): Promise<void> {
  const { withinMs, everyMs, rename: move } = { ...usual, ...patience }
  for (const begun = performance.now(); ; ) {
    try {
      return await move(from, to)
    } catch (error) {
      if (!isInUse(error) || withinMs === 0) throw error
      if (performance.now() - begun >= withinMs) throw inUse(to, error)
      await makeWritable(to)
      await delay(everyMs)
    }
  }
}

/** What Windows says of a file that others have open: access denied, or a sharing violation. */
export function isInUse(error: unknown): boolean {
  return ['EPERM', 'EACCES', 'EBUSY'].includes((error as NodeJS.ErrnoException).code ?? '')
}

function inUse(path: string, cause: unknown): Error {
  const { code } = cause as NodeJS.ErrnoException
  return Object.assign(new Error(`${path} cannot be replaced: another program has it open (${code})`, { cause }), {
    code
  })
}

async function makeWritable(path: string): Promise<void> {
  const facts = await stat(path).catch(() => undefined)
  if (facts && (facts.mode & 0o200) === 0) await chmod(path, facts.mode | 0o200).catch(() => undefined)
}

/** Makes durable what was made or renamed in a folder. Windows makes no folder durable, and refuses to. */
export async function syncPath(path: string): Promise<void> {
  if (isWindows) return
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
