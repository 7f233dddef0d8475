import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { PathError, type Paths, type Place, refuseOddPath } from './paths.js'
import { type OpenFolder, openFolder } from './platform/folders.js'

/** What a step's path names: one file, a folder with all below it, or the files of a folder that fit a pattern. */
export interface Found {
  kind: 'file' | 'folder' | 'pattern'
  /** The true path that the names are below; of a file, the file's own. */
  base: string
  /** Regular files below the base, in order; of a file, one empty name. */
  files: string[]
  /** Folders below the base, each before what it holds. */
  folders: string[]
  /** Links, which are never followed here. */
  links: string[]
  /** FIFOs, sockets, devices. */
  odd: string[]
}

/** What a manifest may hold; more is better packed into an archive. */
export const maxFiles = 10_000
const maxDepth = 64

/** Finds what is there now. Throws PathError, with `isMissing` where nothing is. */
export async function findFiles(paths: Paths, path: string, ignoreHidden: boolean): Promise<Found> {
  refuseOddPath(path)
  if (hasWildcard(dirname(path))) throw new PathError(`${path}: wildcards may stand in the last part only`)
  if (hasWildcard(basename(path))) return findPattern(paths, path, ignoreHidden)
  const place = await paths.open(path)
  try {
    const facts = await place.stat()
    if (!facts) throw new PathError(`${place.path} does not exist`, true)
    if (facts.isDirectory()) return await readTree(place, { kind: 'folder', ignoreHidden, depth: maxDepth })
    if (!facts.isFile()) throw new PathError(`${place.path} is not a regular file`)
    return { ...nothingAt('file', place.path), files: [''] }
  } finally {
    await place.close()
  }
}

/** `*` and `?` fit files of that one folder; hidden ones only where the pattern itself begins with a dot, as in a shell. */
async function findPattern(paths: Paths, path: string, ignoreHidden: boolean): Promise<Found> {
  const place = await paths.open(path === basename(path) ? '.' : dirname(path))
  try {
    const pattern = basename(path)
    const fits = patternOf(pattern)
    const skipsHidden = ignoreHidden || !pattern.startsWith('.')
    const found = await readTree(place, { kind: 'pattern', ignoreHidden: skipsHidden, depth: 1 })
    const files = found.files.filter((name) => fits.test(name))
    if (files.length === 0) throw new PathError(`no file fits ${join(place.path, pattern)}`, true)
    return { ...nothingAt('pattern', place.path), files }
  } finally {
    await place.close()
  }
}

export function hasWildcard(path: string): boolean {
  return /[*?]/.test(path)
}

/** Windows does not tell capitals apart. */
export function patternOf(pattern: string, isWindows = process.platform === 'win32'): RegExp {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, isWindows ? 'siu' : 'su')
}

function nothingAt(kind: Found['kind'], base: string): Found {
  return { kind, base, files: [], folders: [], links: [], odd: [] }
}

interface Walk {
  kind: Found['kind']
  ignoreHidden: boolean
  depth: number
}

/** Opens each folder relative to the one before, so that none can be swapped for a link on the way. */
async function readTree(place: Place, { kind, ignoreHidden, depth }: Walk): Promise<Found> {
  const found = nothingAt(kind, place.path)
  await visit(await openForReading(place.at(place.name), place.path), '', 1)
  return found

  async function visit(folder: OpenFolder, below: string, level: number): Promise<void> {
    try {
      const entries = await readdir(folder.at('.'), { withFileTypes: true })
      entries.sort((a, b) => (a.name < b.name ? -1 : 1))
      for (const entry of entries) {
        const name = below === '' ? entry.name : `${below}/${entry.name}`
        if ((ignoreHidden && entry.name.startsWith('.')) || isPart(entry.name)) continue
        if (entry.isFile()) found.files.push(name)
        else if (entry.isSymbolicLink()) found.links.push(name)
        else if (!entry.isDirectory()) found.odd.push(name)
        else if (level < depth) {
          found.folders.push(name)
          await visit(await openForReading(folder.at(entry.name), join(place.path, name)), name, level + 1)
        } else if (kind === 'folder') throw new PathError(`${place.path} is nested deeper than ${maxDepth} folders`)
        if (found.files.length > maxFiles) throw new PathError(`${place.path} holds more than ${maxFiles} files`)
      }
    } finally {
      await folder.close()
    }
  }
}

async function openForReading(at: string, path: string): Promise<OpenFolder> {
  return openFolder(at, path).catch((error: NodeJS.ErrnoException) => {
    throw new PathError(`folder ${path} cannot be read: ${error.code}`)
  })
}

/** Unfinished files of our own. */
function isPart(name: string): boolean {
  return /^\.fleetgate-.*\.part$/.test(name)
}
