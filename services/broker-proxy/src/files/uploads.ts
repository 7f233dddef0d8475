import { createHash } from 'node:crypto'
import { AppError, newId, type UploadInit, unpack } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'
import { type Assembled, assemble } from './assemble.js'
import type { FileCache } from './fileCache.js'
import type { FileStore, StoredFile } from './fileStore.js'
import type { Keeper } from './keeper.js'
import type { Room } from './room.js'
import { keptMs, type Segments } from './segments.js'
import type { Upload, UploadKey, UploadStore } from './uploadStore.js'

/** Uploads by the `$file` protocol. What the client does wrong is an AppError('invalid_input'). */
export interface Uploads {
  init(key: UploadKey, wish: UploadInit): Promise<void>
  segment(key: UploadKey, offset: number, payload: Buffer, sha256: string | undefined): Promise<void>
  /** Resolves when the file is stored for good; answers its facts. */
  finish(key: UploadKey, size: number, sha256: string | undefined): Promise<Finished>
  abort(key: UploadKey): Promise<void>
  /** Offsets of stored segments; nothing for an upload that is not known. */
  received(key: UploadKey): Promise<number[] | undefined>
}

export interface Finished {
  sha256: string
  size: number
  /** What the client called it; unknown where a repeat comes too late. */
  name?: string
}

export interface UploadParts {
  uploads: UploadStore
  files: FileStore
  segments: Segments
  room: Room
  keeper: Keeper
  cache: Pick<FileCache, 'withTemporary'>
  now: () => number
}

const maxOpenPerClient = 64
const maxRemembered = 10_000
/** What a client sends too much shall not make us count for each of it. */
const recountEveryMs = 60_000

