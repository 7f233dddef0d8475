import { AppError } from '@fleetgate/kit'
import type { Usage } from '../usage.js'

export interface Carried {
  usage: Usage
  /** Of the request: named where an id is not there. */
  field: string
  ids: readonly string[]
}

/**
 * Marks keys and registries as carried by a cluster, then does the cluster's own write. An unknown id is refused. Marks are
 * taken back where the write was refused; where it is not known whether it was done they stay, for `markSweep` to judge.
 */
export async function carrying<T>(
  tenantId: string,
  clusterId: string,
  carried: readonly Carried[],
  write: () => Promise<T>
): Promise<T> {
  const undo: (() => Promise<void>)[] = []
  try {
    for (const { usage, field, ids } of carried) {
      const { mark, missing } = await usage.use(tenantId, ids, clusterId)
      undo.push(() => usage.takeBack(tenantId, ids, [mark]))
      if (missing.length > 0) throw new AppError('not_found', `there is no ${field} ${missing[0]}`, { field })
    }
    return await write()
  } catch (error) {
    if (error instanceof AppError) for (const one of undo) await one()
    throw error
  }
}
