import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isRunning, markOf, type ProcessMark } from './platform/processes.js'

/** Two agents on one state folder would run everything twice. Answers the release. */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'agent.lock')
  for (;;) {
    try {
      await writeFile(path, JSON.stringify(await markOf(process.pid)), { flag: 'wx', mode: 0o600 })
      return () => rm(path, { force: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = await holderOf(folder)
    if (holder) throw new Error(`${folder} is in use by the agent with pid ${holder.pid}`)
    await rm(path, { force: true })
  }
}

/** The agent that runs on this state folder now. */
export async function holderOf(folder: string): Promise<ProcessMark | undefined> {
  const holder = await readHolder(join(folder, 'agent.lock'))
  return holder && (await isRunning(holder)) ? holder : undefined
}

async function readHolder(path: string): Promise<ProcessMark | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as ProcessMark
  } catch {
    return undefined
  }
}
