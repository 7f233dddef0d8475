import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { createPacer, fileListLimit, type ManifestFile, type Pacer, type Transfer } from '@fleetgate/contracts/fleet'
import { sha256Of } from '../files.js'
import { PathError, type Paths } from '../paths.js'
import type { Found } from '../tree.js'
import { ChangedFile, type Uploads } from './upload.js'

/** Brings files of this machine into the central store and says what they are. */
export interface Contents {
  /** All of them, or an error: a list holds whole contents only. `name` is what people shall see of a single file. */
  bringIn(files: Pick<Found, 'base' | 'files'>, options: BringOptions): Promise<ManifestFile[]>
}

export interface BringOptions {
  signal: AbortSignal
  name?: string
  /** Of the step; without one as fast as it goes, plain. */
  transfer?: Transfer
}

/** What a hash was taken of: the same facts mean the same content. */
type Facts = string

/** Hashes that are remembered; a folder has at most so many files. */
const maxKnown = 20_000

export function createContents({ paths, uploads }: { paths: Paths; uploads: Uploads }): Contents {
  const hashes = new Map<string, { facts: Facts; sha256: string; size: number }>()

  async function bringOne(path: string, as: string, options: BringOptions & { pacer: Pacer }) {
    const place = await paths.open(path)
    try {
      const file = await paths.openFile(place)
      try {
        const { sha256, size } = await hashOnce(place.path, file, options.signal)
        const { signal, pacer, transfer, name = place.path } = options
        await uploads.upload({ file, path: name, sha256, size, signal, pacer, compress: transfer?.compress ?? false })
        return { path: as, sha256, size }
      } finally {
        await file.close()
      }
    } finally {
      await place.close()
    }
  }

  async function hashOnce(path: string, file: FileHandle, signal: AbortSignal) {
    const facts = await factsOf(file)
    const known = hashes.get(path)
    if (known?.facts === facts) return known
    const { size } = await file.stat()
    const hashed = { facts, sha256: await sha256Of(file, signal), size }
    if ((await factsOf(file)) !== facts) throw new ChangedFile(path)
    if (hashes.size >= maxKnown) hashes.clear()
    hashes.set(path, hashed)
    return hashed
  }

  return {
    async bringIn({ base, files }, options) {
      const list: ManifestFile[] = []
      const pacer = createPacer(options.transfer?.rateLimit)
      let bytes = 0
      for (const path of files) {
        options.signal.throwIfAborted()
        const file = await bringOne(join(base, path), path, { ...options, pacer })
        list.push(file)
        bytes += Buffer.byteLength(JSON.stringify(file)) + 1
        if (bytes > fileListLimit)
          throw new PathError(`${base}: too many files for one step; pack them into an archive`)
      }
      if (list.length === 0) throw new PathError(`${base} holds no file to send`)
      return list
    }
  }
}

async function factsOf(handle: FileHandle): Promise<Facts> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await handle.stat({ bigint: true })
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ')
}
