import { lstat, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { isSame, PathError, type Paths } from '../paths.js'
import { findFiles, hasWildcard } from '../tree.js'
import { type Outcome, requiredPath, type StepContext, StepError } from './step.js'

/**
 * DELETE_FILE: a file, a link itself (never what it leads to), the files that fit a pattern, or a folder with all below it.
 * Repeatable: what is gone is gone, and what came after the step began is not touched.
 */
export async function deleteFile({ parts, step, plan, signal }: StepContext): Promise<Outcome> {
  const path = requiredPath(step, 'filePath')
  const doomed = await plan(() => findDoomed(parts.paths, path, step.ignoreHiddenFile ?? false))
  let [gone, left] = [0, 0]
  for (const entry of doomed) {
    signal.throwIfAborted()
    // Files of one folder become durable with the last of them, a folder's with the folder.
    const end = await removeOne(parts.paths, entry, entry.endsWith('/') || entry === doomed.at(-1))
    if (end === 'gone') gone += 1
    if (end === 'left') left += 1
  }
  const message =
    gone === 0 ? `${path} does not exist` : `deleted ${path}${doomed.length > 1 ? `, ${gone} entries` : ''}`
  const kept = left > 0 ? `; ${left} folders are not empty and stay` : ''
  return { status: 'SUCCESS', message: message + kept, answer: true }
}

/** True paths in the order of deletion: what a folder holds before the folder, which ends with a slash. */
async function findDoomed(paths: Paths, path: string, ignoreHidden: boolean): Promise<string[]> {
  try {
    const link = hasWildcard(path) ? undefined : await findLink(paths, path)
    if (link !== undefined) return [link]
    const { kind, base, files, folders, links, odd } = await findFiles(paths, path, ignoreHidden)
    if (kind === 'file') return [base]
    if (kind === 'pattern') return files.map((name) => join(base, name))
    if (paths.roots.some((root) => isSame(root, base)))
      throw new StepError(`${base} is one of the allowed folders itself and stays`)
    if (odd[0] !== undefined) throw new StepError(`${join(base, odd[0])} is no file, folder or link`)
    const below = folders.toReversed().map((name) => `${join(base, name)}/`)
    return [...[...files, ...links].map((name) => join(base, name)), ...below, `${base}/`]
  } catch (error) {
    if (error instanceof PathError && error.isMissing) return []
    throw error
  }
}

async function findLink(paths: Paths, path: string): Promise<string | undefined> {
  const place = await paths.open(path, { ofLink: true })
  try {
    const facts = await lstat(place.at(place.name)).catch(() => undefined)
    return facts?.isSymbolicLink() ? place.path : undefined
  } finally {
    await place.close()
  }
}

async function removeOne(paths: Paths, entry: string, isDurable: boolean): Promise<'gone' | 'absent' | 'left'> {
  try {
    const place = await paths.open(entry, { ofLink: true })
    try {
      await (entry.endsWith('/') ? rmdir(place.at(place.name)) : unlink(place.at(place.name)))
      if (isDurable) await place.syncFolder()
    } finally {
      await place.close()
    }
    return 'gone'
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || (error instanceof PathError && error.isMissing)) return 'absent'
    if (code === 'ENOTEMPTY') return 'left'
    throw error
  }
}
