import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { blockSize } from '@fleetgate/contracts'

export interface Assembled {
  sha256: string
  /** The sha256 of each block, 32 bytes after 32 bytes. */
  blocks: Buffer
  /** The first byte that no segment holds; below `size` the file is incomplete. */
  end: number
}

/**
 * Writes the segments of an upload to a file, hashing on the way. Segments may have any length and overlap; the first one
 * that holds a byte wins.
 */
export async function assemble(
  path: string,
  size: number,
  offsets: number[],
  read: (offset: number) => Promise<Uint8Array | undefined>
): Promise<Assembled> {
  const file = await open(path, 'w')
  const sum = createFileSum()
  try {
    let end = 0
    for (const offset of offsets) {
      if (offset > end || end >= size) break
      const bytes = (await read(offset))?.subarray(end - offset, size - offset)
      if (!bytes || bytes.length === 0) continue
      await write(file, bytes)
      sum.add(bytes)
      end += bytes.length
    }
    return { ...sum.result(), end }
  } finally {
    await file.close()
  }
}

async function write(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten
}

/** The sha256 of the whole and of each block. */
export function createFileSum(): { add(bytes: Uint8Array): void; result(): { sha256: string; blocks: Buffer } } {
  const whole = createHash('sha256')
  const blocks: Buffer[] = []
  let block: Hash = createHash('sha256')
  let filled = 0

  function closeBlock(): void {
    blocks.push(block.digest())
    block = createHash('sha256')
    filled = 0
  }

  return {
    add(bytes) {
      whole.update(bytes)
      for (let at = 0; at < bytes.length; ) {
        const part = bytes.subarray(at, at + blockSize - filled)
        block.update(part)
        filled += part.length
        at += part.length
        if (filled === blockSize) closeBlock()
      }
    },
    result() {
      if (filled > 0) closeBlock()
      return { sha256: whole.digest('hex'), blocks: Buffer.concat(blocks) }
    }
  }
}
