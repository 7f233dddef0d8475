import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** So much passes through before the young ones among what it left are collected: a fraction of a millisecond. */
const stepBytes = 1024 * 1024
/** Less than this is not worth the costlier collection of all when it is over. */
const worthBytes = 4 * 1024 * 1024
const quietMs = 1000

type Kind = 'young' | 'all'

/**
 * Collects garbage while a transfer lasts, and all of it once when it is over. V8 counts its own heap, where a block is next to
 * nothing; the blocks themselves, 30 MB of them, it would keep until its heap is full. Answers what to tell of each block.
 */
export function createTidy(collect: (kind: Kind) => void = findCollector()): (bytes: number) => void {
  let [moved, sinceStep] = [0, 0]
  let timer: NodeJS.Timeout | undefined

  function whenOver(): void {
    moved = 0
    timer = undefined
    collect('all')
  }

  return (bytes) => {
    moved += bytes
    sinceStep += bytes
    if (sinceStep >= stepBytes) {
      sinceStep = 0
      collect('young')
    }
    if (moved < worthBytes) return
    if (timer) timer.refresh()
    else timer = setTimeout(whenOver, quietMs).unref()
  }
}

/** Node hands the collector out to contexts that are made while this flag is set. */
function findCollector(): (kind: Kind) => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void
  setFlagsFromString('--no-expose-gc')
  return (kind) => (kind === 'young' ? collect({ type: 'minor' }) : collect())
}
