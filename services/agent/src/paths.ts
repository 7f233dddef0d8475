import type { Stats } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, realpath } from 'node:fs/promises'
import nodePath, { isAbsolute, join, normalize, type posix, sep } from 'node:path'
import { asFile, hasExactFolders, type OpenFolder, openFolder, refuseOther } from './platform/folders.js'
import { isWithinOnWindows, oddWindowsPath } from './platform/windowsPaths.js'

/** A path that a step may not use, with the reason to report. */
export class PathError extends Error {
  override readonly name = 'PathError'
  constructor(
    message: string,
    /** The path is allowed but a folder on the way to it is not there. */
    readonly isMissing = false
  ) {
    super(message)
  }
}

/**
 * A place below the roots: an opened folder and a name in it. All work on the file goes through `at()`, which is
 * relative to the opened folder, so nobody can swap a folder on the way for a link between the check and the use.
 */
export interface Place {
  /** The true absolute path, for messages and keys. */
  readonly path: string
  readonly name: string
  readonly folderPath: string
  at(name: string): string
  /** Facts of the place itself, or nothing if nothing is there. Never a symbolic link. */
  stat(): Promise<Stats | undefined>
  /** Makes a rename in the folder durable. */
  syncFolder(): Promise<void>
  close(): Promise<void>
}

export interface Paths {
  /**
   * Finds the place of a step's path; `create` makes missing folders, `ofLink` means a link itself where the path ends in
   * one. Throws PathError.
   */
  open(path: string, options?: OpenOptions): Promise<Place>
  /** Opens a regular file below the roots for reading. */
  openFile(place: Place): Promise<FileHandle>
  /** Is this true path one of the roots or below one? */
  contains(path: string): boolean
  readonly roots: readonly string[]
}

export interface OpenOptions {
  create?: boolean
  ofLink?: boolean
}

const maxLinks = 20

/**
 * `roots` must be existing folders; relative paths are below the first. `isExact`: folders are walked from one opened folder to
 * the next, and not by their paths.
 */
export async function createPaths(roots: string[], isExact = hasExactFolders): Promise<Paths> {
  const trueRoots = await Promise.all(roots.map((root) => realpath(root)))
  const first = trueRoots[0]
  if (first === undefined) throw new Error('at least one root is needed')
  const contains = (path: string) => trueRoots.some((root) => isWithin(root, path))

  /** The path in terms of true roots; `..` is refused rather than resolved. */
  function locate(path: string): string {
    refuseOddPath(path)
    if (!isAbsolute(path)) return normalize(join(first as string, path))
    const plain = normalize(path)
    const index = roots.findIndex((root) => isWithin(normalize(root), plain))
    if (index >= 0) return join(trueRoots[index] as string, plain.slice(normalize(roots[index] as string).length))
    if (contains(plain)) return plain
    throw new PathError(`${path} is outside of the allowed folders`)
  }

  async function openPlace(path: string, options: OpenOptions): Promise<Place> {
    let target = strip(locate(path))
    for (let links = 0; links < maxLinks; links += 1) {
      const found = await walk(rootOf(target), target, { ...options, isExact })
      if (typeof found !== 'string') return found
      target = await follow(found, path)
    }
    throw new PathError(`${path} has too many symbolic links`)
  }

  function rootOf(target: string): string {
    const root = trueRoots.find((candidate) => isWithin(candidate, target))
    if (root === undefined) throw new PathError(`${target} is outside of the allowed folders`)
    return root
  }

  /** `link` and what comes after it, with the link resolved. */
  async function follow(found: string, path: string): Promise<string> {
    const [link = '', rest = ''] = found.split('\0')
    const real = await realpath(link).catch(() => {
      throw new PathError(`${path} passes a symbolic link that leads nowhere`)
    })
    if (!contains(real)) throw new PathError(`${path} leads out of the allowed folders by a symbolic link`)
    return strip(join(real, rest))
  }

  return {
    roots: trueRoots,
    contains,
    open: (path, options = {}) => openPlace(path, options),
    openFile: async (place) => {
      const facts = await place.stat()
      if (!facts) throw new PathError(`${place.path} does not exist`, true)
      if (!facts.isFile()) throw new PathError(`${place.path} is not a regular file`)
      const handle = await open(place.at(place.name), asFile)
      try {
        if (!isExact) await refuseOther(place.path)
        if ((await handle.stat()).isFile()) return handle
        throw new PathError(`${place.path} is not a regular file`)
      } catch (error) {
        await handle.close()
        throw error
      }
    }
  }
}

