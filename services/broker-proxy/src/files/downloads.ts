import { blockSize, blockTopic } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'
import type { BrokerDriver, Session } from '../broker/brokerDriver.js'
import type { FileCache } from './fileCache.js'
import type { StoredFile } from './fileStore.js'

/** Sends blocks to those who ask for them. */
export interface Downloads {
  /** Queues the blocks for the client; what does not fit is left out, since clients ask again for what is missing. */
  send(session: Session, file: StoredFile, blocks: number[]): void
}

export interface DownloadParts {
  driver: Pick<BrokerDriver, 'send'>
  cache: Pick<FileCache, 'readBlock'>
  onServed(): void
  onFailed(session: Session, file: StoredFile, error: unknown): void
}

const maxQueuedPerClient = 256
const atOncePerClient = 2
/** Blocks on their way to sockets, of all clients together: 128 MB at most. */
const atOnce = 512
/** Blocks that many clients ask for at about the same time are read and held once. */
const sharedBytes = 64 * 1024 * 1024

interface Wanted {
  file: StoredFile
  index: number
}

interface Queue {
  wanted: Wanted[]
  working: number
}

export function createDownloads({ driver, cache, onServed, onFailed }: DownloadParts): Downloads {
  const queues = new WeakMap<Session, Queue>()
  const shared = new LRUCache<string, Promise<Buffer>>({ maxSize: sharedBytes, sizeCalculation: () => blockSize })
  const waiting: (() => void)[] = []
  let sending = 0

  function load(file: StoredFile, index: number): Promise<Buffer> {
    const key = `${file.sha256}:${index}`
    const kept = shared.get(key)
    if (kept) return kept
    const block = cache.readBlock(file, index)
    shared.set(key, block)
    block.catch(() => shared.delete(key))
    return block
  }

  async function turn(): Promise<void> {
    if (sending < atOnce) sending += 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
  }

  function leave(): void {
    const next = waiting.shift()
    if (next) next()
    else sending -= 1
  }

  async function sendOne(session: Session, { file, index }: Wanted): Promise<boolean> {
    await turn()
    try {
      const payload = await load(file, index)
      const blockSha256 = file.blocks.subarray(index * 32, index * 32 + 32).toString('hex')
      const topic = blockTopic(session.clientId, { sha256: file.sha256, index, blockSha256 })
      const isSent = await driver.send(session, { topic, payload, qos: 0 })
      if (isSent) onServed()
      return isSent
    } finally {
      leave()
    }
  }

  async function work(session: Session, queue: Queue): Promise<void> {
    for (let next = queue.wanted.shift(); next; next = queue.wanted.shift()) {
      try {
        if (!(await sendOne(session, next))) queue.wanted = []
      } catch (error) {
        const { file } = next
        queue.wanted = queue.wanted.filter((other) => other.file.sha256 !== file.sha256)
        onFailed(session, file, error)
      }
    }
    queue.working -= 1
  }

  return {
    send(session, file, blocks) {
      const queue = queues.get(session) ?? { wanted: [], working: 0 }
      queues.set(session, queue)
      for (const index of blocks) {
        if (queue.wanted.length >= maxQueuedPerClient) break
        queue.wanted.push({ file, index })
      }
      while (queue.working < atOncePerClient && queue.working < queue.wanted.length) {
        queue.working += 1
        void work(session, queue)
      }
    }
  }
}
