import { join } from 'node:path'
import type { Bus, Log } from '@fleetgate/contracts'
import type { Store } from '@fleetgate/store'
import type { BrokerDriver } from '../broker/brokerDriver.js'
import type { Config } from '../config.js'
import type { FileChannel } from '../uplink/uplink.js'
import { createBlocks } from './blocks.js'
import { createCastStore } from './castStore.js'
import { createCasts } from './casts.js'
import { createDownloads } from './downloads.js'
import { type FileCache, openFileCache } from './fileCache.js'
import { createFileChannel, sendFileInfo } from './fileChannel.js'
import { createFileNames, type FileNames } from './fileNames.js'
import { createFileStore } from './fileStore.js'
import { createGraves } from './graves.js'
import { createKeeper } from './keeper.js'
import { createLibrary, type Library } from './library.js'
import { type Objects, openObjects } from './objects.js'
import { createRoom } from './room.js'
import { openSegments, type Segments } from './segments.js'
import { createUploadStore } from './uploadStore.js'
import { createUploads } from './uploads.js'
import { createUsage } from './usage.js'

/** What lies outside the process, or on its disk. */
export interface FileParts {
  segments: Segments
  objects: Objects
  cache: FileCache
}

export async function openFileParts(options: {
  bus: Bus
  dir: string
  cacheBytes: number
  log: Log
}): Promise<FileParts> {
  const { bus, dir, cacheBytes, log } = options
  const [segments, objects] = await Promise.all([openSegments(bus), openObjects(bus)])
  const cache = await openFileCache({ dir: join(dir, 'files'), maxBytes: cacheBytes, objects, log })
  return { segments, objects, cache }
}

export interface FilesParts extends FileParts {
  store: Store
  driver: Pick<BrokerDriver, 'send' | 'cast'>
  config: Pick<
    Config,
    'MAX_FILE_BYTES' | 'FILE_QUOTA_BYTES' | 'FILE_RETENTION_DAYS' | 'CAST_GATHER_MS' | 'CAST_BYTES_PER_SECOND'
  >
  /** Whether machines of the tenant may send and fetch files. */
  isOn(tenantId: string): boolean
  now: () => number
  onServed(): void
  onCast(): void
  log: Log
}

export interface Files {
  channel: FileChannel
  library: Library
  names: Pick<FileNames, 'find'>
  /** Retires files that nobody uses and removes contents that nobody has any more, now and then. */
  startSweeping(): () => void
  endCasts(): Promise<void>
}

const sweepMs = 10 * 60 * 1000
const dayMs = 24 * 60 * 60 * 1000
/** All entries are read for it, and what it finds is rare. */
const orphansEveryMs = 6 * 60 * 60 * 1000

/** Files of the fleet, from the clients' topics and the API to the stores. */
export function createFiles(parts: FilesParts): Files {
  const { store, driver, segments, objects, cache, now, log } = parts
  const files = createFileStore(store)
  const { MAX_FILE_BYTES: maxFileBytes, FILE_QUOTA_BYTES: quotaBytes } = parts.config
  const graves = createGraves({ store, files, objects, now, log })
  const names = createFileNames({ store, files, onUsed: (key) => usage.note(key), now })
  const usage = createUsage({
    files,
    names,
    graves,
    keptMs: parts.config.FILE_RETENTION_DAYS * dayMs,
    onGone: (tenantId, sha256) => channel.forget(tenantId, sha256),
    now,
    log
  })
  const uploadStore = createUploadStore(store)
  const room = createRoom({ files, uploads: uploadStore, maxFileBytes, quotaBytes, now })
  const keeper = createKeeper({ files, graves, objects, cache, onKept: usage.note, room })
  const uploads = createUploads({ uploads: uploadStore, files, segments, room, keeper, cache, now })
  const blocks = createBlocks(cache)
  const downloads = createDownloads({
    driver,
    blocks,
    onServed: parts.onServed,
    onFailed(session, { sha256 }, err) {
      log.warn({ err, sha256, clientId: session.clientId }, 'file not readable')
      sendFileInfo(driver, session, { sha256, stored: false, error: 'the file cannot be read now' })
    }
  })
  const casts = createCasts({
    store: createCastStore(store),
    blocks,
    driver,
    gatherMs: parts.config.CAST_GATHER_MS,
    bytesPerSecond: parts.config.CAST_BYTES_PER_SECOND,
    now,
    onCast: parts.onCast,
    log
  })
  const channel = createFileChannel({
    uploads,
    downloads,
    casts,
    files,
    names,
    onUsed: usage.note,
    driver,
    isOn: parts.isOn,
    log
  })
  const library = createLibrary({
    ...{ files, names, graves, keeper, room, cache, maxFileBytes, now },
    onRead: usage.note,
    onRetired: channel.forget
  })
  return {
    channel,
    library,
    names,
    endCasts: casts.stop,
    startSweeping() {
      let orphansAt = 0
      const removeOrphans = async () => {
        if (now() - orphansAt < orphansEveryMs) return
        orphansAt = now()
        const removed = await objects.removeOrphans(now() - dayMs)
        if (removed > 0) log.info({ objects: removed }, 'chunks removed that no file names')
      }
      const sweep = async () => {
        await usage.sweep().catch((err) => log.warn({ err }, 'unused files not retired'))
        await graves.sweep().catch((err) => log.warn({ err }, 'contents not removed'))
        await removeOrphans().catch((err) => log.warn({ err }, 'chunks without a file not removed'))
      }
      const timer = setInterval(() => void sweep(), sweepMs)
      return () => clearInterval(timer)
    }
  }
}
