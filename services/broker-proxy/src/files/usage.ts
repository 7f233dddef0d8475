import type { Log } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'
import type { FileNames } from './fileNames.js'
import type { FileKey, FileStore } from './fileStore.js'
import type { Graves } from './graves.js'

/** Knows which files are still used, and takes those away that nobody has used for too long. */
export interface Usage {
  /** Somebody stores or fetches it. Nothing waits for this. */
  note(key: FileKey): void
  /** Takes away what has been unused for longer than it is kept; answers how many. */
  sweep(): Promise<number>
}

export interface UsageParts {
  files: Pick<FileStore, 'setUsed' | 'unused' | 'removeUnused'>
  names: Pick<FileNames, 'remove'>
  graves: Pick<Graves, 'dig'>
  /** Milliseconds for which an unused file is kept; 0: for ever. */
  keptMs: number
  /** A file is gone: forget what is known of it. */
  onGone(tenantId: string, sha256: string): void
  now: () => number
  log: Log
}

/** A file that thousands fetch is one write an hour. */
const noteEveryMs = 60 * 60 * 1000
const remembered = 10_000
const atOnce = 500

export function createUsage({ files, names, graves, keptMs, onGone, now, log }: UsageParts): Usage {
  const noted = new LRUCache<string, number>({ max: remembered })

  async function retire(key: FileKey, before: number): Promise<boolean> {
    // As with a file that a person deletes: the content's entry comes first, so that a crash leaves none behind.
    await graves.dig(key.sha256)
    if (!(await files.removeUnused(key, before))) return false
    onGone(key.tenantId, key.sha256)
    await names.remove(key)
    log.info({ ...key }, 'file retired that nobody has used')
    return true
  }

  return {
    note({ tenantId, sha256 }) {
      const name = `${tenantId}:${sha256}`
      if (now() - (noted.get(name) ?? 0) < noteEveryMs) return
      noted.set(name, now())
      files.setUsed({ tenantId, sha256 }, now()).catch((err) => {
        noted.delete(name)
        log.warn({ err, tenantId, sha256 }, 'use of a file not noted')
      })
    },

    async sweep() {
      if (keptMs === 0) return 0
      const before = now() - keptMs
      let retired = 0
      for (;;) {
        const found = await files.unused(before, atOnce)
        for (const key of found) if (await retire(key, before)) retired += 1
        if (found.length < atOnce) return retired
      }
    }
  }
}
