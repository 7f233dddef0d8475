import { type Block, blockSize, type FileInfo, type ManifestFile, unpack } from '@fleetgate/contracts/fleet'
import type { Connection } from '../connection.js'
import type { Log } from '../log.js'
import type { Place } from '../paths.js'
import { refuseIfFull } from '../room.js'
import { type Arrival, createArrival, type Way } from './arrival.js'
import { createMemberships } from './memberships.js'
import { openPartFile } from './partFile.js'

export interface Download {
  place: Place
  file: ManifestFile
  /** Permission bits of the new file. */
  mode: number
  signal: AbortSignal
  /** Told now and then how far it is. */
  progress: (received: number, blocks: number) => void
  way: Way
}

/**
 * Fetches content by asking for missing blocks, a window at a time, until the file is whole. What comes by a cast is listened
 * for first; what it leaves out is asked for.
 */
export interface Downloads {
  fetch(download: Download): Promise<void>
  onBlock(block: Block, bytes: Buffer): Promise<void>
  onFileInfo(info: FileInfo): void
}

export interface DownloadsOptions {
  connection: Connection
  clientId: string
  mapFolder: string
  log: Log
  /** Milliseconds without any block after which the outstanding ones are asked for again. */
  askAgainMs?: number
  /** Milliseconds after which a cast that says nothing is not waited for any more; joins are gathered for two seconds. */
  castSilenceMs?: number
}

export function createDownloads(options: DownloadsOptions): Downloads {
  const { connection, clientId, mapFolder, log, askAgainMs = 5000, castSilenceMs = 6000 } = options
  const running = new Map<string, Set<Arrival>>()
  const memberships = createMemberships({ connection, clientId })
  connection.onConnect(() => {
    for (const each of [...running.values()].flatMap((set) => [...set])) each.onConnect()
  })

  async function fetch({ place, file, mode, signal, progress, way }: Download): Promise<void> {
    const { castId } = way
    const part = await openPartFile(place, file, mapFolder)
    const times = { askAgainMs, castSilenceMs }
    const arrival = createArrival({
      connection,
      clientId,
      memberships,
      part,
      file,
      way,
      signal,
      progress,
      ...times,
      log
    })
    const set = running.get(file.sha256) ?? new Set()
    running.set(file.sha256, set.add(arrival))
    if (castId !== undefined) memberships.enter(castId)
    try {
      // What an earlier try has left is there already.
      await refuseIfFull(place, Math.min(file.size, part.missingCount() * blockSize))
      await arrival.complete()
      await part.commit(mode, signal)
    } catch (error) {
      // To go on from there some other time is worth less than a disk with room on it.
      if (isFull(error)) await part.discard()
      throw error
    } finally {
      set.delete(arrival)
      if (set.size === 0) running.delete(file.sha256)
      if (castId !== undefined) memberships.leave(castId)
      await part.close()
    }
  }

  return {
    fetch,
    onBlock: async (block, bytes) => {
      const arrivals = running.get(block.sha256)
      if (!arrivals) return
      const plain = block.isGzip ? await unpack(bytes, blockSize) : bytes
      for (const arrival of arrivals) await arrival.take(block, plain)
    },
    onFileInfo: (info) => {
      // With a requestId it answers a question of an upload.
      if (info.requestId !== undefined) return
      for (const arrival of running.get(info.sha256) ?? []) arrival.onFileInfo(info)
    }
  }
}

function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
}