export function createUploads(parts: UploadParts): Uploads {
  const { uploads, files, segments, room, keeper, cache, now } = parts
  const remembered = new LRUCache<string, Upload>({ max: maxRemembered })
  /** By the ids of those whose segments were counted anew a moment ago. */
  const recounts = new LRUCache<string, Promise<void>>({ max: maxRemembered, ttl: recountEveryMs })
  const nameOf = (key: UploadKey) => JSON.stringify([key.tenantId, key.clientId, key.fileId])

  async function find(key: UploadKey): Promise<Upload | undefined> {
    const kept = remembered.get(nameOf(key))
    if (kept) return kept
    const found = await uploads.find(key)
    if (found) remembered.set(nameOf(key), found)
    return found
  }

  /** In this order: killed anywhere in between, the client's next fin begins anew and meets what is done already. */
  async function complete(upload: Upload, wanted: string | undefined): Promise<Finished> {
    const { id, tenantId, size, name } = upload
    const sha256 = await cache.withTemporary(async (path) => {
      const offsets = await segments.offsets(id)
      const made = await assemble(path, size, offsets, (offset) => segments.get(id, offset))
      await refuseWrong(made, upload, wanted)
      const times = { createdAt: now(), usedAt: now() }
      await keeper.keep(path, { tenantId, sha256: made.sha256, size, name, ...times, blocks: made.blocks }, id)
      return made.sha256
    })
    return close(upload, sha256)
  }

  async function refuseWrong(made: Assembled, upload: Upload, wanted: string | undefined): Promise<void> {
    const { id, size } = upload
    if (made.end < size) throw refusal(`segments are missing from byte ${made.end} on`)
    if (wanted === undefined || made.sha256 === wanted) return
    // Which segment is wrong nobody knows: all are to be sent again.
    await segments.remove(id)
    await uploads.setHeld(upload, 0)
    throw refusal('the checksum of the file is wrong')
  }

  /** A segment that comes again takes the place of the first. */
  async function store(upload: Upload, offset: number, bytes: Buffer): Promise<void> {
    const more = bytes.length - ((await segments.get(upload.id, offset))?.length ?? 0)
    if (room.isBounded) await room.take(upload.tenantId, more)
    if (more > 0 && !(await hold(upload, more))) return
    await segments.put(upload.id, offset, bytes).catch(async (error) => {
      if (more > 0) await uploads.release(upload, more)
      throw error
    })
    if (more < 0) await uploads.release(upload, -more)
  }

  /**
   * Segments may overlap, but not make many times the file of it: nothing else bounds what lies in the stream for a day. False
   * where another replica has finished the upload.
   */
  async function hold(upload: Upload, more: number): Promise<boolean> {
    const most = upload.size * 1.1 + maxPlainBytes
    if (await uploads.hold(upload, more, most)) return true
    const row = await uploads.find(upload)
    if (row?.id !== upload.id) {
      remembered.delete(nameOf(upload))
      throw refusal('this upload has ended: send init first')
    }
    if (row.finished) {
      remembered.set(nameOf(upload), row)
      return false
    }
    await recount(upload)
    if (await uploads.hold(upload, more, most)) return true
    throw refusal('the segments overlap too much: abort the upload and begin anew')
  }

  /** Once for all segments that are refused at this moment. */
  function recount(upload: Upload): Promise<void> {
    const known = recounts.get(upload.id)
    if (known) return known
    const work = segments.bytes(upload.id).then((bytes) => uploads.setHeld(upload, bytes))
    recounts.set(upload.id, work)
    work.catch(() => recounts.delete(upload.id))
    return work
  }

  async function close(upload: Upload, sha256: string): Promise<Finished> {
    await uploads.finish(upload, sha256, new Date(now() + keptMs))
    remembered.set(nameOf(upload), { ...upload, finished: sha256 })
    await segments.remove(upload.id)
    return { sha256, size: upload.size, name: upload.name }
  }

  async function stored(tenantId: string, sha256: string | undefined, size: number): Promise<StoredFile | undefined> {
    const file = sha256 === undefined ? undefined : await files.find(tenantId, sha256)
    return file?.size === size ? file : undefined
  }

  /** Of a finished one only what says that it is the same content, and while the tenant has that: all else is a new file. */
  async function stands({ tenantId, finished, checksum, size }: Upload): Promise<boolean> {
    return finished === undefined || (finished === checksum && (await stored(tenantId, finished, size)) !== undefined)
  }

  return {
    async init(key, { name, size, checksum, encoding }) {
      // What this process remembers may have ended elsewhere.
      const before = await uploads.find(key)
      await room.refuseTooMuch(key.tenantId, size, before?.id)
      // Said again after a reconnect: what has arrived stays.
      if (before && isSame(before, { size, checksum, encoding }) && (await stands(before))) {
        remembered.set(nameOf(key), before)
        return
      }
      if ((!before || before.finished) && (await uploads.countOpen(key)) >= maxOpenPerClient)
        throw refusal('too many unfinished uploads')
      const upload: Upload = { id: newId(), ...key, name, size, checksum, encoding, expireAt: new Date(now() + keptMs) }
      await uploads.put(upload)
      remembered.set(nameOf(key), upload)
      if (before) await segments.remove(before.id)
    },

    async segment(key, offset, payload, sha256) {
      const upload = await find(key)
      if (!upload) throw refusal('unknown upload: send init first')
      if (upload.finished) return
      const bytes = upload.encoding === 'gzip' ? await plainOf(payload) : payload
      if (bytes.length === 0) throw refusal('the segment is empty')
      if (offset + bytes.length > upload.size) throw refusal('the segment reaches beyond the end of the file')
      if (sha256 !== undefined && sha256 !== createHash('sha256').update(bytes).digest('hex')) {
        throw refusal(`the checksum of the segment at ${offset} is wrong`)
      }
      await store(upload, offset, bytes)
    },

    async finish(key, size, sha256) {
      const upload = await find(key)
      const wanted = sha256 ?? upload?.checksum
      const present = await stored(key.tenantId, wanted ?? upload?.finished, size)
      if (present && upload?.finished === present.sha256) return { sha256: present.sha256, size, name: upload.name }
      if (present) return upload ? close(upload, present.sha256) : { sha256: present.sha256, size }
      if (!upload) throw refusal('unknown upload: send init first')
      if (upload.size !== size) throw refusal(`init spoke of ${upload.size} bytes, fin of ${size}`)
      return complete(upload, wanted)
    },

    async abort(key) {
      const upload = await find(key)
      if (!upload) return
      remembered.delete(nameOf(key))
      await uploads.remove(key)
      await segments.remove(upload.id)
    },

    async received(key) {
      const upload = await find(key)
      return upload && !upload.finished ? segments.offsets(upload.id) : undefined
    }
  }
}

function isSame(one: Upload, other: Pick<Upload, 'size' | 'checksum' | 'encoding'>): boolean {
  return one.size === other.size && one.checksum === other.checksum && one.encoding === other.encoding
}

/** As large as a plain segment may be. */
const maxPlainBytes = 1_000_000

async function plainOf(payload: Buffer): Promise<Buffer> {
  try {
    return await unpack(payload, maxPlainBytes)
  } catch {
    throw refusal(`the segment is not gzip of at most ${maxPlainBytes} bytes`)
  }
}

function refusal(reason: string): AppError {
  return new AppError('invalid_input', reason)
}
