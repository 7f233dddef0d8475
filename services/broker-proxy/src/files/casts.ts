import { setTimeout as delay } from 'node:timers/promises'
import { blockSize, castBlockTopic, createPacer, type Log, newId } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'
import type { BrokerDriver } from '../broker/brokerDriver.js'
import { type Blocks, blockCount } from './blocks.js'
import type { CastKey, CastStore } from './castStore.js'
import type { StoredFile } from './fileStore.js'

export interface CastWish {
  tenantId: string
  castId: string
  file: StoredFile
  /** Bytes per second; absent means as fast as we allow. */
  rateLimit?: number | undefined
  gzip: boolean
}

/** Sends a content once to all who have joined its cast. */
export interface Casts {
  /** The first one opens the time of gathering; the others of that time are counted in, at whichever replica. */
  join(wish: CastWish): Promise<void>
  /** Ends what is at work; its members ask for what they lack. */
  stop(): Promise<void>
}

export interface CastParts {
  store: CastStore
  blocks: Blocks
  driver: Pick<BrokerDriver, 'cast'>
  /** Milliseconds after the first join in which others are gathered. */
  gatherMs: number
  /** Of content, of all casts of this process together. */
  bytesPerSecond: number
  now: () => number
  onCast(): void
  log: Log
}

/** Blocks of one cast on their way at once: enough for the broker to be busy, few enough to be held. */
const window = 4
const maxCasts = 256
/** A replica that died at its work is not waited for longer. */
const leaseMs = 10_000
/** So long after its end a cast is not begun anew: who comes then has just missed it, and asks for its blocks. */
const quietMs = 10_000
const maxRemembered = 10_000

interface Open extends CastWish {
  joins: number
  isSending: boolean
  done: Promise<void>
}

export function createCasts(parts: CastParts): Casts {
  const { store, blocks, driver, gatherMs, now, log } = parts
  const owner = newId()
  const open = new Map<string, Promise<Open | undefined>>()
  /** Casts of others, for as long as the answer holds: many machines ask at once. */
  const foreign = new LRUCache<string, true>({ max: maxRemembered, ttl: Math.max(1, Math.min(gatherMs, 1_000)) })
  const total = createPacer(parts.bytesPerSecond)
  const stopping = new AbortController()

  function start(wish: CastWish, name: string): Promise<Open | undefined> {
    const begun = begin(wish)
    open.set(name, begun)
    begun
      .then((cast) => cast?.done ?? void foreign.set(name, true))
      .catch(() => undefined)
      .finally(() => open.delete(name))
    return begun
  }

  /** Nothing where it is not ours to send. */
  async function begin(wish: CastWish): Promise<Open | undefined> {
    const times = { now: now(), takenUntil: now() + gatherMs + leaseMs }
    if (open.size >= maxCasts || !(await store.claim(keyOf(wish), owner, times))) return undefined
    const cast: Open = { ...wish, joins: 0, isSending: false, done: Promise.resolve() }
    cast.done = run(cast)
    return cast
  }

  async function run(cast: Open): Promise<void> {
    const { castId, tenantId, file } = cast
    const facts = { tenantId, castId, sha256: file.sha256 }
    try {
      await delay(gatherMs, undefined, { signal: stopping.signal })
      cast.isSending = true
      await send(cast)
      log.info({ ...facts, joins: cast.joins, blocks: blockCount(file) }, 'content cast')
      await store.keep(keyOf(cast), owner, now() + quietMs)
    } catch (err) {
      if (!stopping.signal.aborted) log.warn({ err, ...facts }, 'cast broken off; its members ask for what they lack')
    }
  }

  async function send(cast: Open): Promise<void> {
    const pace = createPacer(cast.rateLimit)
    const leaving = new Set<Promise<void>>()
    let broken: unknown
    let keptAt = now()
    for (let index = 0; index < blockCount(cast.file); index += 1) {
      const size = Math.min(blockSize, cast.file.size - index * blockSize)
      await pace.pass(size, stopping.signal)
      await total.pass(size, stopping.signal)
      const one = sendOne(cast, index)
        .catch((error) => {
          broken ??= error
        })
        .finally(() => leaving.delete(one))
      leaving.add(one)
      if (leaving.size >= window) await Promise.race(leaving)
      if (broken !== undefined) throw broken
      if (now() - keptAt < leaseMs / 4) continue
      keptAt = now()
      await store.keep(keyOf(cast), owner, keptAt + leaseMs)
    }
    await Promise.all(leaving)
    if (broken !== undefined) throw broken
  }

  async function sendOne({ tenantId, castId, file, gzip }: Open, index: number): Promise<void> {
    const { payload, blockSha256, isGzip } = await blocks.load(file, index, gzip)
    const topic = castBlockTopic(castId, { sha256: file.sha256, index, blockSha256, isGzip })
    await driver.cast(tenantId, { topic, payload, qos: 0 })
    parts.onCast()
  }

  return {
    async join(wish) {
      const name = JSON.stringify(keyOf(wish))
      if (stopping.signal.aborted || foreign.has(name)) return
      const cast = await (open.get(name) ?? start(wish, name))
      if (!cast) return
      cast.joins += 1
      if (cast.isSending) return
      // One who takes no compression, or has no limit, decides for all.
      cast.gzip &&= wish.gzip
      cast.rateLimit = fasterOf(cast.rateLimit, wish.rateLimit)
    },
    async stop() {
      stopping.abort()
      const begun = await Promise.allSettled(open.values())
      await Promise.all(begun.map((one) => (one.status === 'fulfilled' ? one.value?.done : undefined)))
    }
  }
}

function keyOf({ tenantId, castId, file }: CastWish): CastKey {
  return { tenantId, castId, sha256: file.sha256 }
}

function fasterOf(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : Math.max(one, other)
}
