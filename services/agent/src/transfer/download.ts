import { setTimeout as delay } from 'node:timers/promises'
import { type BlocksRequest, type FileInfo, type ManifestFile, upTopic } from '@fleetgate/contracts/fleet'
import type { Connection } from '../connection.js'
import type { Log } from '../log.js'
import type { Place } from '../paths.js'
import { openPartFile, type PartFile } from './partFile.js'

export interface Download {
  place: Place
  file: ManifestFile
  /** Permission bits of the new file. */
  mode: number
  signal: AbortSignal
  /** Told now and then how far it is. */
  progress: (received: number, blocks: number) => void
}

/** Fetches content by asking for missing blocks, a window at a time, until the file is whole. */
export interface Downloads {
  fetch(download: Download): Promise<void>
  onBlock(block: { sha256: string; index: number; blockSha256: string }, bytes: Buffer): Promise<void>
  onFileInfo(info: FileInfo): void
}

export interface DownloadsOptions {
  connection: Connection
  clientId: string
  mapFolder: string
  log: Log
  /** Milliseconds without any block after which the outstanding ones are asked for again. */
  askAgainMs?: number
}

/** Blocks asked for and not yet here: 4 MiB on the way keep a link with 100 ms of delay at 40 MB/s. */
const windowBlocks = 16
/** Quiet periods in a row after which the try is given up. */
const maxQuiet = 12

interface Running {
  part: PartFile
  asked: Set<number>
  quiet: number
  /** Why it cannot go on at all. */
  error: string | undefined
  /** What the store last complained of; it may get over it. */
  trouble: string | undefined
  wake: () => void
}

export function createDownloads({
  connection,
  clientId,
  mapFolder,
  log,
  askAgainMs = 5000
}: DownloadsOptions): Downloads {
  const running = new Map<string, Set<Running>>()
  const topic = upTopic(clientId, 'blocks')
  // Blocks that were on their way through the lost connection will not come.
  connection.onConnect(() => {
    for (const each of [...running.values()].flatMap((set) => [...set])) {
      each.asked.clear()
      each.wake()
    }
  })

  async function fetch(download: Download): Promise<void> {
    const part = await openPartFile(download.place, download.file, mapFolder)
    const state: Running = {
      part,
      asked: new Set(),
      quiet: 0,
      error: undefined,
      trouble: undefined,
      wake: () => undefined
    }
    const set = running.get(download.file.sha256) ?? new Set()
    running.set(download.file.sha256, set.add(state))
    try {
      await receive(download, state)
      await part.commit(download.mode, download.signal)
    } finally {
      set.delete(state)
      if (set.size === 0) running.delete(download.file.sha256)
      await part.close()
    }
  }

  async function receive({ file, signal, progress }: Download, state: Running): Promise<void> {
    while (state.part.missingCount() > 0) {
      signal.throwIfAborted()
      if (state.error !== undefined) throw new Error(state.error)
      if (connection.isConnected()) ask(file.sha256, state)
      const isQuiet = await silence(state, signal)
      progress(state.part.blocks - state.part.missingCount(), state.part.blocks)
      if (!isQuiet) continue
      state.asked.clear()
      // Time without a connection is nobody's fault; the run's deadline bounds it.
      if (connection.isConnected()) state.quiet += 1
      if (state.quiet < maxQuiet) continue
      const why = state.trouble === undefined ? '' : `: ${state.trouble}`
      throw new Error(`no block of ${file.sha256} came for ${(maxQuiet * askAgainMs) / 1000} s${why}`)
    }
  }

  /** Asks in batches of half a window: one request for eight blocks rather than eight. */
  function ask(sha256: string, { part, asked }: Running): void {
    if (asked.size > windowBlocks / 2) return
    const blocks = part.missing(windowBlocks - asked.size, asked)
    if (blocks.length === 0) return
    for (const index of blocks) asked.add(index)
    const request: BlocksRequest = { sha256, blocks }
    connection
      .publish(topic, JSON.stringify(request))
      .catch((error) => log.debug({ err: error }, 'blocks not asked for'))
  }

  /** True if nothing came for too long; false as soon as something did. */
  async function silence(state: Running, signal: AbortSignal): Promise<boolean> {
    const timer = new AbortController()
    const woken = new Promise<false>((resolve) => {
      state.wake = () => resolve(false)
    })
    const either = AbortSignal.any([timer.signal, signal])
    try {
      return await Promise.race([woken, delay(askAgainMs, true as const, { signal: either })])
    } finally {
      timer.abort()
    }
  }

  return {
    fetch,
    onBlock: async ({ sha256, index, blockSha256 }, bytes) => {
      for (const state of running.get(sha256) ?? []) {
        const isNew = await state.part.write(index, blockSha256, bytes)
        if (!isNew) continue
        state.asked.delete(index)
        state.quiet = 0
        state.wake()
      }
    },
    onFileInfo: (info) => {
      // With a requestId it answers a question of an upload.
      if (info.requestId !== undefined) return
      for (const state of running.get(info.sha256) ?? []) {
        state.trouble = info.error
        if (info.stored) continue
        state.error = info.error ?? `${info.sha256} is not in the store`
        state.wake()
      }
    }
  }
}
