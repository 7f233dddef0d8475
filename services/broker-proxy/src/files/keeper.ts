import { createReadStream } from 'node:fs'
import { AppError } from '@fleetgate/contracts'
import type { FileCache } from './fileCache.js'
import type { FileStore, StoredFile } from './fileStore.js'
import type { Graves } from './graves.js'
import type { Objects } from './objects.js'

/** Takes complete files into the stores, whichever way they came. */
export interface Keeper {
  /** Throws invalid_input for a file that is too big, quota_exceeded where the tenant has no room for it. */
  refuseTooMuch(tenantId: string, size: number): Promise<void>
  /** Stores what lies under the path; may be done again after a crash. The cache takes the file over. */
  keep(path: string, file: StoredFile): Promise<void>
}

export interface KeeperParts {
  files: FileStore
  graves: Pick<Graves, 'leave'>
  objects: Objects
  cache: Pick<FileCache, 'adopt'>
  /** Content that is there already is used again. */
  onKept(file: StoredFile): void
  maxFileBytes: number
  /** 0 means no limit. */
  quotaBytes: number
}

const readChunk = 128 * 1024

export function createKeeper({ files, graves, objects, cache, onKept, maxFileBytes, quotaBytes }: KeeperParts): Keeper {
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

  async function refuseTooMuch(tenantId: string, size: number): Promise<void> {
    if (size > maxFileBytes) throw new AppError('invalid_input', `files may have at most ${maxFileBytes} bytes`)
    if (quotaBytes === 0 || (await files.sizeOf(tenantId)) + size <= quotaBytes) return
    throw new AppError('quota_exceeded', `the files of a tenant may have at most ${quotaBytes} bytes together`)
  }

  return {
    refuseTooMuch,
    async keep(path, file) {
      if (!(await files.find(file.tenantId, file.sha256))) await refuseTooMuch(file.tenantId, file.size)
      await storeContent(file.sha256, path)
      await files.insert(file)
      onKept(file)
      await cache.adopt(path, file)
    }
  }
}
