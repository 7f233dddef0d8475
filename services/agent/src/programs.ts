import { realpath, stat } from 'node:fs/promises'
import { isAbsolute, sep } from 'node:path'
import { isWithin, PathError, type Paths, refuseOddPath } from './paths.js'

/**
 * The true path of a program that may be run. Allowed are the programs named in the list and those below the folders
 * named there, judged by their true paths, so a link cannot smuggle another program in.
 */
export async function resolveProgram(path: string, allowed: string[], paths: Paths): Promise<string> {
  refuseOddPath(path)
  if (allowed.length === 0) throw new PathError('this machine allows no programs (PROGRAMS is empty)')
  const absolute = isAbsolute(path) ? path : `${paths.roots[0]}${sep}${path}`
  const real = await realpath(absolute).catch((error: NodeJS.ErrnoException) => {
    throw new PathError(error.code === 'ENOENT' ? `${path} does not exist` : `${path} cannot be read: ${error.code}`)
  })
  if (!(await isAllowed(real, allowed))) throw new PathError(`${path} is not on the list of allowed programs`)
  if (!(await stat(real)).isFile()) throw new PathError(`${path} is not a program file`)
  return real
}

/** Judges a true path; it need not exist. */
export async function isAllowed(path: string, allowed: string[]): Promise<boolean> {
  for (const entry of allowed) {
    const real = await realpath(entry).catch(() => entry)
    if (isWithin(real, path)) return true
  }
  return false
}
