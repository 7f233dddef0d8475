import { setTimeout as delay } from 'node:timers/promises'
import { PathError, type Paths } from '../paths.js'
import { type Outcome, requiredPath, type StepContext } from './step.js'

const pollMs = 250

/** WAIT_FLAG_FILE: waits until a file or folder of this name is there, as long as the step's timeout allows. */
export async function waitFlagFile({ parts, step, signal }: StepContext): Promise<Outcome> {
  const path = requiredPath(step, 'filePath')
  const timeoutMs = step.timeout ? step.timeout * 1000 : parts.config.programTimeoutMs
  // By a clock that nobody sets: a corrected system time must not end or stretch the wait.
  for (const begun = performance.now(); ; ) {
    const found = await look(parts.paths, path)
    if (found !== undefined) return { status: 'SUCCESS', message: `${found} is there`, answer: true }
    if (performance.now() - begun >= timeoutMs) {
      return { status: 'FAILED', message: `${path} did not appear within ${timeoutMs / 1000} s`, answer: false }
    }
    await delay(Math.min(pollMs, timeoutMs), undefined, { signal })
  }
}

async function look(paths: Paths, path: string): Promise<string | undefined> {
  try {
    const place = await paths.open(path)
    try {
      return (await place.stat()) ? place.path : undefined
    } finally {
      await place.close()
    }
  } catch (error) {
    if (error instanceof PathError && error.isMissing) return undefined
    throw error
  }
}