/**
 * Walks from a root to the folder of the target, opening each folder relative to the one before. Answers the place, or
 * `link\0rest` when it meets a symbolic link.
 */
async function walk(
  root: string,
  target: string,
  { create = false, ofLink = false, isExact }: OpenOptions & { isExact: boolean }
): Promise<Place | string> {
  const segments = partsBelow(root, target)
  const name = segments.pop() ?? '.'
  let folderPath = root
  let folder = await openFolder(root, root, isExact)
  try {
    for (const [index, segment] of segments.entries()) {
      const path = join(folderPath, segment)
      const facts = await factsOf(folder.at(segment))
      if (facts?.isSymbolicLink()) return finish(folder, `${path}\0${[...segments.slice(index + 1), name].join(sep)}`)
      if (facts && !facts.isDirectory()) throw new PathError(`${path} is not a folder`)
      if (!facts) await makeFolder(folder.at(segment), path, create)
      const next = await openFolder(folder.at(segment), path, isExact)
      await folder.close()
      folder = next
      folderPath = path
    }
    const last = await factsOf(folder.at(name))
    if (last?.isSymbolicLink() && !ofLink) return finish(folder, `${join(folderPath, name)}\0`)
  } catch (error) {
    await folder.close()
    throw error
  }
  return toPlace(folder, folderPath, name)
}

async function finish(folder: OpenFolder, link: string): Promise<string> {
  await folder.close()
  return link
}

async function makeFolder(at: string, path: string, create: boolean): Promise<void> {
  if (!create) throw new PathError(`folder ${path} does not exist`, true)
  await mkdir(at).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
}

function toPlace(folder: OpenFolder, folderPath: string, name: string): Place {
  return {
    path: name === '.' ? folderPath : join(folderPath, name),
    name,
    folderPath,
    at: folder.at,
    stat: async () => {
      const facts = await factsOf(folder.at(name))
      if (facts?.isSymbolicLink()) throw new PathError(`${join(folderPath, name)} has become a symbolic link`)
      return facts
    },
    syncFolder: folder.sync,
    close: folder.close
  }
}

async function factsOf(path: string): Promise<Stats | undefined> {
  return lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    if (error.code === 'ENAMETOOLONG') throw new PathError('a part of the path is too long')
    throw error
  })
}

/** Is the path the root or below it? As the system compares; both are absolute. */
export function isWithin(root: string, path: string): boolean {
  if (process.platform === 'win32') return isWithinOnWindows(root, path)
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep)
}

/** Are they one and the same path, as the system compares? */
export function isSame(a: string, b: string): boolean {
  return isWithin(a, b) && isWithin(b, a)
}

/** Without the separator at the end; `/`, and on Windows a drive, are nothing without theirs. */
export function strip(path: string, system: typeof posix = nodePath): string {
  return path.endsWith(system.sep) && system.parse(path).root !== path ? path.slice(0, -1) : path
}

/** The parts of a path below a root that it is within; neither ends with a separator that could be left off. */
export function partsBelow(root: string, path: string, system: typeof posix = nodePath): string[] {
  if (path.length <= root.length) return []
  return path.slice(root.endsWith(system.sep) ? root.length : root.length + 1).split(system.sep)
}

export function refuseOddPath(path: string): void {
  if (path === '') throw new PathError('the path is empty')
  if (Buffer.byteLength(path) > 4096) throw new PathError('the path is longer than 4096 bytes')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(path)) throw new PathError('the path holds control characters')
  if (process.platform === 'win32') {
    const reason = oddWindowsPath(path)
    if (reason) throw new PathError(`${path} ${reason}`)
  } else if (/^[A-Za-z]:/.test(path) || path.includes('\\')) {
    throw new PathError(`${path} is a Windows path, but this machine runs ${process.platform}`)
  }
  if (path.split('/').includes('..')) throw new PathError(`${path} holds '..'`)
}
