import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Less than this is not worth a collection. */
const worthBytes = 4 * 1024 * 1024
const quietMs = 1000

/**
 * Collects garbage once when a transfer is over. V8 does so when it runs out of room, and an agent that idles never does:
 * it would keep the blocks of its last file, up to 30 MB of them, until the next one. Answers what to tell of each block.
 */
export function createTidy(collect: () => void = findCollector()): (bytes: number) => void {
  let moved = 0
  let timer: NodeJS.Timeout | undefined
  return (bytes) => {
    moved += bytes
    if (moved < worthBytes) return
    if (timer) {
      timer.refresh()
      return
    }
    timer = setTimeout(() => {
      moved = 0
      timer = undefined
      collect()
    }, quietMs)
    timer.unref()
  }
}

/** Node hands the collector out to contexts that are made while this flag is set. */
function findCollector(): () => void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  return collect
}
