import { open, readFile, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { decodeText } from '../decodeText.js'
import { replaceFile, syncPath } from '../platform/replaceFile.js'

export type ConfigFile = Record<string, unknown>

/** What is there already; nothing of it is lost when the machine enrols again. */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const text = await readFile(path).then(decodeText, (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}'
    throw error
  })
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as ConfigFile
  } catch {
    // Said below: a file that is no configuration is the operator's, and is not written over.
  }
  throw new Error(`${path} is there and holds no JSON object`)
}

/**
 * The file is as it was or holds all of it, whenever the machine dies, and nobody else may read it at any moment. It stays
 * its owner's.
 */
export async function writePrivately(path: string, text: string): Promise<void> {
  const draft = `${path}.new`
  await rm(draft, { force: true })
  const before = await stat(path).catch(() => undefined)
  const file = await open(draft, 'wx', 0o600)
  try {
    // By what was opened, never by a name: whoever may write to the folder could have put a link there since.
    if (before && process.getuid && before.uid !== process.getuid()) await file.chown(before.uid, before.gid)
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
  await replaceFile(draft, path)
  await syncPath(dirname(path))
}
