import { sha256Of } from '../files.js'
import { PathError, type Paths } from '../paths.js'
import { type Outcome, requiredPath, type StepContext } from './step.js'

/** GET_FILE_STATUS: SUCCESS if the file is there, with its facts; it changes nothing, so it may be done any number of times. */
export async function getFileStatus({ parts, step, signal }: StepContext): Promise<Outcome> {
  const path = requiredPath(step, 'filePath')
  try {
    return { status: 'SUCCESS', answer: true, message: await describe(parts.paths, path, signal) }
  } catch (error) {
    if (!(error instanceof PathError) || !error.isMissing) throw error
    return { status: 'FAILED', answer: false, message: `${path} does not exist` }
  }
}

async function describe(paths: Paths, path: string, signal: AbortSignal): Promise<string> {
  const place = await paths.open(path)
  try {
    const facts = await place.stat()
    if (facts?.isDirectory()) return `folder, changed ${facts.mtime.toISOString()}`
    const file = await paths.openFile(place)
    try {
      const { size, mtime } = await file.stat()
      return `file of ${size} bytes, changed ${mtime.toISOString()}, sha256 ${await sha256Of(file, signal)}`
    } finally {
      await file.close()
    }
  } finally {
    await place.close()
  }
}
