import { blockTopic } from '@fleetgate/contracts'
import type { BrokerDriver, Session } from '../broker/brokerDriver.js'
import type { Blocks } from './blocks.js'
import type { StoredFile } from './fileStore.js'

/** Sends blocks to those who ask for them. */
export interface Downloads {
  /** Queues the blocks for the client; what does not fit is left out, since clients ask again for what is missing. */
  send(session: Session, file: StoredFile, wanted: { blocks: number[]; gzip: boolean }): void
}

export interface DownloadParts {
  driver: Pick<BrokerDriver, 'send'>
  blocks: Blocks
  onServed(): void
  onFailed(session: Session, file: StoredFile, error: unknown): void
}

const maxQueuedPerClient = 256
const atOncePerClient = 2
/** Blocks on their way to sockets, of all clients together: 128 MB at most. */
const atOnce = 512
/** How long one of them counts: a crowd whose sockets take nothing must not keep all places. */
const patienceMs = 1_000

interface Wanted {
  file: StoredFile
  index: number
  gzip: boolean
}

interface Queue {
  wanted: Wanted[]
  working: number
}

export function createDownloads({ driver, blocks, onServed, onFailed }: DownloadParts): Downloads {
  const queues = new WeakMap<Session, Queue>()
  const waiting: (() => void)[] = []
  let sending = 0

  async function turn(): Promise<void> {
    if (sending < atOnce) sending += 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
  }

  /** Gives the place away when it is called, or after a while. */
  function leaveLater(): () => void {
    let isGone = false
    const leave = () => {
      clearTimeout(timer)
      if (isGone) return
      isGone = true
      const next = waiting.shift()
      if (next) next()
      else sending -= 1
    }
    const timer = setTimeout(leave, patienceMs)
    return leave
  }

  async function sendOne(session: Session, { file, index, gzip }: Wanted): Promise<boolean> {
    await turn()
    const leave = leaveLater()
    try {
      const { payload, blockSha256, isGzip } = await blocks.load(file, index, gzip)
      const topic = blockTopic(session.clientId, { sha256: file.sha256, index, blockSha256, isGzip })
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
    send(session, file, { blocks: indexes, gzip }) {
      const queue = queues.get(session) ?? { wanted: [], working: 0 }
      queues.set(session, queue)
      for (const index of indexes) {
        if (queue.wanted.length >= maxQueuedPerClient) break
        queue.wanted.push({ file, index, gzip })
      }
      while (queue.working < atOncePerClient && queue.working < queue.wanted.length) {
        queue.working += 1
        void work(session, queue)
      }
    }
  }
}
