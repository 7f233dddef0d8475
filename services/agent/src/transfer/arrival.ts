import { setTimeout as delay } from 'node:timers/promises'
import {
  type Block,
  type BlocksRequest,
  blockSize,
  type FileInfo,
  type ManifestFile,
  type Pacer,
  type Transfer,
  upTopic
} from '@fleetgate/contracts/fleet'
import type { Connection } from '../connection.js'
import type { Log } from '../log.js'
import type { Memberships } from './memberships.js'
import type { PartFile } from './partFile.js'

/** How content is to come; the pacer is shared by all files of a step. */
export type Way = Transfer & { castId?: string | undefined; pacer: Pacer }

/** One content on its way to one part file: what is hoped for from its cast, what was asked for, what is heard of it. */
export interface Arrival {
  /** Resolves when the part file has every block. */
  complete(): Promise<void>
  take(block: Block, plain: Buffer): Promise<void>
  /** Of a request that cannot be served. */
  onFileInfo(info: FileInfo): void
  /** Blocks that were on their way through the lost connection will not come, nor does it know its casts any more. */
  onConnect(): void
}

export interface ArrivalOptions {
  connection: Connection
  clientId: string
  memberships: Memberships
  part: PartFile
  file: ManifestFile
  way: Way
  signal: AbortSignal
  progress: (received: number, blocks: number) => void
  askAgainMs: number
  castSilenceMs: number
  log: Log
}

/** Blocks asked for and not yet here: 4 MiB on the way keep a link with 100 ms of delay at 40 MB/s. */
const windowBlocks = 16
/** Quiet periods in a row after which the try is given up. */
const maxQuiet = 12

export function createArrival(options: ArrivalOptions): Arrival {
  const { connection, memberships, part, file, way, signal, askAgainMs, log } = options
  const { pacer, castId, rateLimit = Number.POSITIVE_INFINITY, compress } = way
  const topic = upTopic(options.clientId, 'blocks')
  /** A slow cast is silent for the time of a block. */
  const castPatienceMs = options.castSilenceMs + (blockSize * 1000) / rateLimit
  const asked = new Set<number>()
  let cast: 'none' | 'to join' | 'joined' = castId === undefined ? 'none' : 'to join'
  let quiet = 0
  /** When a block came, or was asked for after none had been on the way; by a clock that nobody sets. */
  let heardAt = performance.now()
  /** Why it cannot go on at all. */
  let error: Error | undefined
  /** What the store last complained of; it may get over it. */
  let trouble: string | undefined
  let wake = () => {}

  const hear = () => {
    heardAt = performance.now()
  }
  const patienceMs = () => (cast === 'joined' ? castPatienceMs : askAgainMs)

  /** Also where the disk refuses a block: nobody would hear of it, and it would be asked for again and again. */
  function giveUp(why: Error): void {
    error = why
    wake()
  }

  async function complete(): Promise<void> {
    while (part.missingCount() > 0) {
      signal.throwIfAborted()
      if (error !== undefined) throw error
      if (connection.isConnected()) goOn()
      await pause()
      options.progress(part.blocks - part.missingCount(), part.blocks)
      if (performance.now() - heardAt >= patienceMs()) onSilence()
    }
  }

  function goOn(): void {
    if (cast === 'to join' && castId !== undefined) join(castId)
    else if (cast === 'none') ask()
  }

  function join(id: string): void {
    cast = 'joined'
    hear()
    const rate = way.rateLimit === undefined ? {} : { rateLimit: way.rateLimit }
    memberships.join({ castId: id, sha256: file.sha256, gzip: compress, ...rate }).catch((refusal) => {
      log.info({ reason: refusal.message, castId: id }, 'not in the cast, asking for each block')
      if (connection.isConnected()) cast = 'none'
      wake()
    })
  }

  /** Asks in batches of half a window: one request for eight blocks rather than eight. Within a rate: for as few as fit. */
  function ask(): void {
    if (asked.size > windowBlocks / 2 || pacer.waitMs() > 0) return
    const most = Math.max(1, Math.floor(rateLimit / 4 / blockSize))
    const blocks = part.missing(Math.min(windowBlocks - asked.size, most), asked)
    if (blocks.length === 0) return
    pacer.spend(blocks.length * blockSize)
    if (asked.size === 0) hear()
    for (const index of blocks) asked.add(index)
    const request: BlocksRequest = { sha256: file.sha256, blocks, ...(compress ? { gzip: true } : {}) }
    connection.publish(topic, JSON.stringify(request)).catch((err) => log.debug({ err }, 'blocks not asked for'))
  }

  /** Until something comes, more may be asked for, or it has been silent for too long. */
  async function pause(): Promise<void> {
    const timer = new AbortController()
    const woken = new Promise<void>((resolve) => {
      wake = resolve
    })
    const silentMs = heardAt + patienceMs() - performance.now()
    const turnMs = cast === 'none' ? pacer.waitMs() : 0
    const ms = Math.max(1, turnMs > 0 ? Math.min(silentMs, turnMs) : silentMs)
    try {
      await Promise.race([woken, delay(ms, undefined, { signal: AbortSignal.any([timer.signal, signal]) })])
    } finally {
      timer.abort()
    }
  }

  function onSilence(): void {
    hear()
    if (cast === 'joined') {
      cast = 'none'
      return
    }
    if (asked.size === 0) return
    asked.clear()
    // Time without a connection is nobody's fault; the run's deadline bounds it.
    if (connection.isConnected()) quiet += 1
    if (quiet < maxQuiet) return
    const why = trouble === undefined ? '' : `: ${trouble}`
    throw new Error(`no block of ${file.sha256} came for ${(maxQuiet * askAgainMs) / 1000} s${why}`)
  }

  return {
    complete,

    async take({ index, blockSha256 }, plain) {
      // The last one of a cast: what is missing now has been missed.
      if (cast === 'joined' && index === part.blocks - 1) cast = 'none'
      const isNew = await part.write(index, blockSha256, plain).catch(giveUp)
      if (!isNew) return
      asked.delete(index)
      quiet = 0
      hear()
      wake()
    },

    onFileInfo(info) {
      trouble = info.error
      if (info.stored) return
      giveUp(new Error(info.error ?? `${info.sha256} is not in the store`))
    },

    onConnect() {
      asked.clear()
      if (cast === 'joined') cast = 'to join'
      hear()
      wake()
    }
  }
}
