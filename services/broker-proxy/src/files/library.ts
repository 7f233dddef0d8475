import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError, blockSize } from '@fleetgate/contracts'
import type { Page, PageOf } from '@fleetgate/store'
import { createFileSum } from './assemble.js'
import type { FileCache } from './fileCache.js'
import type { FileNames } from './fileNames.js'
import type { FileRow, FileStore } from './fileStore.js'
import type { Graves } from './graves.js'
import type { Keeper } from './keeper.js'
import type { Room } from './room.js'

/** The files of a tenant, for people: what machines have uploaded or shall fetch. */
export interface Library {
  list(filter: { tenantId: string; nameContain?: string | undefined }, page: Page): Promise<PageOf<FileRow>>
  get(tenantId: string, sha256: string): Promise<FileRow>
  upload(wish: UploadWish): Promise<FileRow>
  /** The bytes from `start` to before `end`. */
  read(file: FileRow, start: number, end: number): Readable
  retire(tenantId: string, sha256: string): Promise<void>
}

export interface UploadWish {
  tenantId: string
  name: string
  /** What the sender says it is. */
  sha256?: string | undefined
  /** Bytes that the sender speaks of, where he does. */
  size?: number | undefined
  stream: Readable
}

export interface LibraryParts {
  files: FileStore
  names: Pick<FileNames, 'note' | 'remove'>
  graves: Pick<Graves, 'dig'>
  keeper: Keeper
  room: Pick<Room, 'refuseTooMuch'>
  cache: Pick<FileCache, 'withTemporary' | 'readBlock'>
  maxFileBytes: number
  /** Somebody reads it. */
  onRead(file: FileRow): void
  /** A file is gone: forget what is known of it. */
  onRetired(tenantId: string, sha256: string): void
  now: () => number
}

export function createLibrary(parts: LibraryParts): Library {
  const { files, names, graves, keeper, room, cache, maxFileBytes, onRead, onRetired, now } = parts
  async function get(tenantId: string, sha256: string): Promise<FileRow> {
    const file = await files.find(tenantId, sha256)
    if (!file) throw new AppError('not_found', `file ${sha256} not found`)
    return file
  }

  async function receive({ tenantId, name, sha256, stream }: UploadWish, path: string): Promise<string> {
    const { size, ...sum } = await save(stream, path, maxFileBytes)
    if (sha256 !== undefined && sha256 !== sum.sha256) {
      throw new AppError('invalid_input', `sha256 of the body is ${sum.sha256}`, { field: 'sha256' })
    }
    await keeper.keep(path, { tenantId, name, size, createdAt: now(), usedAt: now(), ...sum })
    await names.note({ tenantId, sha256: sum.sha256 }, { fileName: name })
    return sum.sha256
  }

  return {
    get,
    list: (filter, page) => files.list(filter, page),

    async upload(wish) {
      await room.refuseTooMuch(wish.tenantId, wish.size ?? 0)
      return get(wish.tenantId, await cache.withTemporary((path) => receive(wish, path)))
    },

    read(file, start, end) {
      onRead(file)
      return Readable.from(blocksOf(cache, file, start, end), { objectMode: false })
    },

    async retire(tenantId, sha256) {
      // Before the row goes: a crash in between leaves a list entry that the sweep finds held, never a content for ever.
      await graves.dig(sha256)
      if (!(await files.remove(tenantId, sha256))) throw new AppError('not_found', `file ${sha256} not found`)
      onRetired(tenantId, sha256)
      await names.remove({ tenantId, sha256 })
    }
  }
}

async function save(stream: Readable, path: string, maxBytes: number) {
  const sum = createFileSum()
  let size = 0
  async function* pass(chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      size += chunk.length
      // The rest is read and dropped, so that the client gets to read the answer.
      if (size > maxBytes) continue
      sum.add(chunk)
      yield chunk
    }
  }
  await pipeline(stream, pass, createWriteStream(path)).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ECONNRESET' && cause.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw cause
    throw new AppError('malformed_body', 'body was cut off', { field: 'body' }, { cause })
  })
  if (size > maxBytes) throw new AppError('body_too_large', `files may have at most ${maxBytes} bytes`)
  return { size, ...sum.result() }
}

async function* blocksOf(cache: Pick<FileCache, 'readBlock'>, file: FileRow, start: number, end: number) {
  for (let at = start; at < end; ) {
    const index = Math.floor(at / blockSize)
    const block = await cache.readBlock(file, index)
    const from = at - index * blockSize
    const piece = block.subarray(from, Math.min(block.length, end - index * blockSize))
    yield piece
    at += piece.length
  }
}
