import { createHash } from 'node:crypto'
import { type Bus, newId } from '@fleetgate/contracts'
import { headers, NatsError, type ObjectStore, StorageType } from 'nats'
import { directGet } from './directGet.js'
import { reached } from './outage.js'

/** Contents of files in the JetStream object store `files`, named by their sha256; AppError('unavailable') while NATS is away. */
export interface Objects {
  has(sha256: string): Promise<boolean>
  /** Stores the content; `read` gives its chunks in order. */
  put(sha256: string, read: () => AsyncIterable<Buffer>): Promise<void>
  /** Does nothing where it is not there. */
  remove(sha256: string): Promise<void>
  /** The chunks in order; throws where the object is not there. */
  get(sha256: string): AsyncIterable<Uint8Array>
  /**
   * Removes chunks that were begun before this time and that no entry names, and answers of how many objects: a process was killed
   * while it stored them, or two stored the same content at once.
   */
  removeOrphans(begunBefore: number): Promise<number>
}

const bucket = 'files'
const stream = `OBJ_${bucket}`
const chunkBytes = 128 * 1024
const inFlight = 16
const storeWithinMs = 20_000

/**
 * Writes the object store's own format (ADR-20), so that `nats object get` reads it, but not with the client library's
 * writer: that one hashes in JavaScript, takes a whole file into memory, and ends the process with an unhandled rejection
 * when NATS goes away under it.
 */
export async function openObjects(bus: Bus): Promise<Objects> {
  const { jetstream, connection } = bus
  const store = await jetstream.views.os(bucket, { storage: StorageType.File })

  return {
    has: (sha256) => reached(async () => (await infoOf(store, sha256)) !== undefined),

    async put(sha256, read) {
      const nuid = newId()
      const subject = `$O.${bucket}.C.${nuid}`
      const written = await reached(() => writeChunks(bus, subject, read()))
      const info = {
        name: sha256,
        bucket,
        nuid,
        ...written,
        mtime: new Date().toISOString(),
        deleted: false,
        options: { max_chunk_size: chunkBytes }
      }
      const rollup = headers()
      rollup.set('Nats-Rollup', 'sub')
      const meta = `$O.${bucket}.M.${urlSafe(Buffer.from(sha256))}`
      const settings = { headers: rollup, timeout: storeWithinMs }
      await reached(() => jetstream.publish(meta, JSON.stringify(info), settings))
    },

    remove: async (sha256) => void (await reached(() => store.delete(sha256))),

    async *get(sha256) {
      const info = await reached(() => infoOf(store, sha256))
      if (!info) throw new Error(`object ${sha256} is not in the store`)
      let seq = 1
      for (let chunk = 0; chunk < info.chunks; chunk++) {
        const message = await directGet(connection, stream, { seq, next_by_subj: `$O.${bucket}.C.${info.nuid}` })
        if (!message) throw new Error(`object ${sha256} lacks chunks`)
        seq = message.seq + 1
        yield message.data
      }
    },

    async removeOrphans(begunBefore) {
      const { manager } = bus
      const info = await reached(() => manager.streams.info(stream, { subjects_filter: `$O.${bucket}.C.>` }))
      const old = Object.keys(info.state.subjects ?? {}).filter((subject) => begunAt(subject) < begunBefore)
      if (old.length === 0) return 0
      // Asked after the chunks: what was being stored then has its entry by now, or is young.
      const entries = await reached(() => store.list())
      const named = new Set(entries.map(({ nuid }) => `$O.${bucket}.C.${nuid}`))
      const orphans = old.filter((subject) => !named.has(subject))
      for (const filter of orphans) await reached(() => manager.streams.purge(stream, { filter }))
      return orphans.length
    }
  }
}

/** When the chunks of this subject were begun: its last part is a `newId`. */
function begunAt(subject: string): number {
  const [, digits = ''] = /\.([0-9a-f]{12})[0-9a-f]{20}$/.exec(subject) ?? []
  return digits === '' ? Number.POSITIVE_INFINITY : Number.parseInt(digits, 16)
}

async function infoOf(store: ObjectStore, name: string) {
  try {
    const info = await store.info(name)
    // What was deleted keeps an entry that says so.
    return info && !info.deleted ? info : undefined
  } catch (error) {
    if (error instanceof NatsError && error.code === '404') return undefined
    throw error
  }
}

interface Written {
  size: number
  chunks: number
  digest: string
}

async function writeChunks(bus: Bus, subject: string, chunks: AsyncIterable<Buffer>): Promise<Written> {
  const hash = createHash('sha256')
  let size = 0
  let count = 0
  let pending: Promise<unknown>[] = []
  try {
    for await (const chunk of chunks) {
      hash.update(chunk)
      size += chunk.length
      count += 1
      const stored = bus.jetstream.publish(subject, chunk, { timeout: storeWithinMs })
      // Looked at below; until then a rejection must not count as unhandled.
      stored.catch(() => undefined)
      pending.push(stored)
      if (pending.length < inFlight) continue
      await Promise.all(pending)
      pending = []
    }
    await Promise.all(pending)
  } catch (error) {
    await Promise.allSettled(pending)
    await bus.manager.streams.purge(stream, { filter: subject }).catch(() => undefined)
    throw error
  }
  const digest = `SHA-256=${urlSafe(hash.digest())}`
  return { size, chunks: count, digest }
}

/** With its padding, which Node's own base64url leaves out. */
function urlSafe(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('+', '-').replaceAll('/', '_')
}
