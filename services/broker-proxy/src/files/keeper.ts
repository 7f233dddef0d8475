import { createReadStream } from 'node:fs'
import type { FileCache } from './fileCache.js'
import type { FileStore, StoredFile } from './fileStore.js'
import type { Graves } from './graves.js'
import type { Objects } from './objects.js'
import type { Room } from './room.js'

/** Takes complete files into the stores, whichever way they came. */
export interface Keeper {
  /** Stores what lies under the path; may be done again after a crash. The cache takes the file over. `upload`: see Room. */
  keep(path: string, file: StoredFile, upload?: string): Promise<void>
}

export interface KeeperParts {
  files: FileStore
  graves: Pick<Graves, 'leave'>
  objects: Objects
  cache: Pick<FileCache, 'adopt'>
  /** Content that is there already is used again. */
  onKept(file: StoredFile): void
  room: Pick<Room, 'refuseTooMuch'>
}

const readChunk = 128 * 1024

export function createKeeper({ files, graves, objects, cache, onKept, room }: KeeperParts): Keeper {
  /** Contents on their way into the object store. */
  const storing = new Map<string, Promise<void>>()

  /** Two clients may finish the same content at once: it is written once. */
  async function storeContent(sha256: string, path: string): Promise<void> {
    const running = storing.get(sha256)
    if (running) return running
    const mine = (async () => {
      await graves.leave(sha256)
      if (await objects.has(sha256)) return
      await objects.put(sha256, () => createReadStream(path, { highWaterMark: readChunk }))
    })().finally(() => storing.delete(sha256))
    storing.set(sha256, mine)
    await mine
  }

  return {
    async keep(path, file, upload) {
      const { tenantId, sha256, size } = file
      if (!(await files.find(tenantId, sha256))) await room.refuseTooMuch(tenantId, size, upload)
      await storeContent(sha256, path)
      await files.insert(file)
      onKept(file)
      await cache.adopt(path, file)
    }
  }
}
