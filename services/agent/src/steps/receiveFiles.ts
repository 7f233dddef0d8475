import type { ManifestFile, Step } from '@fleetgate/contracts/fleet'
import type { Place } from '../paths.js'
import type { StepContext, StepParts } from './step.js'
import { modeOf, openTarget, reasonToSkip, refuseIfFull, summaryOf } from './target.js'

export type ReceiveParts = Pick<StepParts, 'paths' | 'config' | 'downloads'>

export interface Order extends Pick<Step, 'targetFilePath' | 'createFilePath' | 'overWrite'> {
  files: ManifestFile[]
  /** What a file without a name of its own is called in a folder. */
  name: string
}

type Manner = Pick<StepContext, 'signal' | 'say'>

/**
 * Fetches files from the store to their target, one after the other. Repeatable: content that is there already is not
 * fetched again, and a target is replaced whole or not at all. Answers what was done.
 */
export async function receiveFiles(parts: ReceiveParts, order: Order, manner: Manner): Promise<string> {
  const messages: string[] = []
  for (const file of order.files) messages.push(await receiveOne(parts, { order, file, manner }))
  return summaryOf(messages)
}

interface One {
  order: Order
  file: ManifestFile
  manner: Manner
}

async function receiveOne(parts: ReceiveParts, { order, file, manner }: One): Promise<string> {
  const place = await openTarget(parts.paths, order, { path: file.path, name: order.name })
  try {
    const { signal } = manner
    const skipped = await reasonToSkip(parts, { place, step: order, signal, content: async () => file })
    if (skipped !== undefined) return skipped
    await refuseIfFull(place, file.size)
    await fetch(parts, place, file, manner)
    return `received ${place.path}, ${file.size} bytes, sha256 ${file.sha256}`
  } finally {
    await place.close()
  }
}

async function fetch(parts: ReceiveParts, place: Place, file: ManifestFile, { signal, say }: Manner): Promise<void> {
  let saidAt = Date.now()
  const progress = (received: number, blocks: number) => {
    if (received === blocks || Date.now() - saidAt < 10_000) return
    saidAt = Date.now()
    say(`${Math.floor((100 * received) / blocks)} % of ${file.size} bytes received`)
  }
  await parts.downloads.fetch({ place, file, mode: await modeOf(parts, place), signal, progress })
}
