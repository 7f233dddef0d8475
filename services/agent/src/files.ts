import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { blockSize } from '@fleetgate/contracts/fleet'

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Hashes a file from its beginning, a piece at a time. */
export async function sha256Of(file: FileHandle, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  const piece = Buffer.allocUnsafe(blockSize)
  for (let from = 0; ; ) {
    signal.throwIfAborted()
    const { bytesRead } = await file.read(piece, 0, piece.length, from)
    if (bytesRead === 0) return hash.digest('hex')
    hash.update(piece.subarray(0, bytesRead))
    from += bytesRead
  }
}

/** Reads exactly these bytes, or fewer at the file's end; into this buffer, if one is given. */
export async function readPiece(
  file: FileHandle,
  from: number,
  length: number,
  piece = Buffer.allocUnsafe(length)
): Promise<Buffer> {
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(piece, filled, length - filled, from + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return piece.subarray(0, filled)
}

/** Writes all of it: a single write may take less than it was given. */
export async function writePiece(file: FileHandle, piece: Buffer, from: number): Promise<void> {
  let done = 0
  while (done < piece.length) {
    const { bytesWritten } = await file.write(piece, done, piece.length - done, from + done)
    done += bytesWritten
  }
}
