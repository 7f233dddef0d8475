import { link, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beginLife } from './platform/life.js'
import { isRunning, type ProcessMark } from './platform/processes.js'
import { replaceFile } from './platform/replaceFile.js'

const first = 'agent.lock'

/**
 * Two agents on one state folder would run everything twice. Answers the release.
 *
 * A lock is never taken over, because between the look at a dead agent's lock and its removal another agent may have come:
 * the next number is taken, which one alone can make, and the highest one counts. So the highest is never removed: a release
 * leaves it there, as nobody's.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const life = await beginLife(join(folder, 'agent.life'))
  if (!life) throw new Error(`${folder} is in use by another agent`)
  try {
    const own = await takeNumber(folder, life.mark)
    return async () => {
      await release(own)
      life.end()
    }
  } catch (error) {
    life.end()
    throw error
  }
}

async function takeNumber(folder: string, mark: ProcessMark): Promise<string> {
  const draft = join(folder, `lock-draft-${process.pid}-${drafts++}`)
  // Made aside: whoever looks at a lock sees the whole of it.
  await writeFile(draft, JSON.stringify(mark), { mode: 0o600 })
  try {
    for (;;) {
      const number = await highest(folder)
      await refuseIfHeld(folder, number)
      const own = join(folder, nameOf(number + 1))
      if (!(await isMade(link(draft, own)))) continue
      if ((await highest(folder)) === number + 1) {
        await removeBelow(folder, number + 1)
        return own
      }
      // Its number had been taken, given back and gone: who looked at the same time as this one was faster by far.
      await rm(own, { force: true })
    }
  } finally {
    await rm(draft, { force: true })
  }
}

let drafts = 1

/** The agent that runs on this state folder now. */
export async function holderOf(folder: string): Promise<ProcessMark | undefined> {
  return holderAt(folder, await highest(folder))
}

async function refuseIfHeld(folder: string, number: number): Promise<void> {
  const holder = await holderAt(folder, number)
  if (holder) throw new Error(`${folder} is in use by the agent with pid ${holder.pid}`)
}

async function holderAt(folder: string, number: number): Promise<ProcessMark | undefined> {
  try {
    const mark = JSON.parse(await readFile(join(folder, nameOf(number)), 'utf8')) as ProcessMark
    return (await isRunning(mark)) ? mark : undefined
  } catch {
    // Not there, or left unreadable by a power loss: nobody's.
    return undefined
  }
}

function nameOf(number: number): string {
  return number === 0 ? first : `${first}.${number}`
}

function numberOf(name: string): number | undefined {
  const [, digits] = /^agent\.lock\.(\d{1,15})$/.exec(name) ?? []
  return name === first ? 0 : digits === undefined ? undefined : Number(digits)
}

async function numbers(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => [])
  return names.map(numberOf).filter((number) => number !== undefined)
}

/** 0 where there is none. */
async function highest(folder: string): Promise<number> {
  return Math.max(0, ...(await numbers(folder)))
}

async function isMade(work: Promise<void>): Promise<boolean> {
  try {
    await work
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return false
  }
}

async function removeBelow(folder: string, number: number): Promise<void> {
  const older = (await numbers(folder)).filter((each) => each < number)
  for (const each of older) await rm(join(folder, nameOf(each)), { force: true })
}

async function release(path: string): Promise<void> {
  await writeFile(`${path}.free`, '')
  await replaceFile(`${path}.free`, path)
}
