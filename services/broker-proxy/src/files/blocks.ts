import { blockSize, pack } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'
import type { FileCache } from './fileCache.js'
import type { StoredFile } from './fileStore.js'

/** A block as it goes out. */
export interface Loaded {
  payload: Buffer
  blockSha256: string
  isGzip: boolean
}

/** Blocks that many clients want at about the same time are read, compressed and held once. */
export interface Blocks {
  /** Compressed where that is wanted and makes it smaller. */
  load(file: StoredFile, index: number, gzip: boolean): Promise<Loaded>
}

const sharedBytes = 64 * 1024 * 1024

export function createBlocks(cache: Pick<FileCache, 'readBlock'>): Blocks {
  const shared = new LRUCache<string, Promise<Buffer>>({ maxSize: sharedBytes, sizeCalculation: () => blockSize })

  function once(key: string, make: () => Promise<Buffer>): Promise<Buffer> {
    const kept = shared.get(key)
    if (kept) return kept
    const made = make()
    shared.set(key, made)
    made.catch(() => shared.delete(key))
    return made
  }

  return {
    async load(file, index, gzip) {
      const key = `${file.sha256}:${index}`
      const plain = () => once(key, () => cache.readBlock(file, index))
      const blockSha256 = file.blocks.subarray(index * 32, index * 32 + 32).toString('hex')
      if (!gzip) return { payload: await plain(), blockSha256, isGzip: false }
      const smallest = await once(`${key}:gzip`, async () => {
        const bytes = await plain()
        const packed = await pack(bytes)
        return packed.length < bytes.length ? packed : bytes
      })
      const size = Math.min(blockSize, file.size - index * blockSize)
      return { payload: smallest, blockSha256, isGzip: smallest.length < size }
    }
  }
}

export function blockCount({ blocks }: Pick<StoredFile, 'blocks'>): number {
  return blocks.length / 32
}
