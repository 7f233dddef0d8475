import { constants } from 'node:fs'
import { basename, join } from 'node:path'
import type { ManifestFile, Step } from '@fleetgate/contracts/fleet'
import { sha256Of } from '../files.js'
import { PathError, type Paths, type Place } from '../paths.js'
import { isAllowed } from '../programs.js'
import { requiredPath, StepError, type StepParts } from './step.js'

/** What arrives at a target: `path` is its name below the target, empty for the one file that the step names. */
export interface Arriving {
  path: string
  /** The name that a file without one of its own takes in a folder. */
  name: string
}

type TargetStep = Pick<Step, 'targetFilePath' | 'createFilePath'>

/** Finds the place that a file shall take, and makes missing folders where the step allows it. */
export async function openTarget(paths: Paths, step: TargetStep, { path, name }: Arriving): Promise<Place> {
  const target = requiredPath(step, 'targetFilePath')
  if (path === '') return openOne(paths, await nameIn(paths, target, name), step.createFilePath ?? false)
  if (!step.createFilePath && !(await isFolder(paths, target))) {
    throw new StepError(`folder ${target} does not exist (createFilePath is off)`)
  }
  // Folders within what is sent belong to it.
  return openOne(paths, join(target, refuseDots(path)), true)
}

/** A target that is a folder, or says so by its last character, takes the file's own name. */
async function nameIn(paths: Paths, target: string, name: string): Promise<string> {
  return /[\\/]$/.test(target) || (await isFolder(paths, target)) ? join(target, refuseDots(name)) : target
}

/** The last part of a path of any machine. */
export function nameOf(path: string): string {
  return basename(path.replaceAll('\\', '/'))
}

/** join() would resolve `..` before anybody could refuse it. */
function refuseDots(path: string): string {
  if (path === '' || path.split(/[\\/]/).includes('..'))
    throw new PathError(`'${path}' is no file name for this machine`)
  return path
}

async function isFolder(paths: Paths, path: string): Promise<boolean> {
  try {
    const place = await paths.open(path)
    const facts = await place.stat().finally(() => place.close())
    return facts?.isDirectory() ?? false
  } catch (error) {
    if (error instanceof PathError && error.isMissing) return false
    throw error
  }
}

async function openOne(paths: Paths, path: string, create: boolean): Promise<Place> {
  try {
    return await paths.open(path, { create })
  } catch (error) {
    if (!(error instanceof PathError) || !error.isMissing) throw error
    throw new StepError(`${error.message} (createFilePath is off)`)
  }
}

export type Content = Pick<ManifestFile, 'sha256' | 'size'>

/**
 * Why nothing needs to be done about the file that is there: it is to be left alone, or has this content, whatever
 * `overWrite` says. `content` is asked for only where it decides.
 */
export async function reasonToSkip(
  { paths }: Pick<StepParts, 'paths'>,
  {
    place,
    step,
    content,
    signal
  }: { place: Place; step: Pick<Step, 'overWrite'>; content: () => Promise<Content>; signal: AbortSignal }
): Promise<string | undefined> {
  const there = await place.stat()
  if (!there) return undefined
  if (!there.isFile()) throw new StepError(`${place.path} is there and is not a regular file`)
  if (step.overWrite === 'NOT_OVERWRITE') return `skipped: ${place.path} exists`
  const { size, sha256 } = await content()
  if (there.size !== size) return undefined
  const handle = await paths.openFile(place)
  try {
    if ((await sha256Of(handle, signal)) !== sha256) return undefined
    return `${place.path} has this content already (sha256 ${sha256})`
  } finally {
    await handle.close()
  }
}

const plainMode = constants.S_IRUSR | constants.S_IWUSR | constants.S_IRGRP | constants.S_IROTH

/**
 * Permissions of the file to be: those of the one it replaces, else `newMode`. Where the machine's owner allows programs, a
 * file is one: it must be executable to be of use.
 */
export async function modeOf(
  { config }: Pick<StepParts, 'config'>,
  place: Place,
  newMode = plainMode
): Promise<number> {
  const base = ((await place.stat())?.mode ?? newMode) & 0o777
  return (await isAllowed(place.path, config.programs)) ? base | 0o111 : base
}

/** One line for what was done to each of some files. */
export function summaryOf(messages: string[]): string {
  return messages.length === 1 ? (messages[0] ?? '') : `${messages.length} files: ${messages.join('; ')}`
}
