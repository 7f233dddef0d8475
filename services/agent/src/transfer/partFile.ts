import { constants, type Stats } from 'node:fs'
import { type FileHandle, lstat, open, readdir, rm, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { blockSize, type ManifestFile } from '@fleetgate/contracts/fleet'
import { readPiece, sha256, sha256Of, writePiece } from '../files.js'
import type { Place } from '../paths.js'
import { replaceFile } from '../platform/replaceFile.js'

/** The unfinished file beside its target: which blocks it has, and how it becomes the target. */
export interface PartFile {
  readonly blocks: number
  /** Indexes of the blocks still missing, lowest first, at most `limit`. */
  missing(limit: number, except: ReadonlySet<number>): number[]
  missingCount(): number
  /** Keeps a block; false if it is not the block it says it is or is here already. */
  write(index: number, hash: string, bytes: Buffer): Promise<boolean>
  /** Checks the whole content and puts it in the target's place, all or nothing. */
  commit(mode: number, signal: AbortSignal): Promise<void>
  /** Removes what has come. */
  discard(): Promise<void>
  close(): Promise<void>
}

const digestBytes = 32
const openNew = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * Opens or continues the part file of this content for this place. The digest of each block kept stands in a map below
 * `mapFolder`; blocks are checked against it on resume, so neither file needs an fsync per block.
 */
export async function openPartFile(place: Place, file: ManifestFile, mapFolder: string): Promise<PartFile> {
  const target = sha256(place.path).slice(0, 16)
  const name = `.fleetgate-${target}-${file.sha256.slice(0, 16)}.part`
  await removeOthers(place, `.fleetgate-${target}-`, name)
  const map = await open(join(mapFolder, `${target}-${file.sha256.slice(0, 16)}.map`), openNew, 0o600)
  const part = await openOwn(place.at(name)).catch(async (error) => {
    await map.close()
    throw error
  })
  const blocks = Math.ceil(file.size / blockSize)
  const have = await verify(part, map, file.size, blocks)
  return createPartFile({
    place,
    file,
    name,
    part,
    map,
    have,
    blocks,
    mapPath: join(mapFolder, `${target}-${file.sha256.slice(0, 16)}.map`)
  })
}

/** A file that only the agent can have made: anything else under this name would be written to, or read by others later. */
async function openOwn(path: string): Promise<FileHandle> {
  const part = await open(path, openNew, 0o600).catch(linkIsForeign)
  // The look by name is for Windows, which opens what a link leads to.
  if (part && isOwn(await part.stat()) && (await lstat(path)).isFile()) return part
  await part?.close()
  await unlink(path)
  return open(path, openNew | constants.O_EXCL, 0o600)
}

function isOwn(facts: Stats): boolean {
  return facts.isFile() && facts.nlink === 1 && facts.uid === (process.getuid?.() ?? facts.uid)
}

function linkIsForeign(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ELOOP') throw error
}

interface Open {
  place: Place
  file: ManifestFile
  name: string
  part: FileHandle
  map: FileHandle
  mapPath: string
  have: Uint8Array
  blocks: number
}

function createPartFile({ place, file, name, part, map, mapPath, have, blocks }: Open): PartFile {
  let count = have.reduce((sum, one) => sum + one, 0)
  let lowest = 0

  function missing(limit: number, except: ReadonlySet<number>): number[] {
    while (lowest < blocks && have[lowest]) lowest += 1
    const found: number[] = []
    for (let index = lowest; index < blocks && found.length < limit; index += 1) {
      if (!have[index] && !except.has(index)) found.push(index)
    }
    return found
  }

  async function write(index: number, hash: string, bytes: Buffer): Promise<boolean> {
    if (index >= blocks || have[index] || bytes.length !== lengthOf(index, file.size)) return false
    if (sha256(bytes) !== hash) return false
    await writePiece(part, bytes, index * blockSize)
    await writePiece(map, Buffer.from(hash, 'hex'), index * digestBytes)
    if (!have[index]) count += 1
    have[index] = 1
    return true
  }

  async function discard(): Promise<void> {
    await Promise.all([rm(place.at(name), { force: true }), rm(mapPath, { force: true })])
  }

  async function commit(mode: number, signal: AbortSignal): Promise<void> {
    await part.truncate(file.size)
    if ((await sha256Of(part, signal)) !== file.sha256) {
      await discard()
      throw new Error(`the received blocks do not add up to sha256 ${file.sha256}`)
    }
    await part.chmod(mode)
    await part.sync()
    await replaceFile(place.at(name), place.at(place.name))
    await place.syncFolder()
    await rm(mapPath, { force: true })
  }

  return {
    blocks,
    missing,
    missingCount: () => blocks - count,
    write,
    commit,
    discard,
    close: async () => {
      await part.close()
      await map.close()
    }
  }
}

/** Which blocks of the part are what the map says they are. */
async function verify(part: FileHandle, map: FileHandle, size: number, blocks: number): Promise<Uint8Array> {
  const have = new Uint8Array(blocks)
  const digests = await readPiece(map, 0, blocks * digestBytes)
  for (let index = 0; index < Math.min(blocks, Math.floor(digests.length / digestBytes)); index += 1) {
    const digest = digests.toString('hex', index * digestBytes, (index + 1) * digestBytes)
    if (/^0+$/.test(digest)) continue
    const bytes = await readPiece(part, index * blockSize, lengthOf(index, size))
    if (sha256(bytes) === digest) have[index] = 1
  }
  return have
}

function lengthOf(index: number, size: number): number {
  return Math.min(blockSize, size - index * blockSize)
}

/** Parts of an older content of the same target are of no use any more. */
async function removeOthers(place: Place, prefix: string, name: string): Promise<void> {
  for (const other of await readdir(place.at('.'))) {
    if (other.startsWith(prefix) && other !== name) await unlink(place.at(other))
  }
}
