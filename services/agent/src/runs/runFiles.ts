import { access, link, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beginLife } from '../platform/life.js'
import { markOf, type ProcessMark } from '../platform/processes.js'
import { replaceFile, syncPath } from '../platform/replaceFile.js'

/** What the runner is told to start. */
export interface RunOrder {
  program: string
  args: string[]
  cwd: string
  timeoutMs: number
  /** The arguments are a command line already: they go to Windows as they are. */
  isVerbatim?: boolean | undefined
}

/** What became of a program. */
export interface RunExit {
  exitCode?: number | undefined
  signal?: string | undefined
  /** The program was ended because its time was over. */
  timedOut?: boolean | undefined
  /** The program was ended because the runner was told to. */
  cancelled?: boolean | undefined
  /** The program could not be started. */
  error?: string | undefined
}

/**
 * Who has the right to start the program of a run folder. `void` is set by an agent that found the folder unclaimed
 * after its own death: then no runner may start it any more.
 */
export interface Claim extends ProcessMark {
  isVoid?: boolean
}

export const orderFile = 'order'
export const outputFile = 'out'
const claimFile = 'pid'
const exitFile = 'exit'
const programFile = 'program'
const lifeFile = 'life'
const cancelFile = 'cancel'

export const readClaim = (folder: string) => readJson<Claim>(join(folder, claimFile))
export const readExit = (folder: string) => readJson<RunExit>(join(folder, exitFile))
export const readOrder = (folder: string) => readJson<RunOrder>(join(folder, orderFile))
export const readProgram = (folder: string) => readJson<ProcessMark>(join(folder, programFile))
export const writeExit = (folder: string, exit: RunExit) => writeJson(join(folder, exitFile), exit)
export const writeOrder = (folder: string, order: RunOrder) => writeJson(join(folder, orderFile), order)
export const writeProgram = (folder: string, mark: ProcessMark) => writeJson(join(folder, programFile), mark)

/** Tells the runner of the folder to end its program; a file, since Windows has no signal that one could listen to. */
export const wishEnd = (folder: string) => writeFile(join(folder, cancelFile), '')
export const isEndWished = (folder: string) =>
  access(join(folder, cancelFile)).then(
    () => true,
    () => false
  )

/**
 * Takes the folder's one claim; false when somebody has it. The claim is complete and on disk when it appears, so a
 * program that ever ran has left it, even after power loss.
 */
export async function claim(folder: string, isVoid: boolean): Promise<boolean> {
  const mark = isVoid ? await markOf(process.pid) : (await beginLife(join(folder, lifeFile)))?.mark
  if (!mark) return false
  const path = join(folder, claimFile)
  const draft = `${path}.${process.pid}`
  await writeSynced(draft, JSON.stringify({ ...mark, isVoid } satisfies Claim))
  try {
    await link(draft, path)
    await syncPath(folder)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** The file is either not there or complete. */
async function writeJson(path: string, value: object): Promise<void> {
  await writeSynced(`${path}.new`, JSON.stringify(value))
  await replaceFile(`${path}.new`, path)
  await syncPath(join(path, '..'))
}

async function writeSynced(path: string, text: string): Promise<void> {
  const handle = await open(path, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
