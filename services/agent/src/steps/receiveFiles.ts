import { createPacer, type ManifestFile, type Pacer, type Step, type Transfer } from '@fleetgate/contracts/fleet'
import type { Place } from '../paths.js'
import type { Way } from '../transfer/arrival.js'
import type { StepContext, StepParts } from './step.js'
import { modeOf, openTarget, reasonToSkip, summaryOf } from './target.js'

export type ReceiveParts = Pick<StepParts, 'paths' | 'config' | 'downloads'>

export interface Order extends Pick<Step, 'targetFilePath' | 'createFilePath' | 'overWrite'> {
  files: ManifestFile[]
  /** What a file without a name of its own is called in a folder. */
  name: string
  transfer: Transfer
  /** They come by this cast. */
  castId?: string | undefined
}

/** Files of a cast that are waited for at once: each is gathered for a moment before it goes out. */
const castsAtOnce = 8

type Manner = Pick<StepContext, 'signal' | 'say'>

/**
 * Fetches files from the store to their target, one after the other, those of a cast some at a time. Repeatable: content that
 * is there already is not fetched again, and a target is replaced whole or not at all. Answers what was done.
 */
export async function receiveFiles(parts: ReceiveParts, order: Order, manner: Manner): Promise<string> {
  const pacer = createPacer(order.transfer.rateLimit)
  const messages: string[] = []
  const left = order.files.entries()
  let isBroken = false
  const receiveNext = async (): Promise<void> => {
    for (const [index, file] of left) {
      messages[index] = await receiveOne(parts, { order, file, manner, pacer })
      if (isBroken) return
    }
  }
  const lines = Array.from({ length: order.castId === undefined ? 1 : castsAtOnce }, () =>
    receiveNext().catch((error) => {
      isBroken = true
      throw error
    })
  )
  // All of them, also after a failure: no work may outlive its step.
  for (const line of await Promise.allSettled(lines)) if (line.status === 'rejected') throw line.reason
  return summaryOf(messages)
}

interface One {
  order: Order
  file: ManifestFile
  manner: Manner
  pacer: Pacer
}

async function receiveOne(parts: ReceiveParts, { order, file, manner, pacer }: One): Promise<string> {
  const place = await openTarget(parts.paths, order, { path: file.path, name: order.name })
  try {
    const { signal } = manner
    const skipped = await reasonToSkip(parts, { place, step: order, signal, content: async () => file })
    if (skipped !== undefined) return skipped
    const { castId, transfer } = order
    await fetch(parts, place, { file, ...manner, way: { ...transfer, castId, pacer } })
    return `received ${place.path}, ${file.size} bytes, sha256 ${file.sha256}`
  } finally {
    await place.close()
  }
}

interface Fetch extends Manner {
  file: ManifestFile
  way: Way
}

async function fetch(parts: ReceiveParts, place: Place, { file, signal, say, way }: Fetch): Promise<void> {
  let saidAt = Date.now()
  const progress = (received: number, blocks: number) => {
    if (received === blocks || Date.now() - saidAt < 10_000) return
    saidAt = Date.now()
    say(`${Math.floor((100 * received) / blocks)} % of ${file.size} bytes received`)
  }
  await parts.downloads.fetch({ place, file, mode: await modeOf(parts, place), signal, progress, way })
}
