import { realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import type { Paths } from './paths.js'

/** A step that could reach the journal could rewrite history. The state folder need not exist yet. */
export async function refuseOverlap(stateDir: string, paths: Paths): Promise<void> {
  const state = await trueOf(stateDir)
  const isAbove = paths.roots.some((root) => root.startsWith(state + sep))
  if (paths.contains(state) || isAbove) throw new Error(`STATE_DIR ${state} and ROOTS must not lie within each other`)
}

async function trueOf(path: string): Promise<string> {
  const isThere = await stat(path).catch(() => undefined)
  return isThere || dirname(path) === path ? realpath(path) : join(await trueOf(dirname(path)), basename(path))
}
