import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { blockSize, type Log, newId } from '@fleetgate/contracts'
import { createFileSum } from './assemble.js'
import type { Objects } from './objects.js'

/** Files of the object store as local files: blocks are asked for one by one, by many clients at once. */
export interface FileCache {
  /** Runs the work with the path of a new file, which is gone afterwards unless it was adopted. */
  withTemporary<T>(work: (path: string) => Promise<T>): Promise<T>
  /** Takes a complete and verified file over. */
  adopt(path: string, file: { sha256: string; size: number }): Promise<void>
  readBlock(file: { sha256: string; size: number }, index: number): Promise<Buffer>
}

const namePattern = /^[0-9a-f]{64}$/

/** Keeps at most `maxBytes`, dropping what was not asked for the longest; the file in use last may exceed that alone. */
export async function openFileCache(parts: {
  dir: string
  maxBytes: number
  objects: Objects
  log: Log
}): Promise<FileCache> {
  const { dir, maxBytes, objects, log } = parts
  /** Sizes, least recently used first. */
  const known = new Map<string, number>()
  const fetching = new Map<string, Promise<void>>()
  let total = 0
  const pathOf = (sha256: string) => join(dir, sha256)

  async function keep(sha256: string, size: number): Promise<void> {
    if (!known.has(sha256)) total += size
    known.delete(sha256)
    known.set(sha256, size)
    for (const [oldest, bytes] of known) {
      if (total <= maxBytes || oldest === sha256) break
      known.delete(oldest)
      total -= bytes
      await rm(pathOf(oldest), { force: true })
      log.debug({ sha256: oldest }, 'file dropped from the cache')
    }
  }

  async function withTemporary<T>(work: (path: string) => Promise<T>): Promise<T> {
    const path = join(dir, `${newId()}.part`)
    try {
      return await work(path)
    } finally {
      await rm(path, { force: true })
    }
  }

  async function adopt(path: string, { sha256, size }: { sha256: string; size: number }): Promise<void> {
    await rename(path, pathOf(sha256))
    await keep(sha256, size)
  }

  async function fetch(file: { sha256: string; size: number }): Promise<void> {
    await withTemporary(async (path) => {
      const found = await download(objects.get(file.sha256), path)
      if (found !== file.sha256) throw new Error(`object ${file.sha256} is damaged`)
      await adopt(path, file)
    })
    log.info({ sha256: file.sha256, size: file.size }, 'file fetched into the cache')
  }

  async function ensure(file: { sha256: string; size: number }): Promise<void> {
    if (known.has(file.sha256)) return keep(file.sha256, file.size)
    const running = fetching.get(file.sha256) ?? fetch(file).finally(() => fetching.delete(file.sha256))
    fetching.set(file.sha256, running)
    await running
  }

  function forget(sha256: string): void {
    total -= known.get(sha256) ?? 0
    known.delete(sha256)
  }

  await mkdir(dir, { recursive: true })
  for (const { name, size } of await leftovers(dir)) await keep(name, size)

  return {
    withTemporary,
    adopt,
    async readBlock(file, index) {
      await ensure(file)
      try {
        return await read(pathOf(file.sha256), file.size, index)
      } catch {
        // Dropped, or damaged from outside, between the two steps.
        forget(file.sha256)
        await ensure(file)
        return read(pathOf(file.sha256), file.size, index)
      }
    }
  }
}

/** What an earlier process left, least recently changed first; its unfinished files are removed. */
async function leftovers(dir: string): Promise<{ name: string; size: number }[]> {
  const found: { name: string; size: number; at: number }[] = []
  for (const name of await readdir(dir)) {
    const path = join(dir, name)
    if (!namePattern.test(name)) await rm(path, { force: true, recursive: true })
    else await stat(path).then(({ size, mtimeMs }) => found.push({ name, size, at: mtimeMs }))
  }
  return found.sort((a, b) => a.at - b.at)
}

async function download(chunks: AsyncIterable<Uint8Array>, path: string): Promise<string> {
  const sum = createFileSum()
  const file = await open(path, 'w')
  try {
    for await (const chunk of chunks) {
      sum.add(chunk)
      for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten
    }
  } finally {
    await file.close()
  }
  return sum.result().sha256
}

async function read(path: string, size: number, index: number): Promise<Buffer> {
  const start = index * blockSize
  const block = Buffer.allocUnsafe(Math.min(blockSize, size - start))
  const file = await open(path, 'r')
  try {
    const { bytesRead } = await file.read(block, 0, block.length, start)
    if (bytesRead !== block.length) throw new Error('file is shorter than it should be')
    return block
  } finally {
    await file.close()
  }
}
