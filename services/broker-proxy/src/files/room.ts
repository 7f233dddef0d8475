import { AppError } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'
import type { FileStore } from './fileStore.js'
import type { UploadStore } from './uploadStore.js'

/** How much a tenant's files and the segments of its unfinished uploads may have together. */
export interface Room {
  /**
   * Throws invalid_input for a file that is too big, quota_exceeded where the tenant has no room for it. `upload`: the one that
   * becomes this file, or is begun anew; what it holds goes.
   */
  refuseTooMuch(tenantId: string, size: number, upload?: string): Promise<void>
  /** Counts bytes of segments; quota_exceeded where they find no room. */
  take(tenantId: string, bytes: number): Promise<void>
  readonly isBounded: boolean
}

export interface RoomParts {
  files: Pick<FileStore, 'sizeOf'>
  uploads: Pick<UploadStore, 'heldBy'>
  maxFileBytes: number
  /** 0 means no limit. */
  quotaBytes: number
  now: () => number
}

/** Segments come by the thousand: what other processes take meanwhile is seen as late as this. */
const lookEveryMs = 1_000
const maxTenants = 1_000

export function createRoom({ files, uploads, maxFileBytes, quotaBytes, now }: RoomParts): Room {
  const looked = new LRUCache<string, { at: number; used: Promise<{ bytes: number }> }>({ max: maxTenants })

  async function usedBy(tenantId: string, except?: string): Promise<number> {
    const [kept, held] = await Promise.all([files.sizeOf(tenantId), uploads.heldBy(tenantId, except)])
    return kept + held
  }

  function look(tenantId: string): Promise<{ bytes: number }> {
    const known = looked.get(tenantId)
    if (known && now() - known.at < lookEveryMs) return known.used
    const used = usedBy(tenantId).then((bytes) => ({ bytes }))
    looked.set(tenantId, { at: now(), used })
    used.catch(() => looked.delete(tenantId))
    return used
  }

  function full(): AppError {
    return new AppError('quota_exceeded', `the files of a tenant may have at most ${quotaBytes} bytes together`)
  }

  return {
    isBounded: quotaBytes > 0,
    async refuseTooMuch(tenantId, size, upload) {
      if (size > maxFileBytes) throw new AppError('invalid_input', `files may have at most ${maxFileBytes} bytes`)
      if (quotaBytes > 0 && (await usedBy(tenantId, upload)) + size > quotaBytes) throw full()
    },
    async take(tenantId, bytes) {
      const used = await look(tenantId)
      if (bytes > 0 && used.bytes + bytes > quotaBytes) throw full()
      used.bytes += bytes
    }
  }
}
