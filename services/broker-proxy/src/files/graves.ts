import { setTimeout as delay } from 'node:timers/promises'
import { AppError, type Log } from '@fleetgate/contracts'
import { Schema, type Store } from '@fleetgate/store'
import type { FileStore } from './fileStore.js'
import type { Objects } from './objects.js'

/** A content that somebody has deleted: it goes after a while, unless a tenant has it then. */
interface Grave {
  _id: string
  dueAt: number
  /** Set while the content is being removed. */
  closingAt?: number | null
}

/**
 * Removes contents that no tenant has any more. A file is stored in two places, without a transaction over both; so that
 * nobody finds a content there that goes away under him, whoever stores one takes it off this list first, and waits while
 * it is being removed.
 */
export interface Graves {
  dig(sha256: string): Promise<void>
  /** Resolves when the content is on no list; it may have been removed by then. */
  leave(sha256: string): Promise<void>
  /** Removes what is due; answers how many. */
  sweep(): Promise<number>
}

export interface GravesParts {
  store: Store
  files: Pick<FileStore, 'isHeld'>
  objects: Pick<Objects, 'remove'>
  now: () => number
  log: Log
}

/** Longer than any upload takes between its look for the content and its own row. */
export const graceMs = 60 * 60 * 1000
/** A process that died over a removal leaves it to the next one after this time. */
const closingLimitMs = 60_000
const leaveWithinMs = 10_000

export function createGraves({ store, files, objects, now, log }: GravesParts): Graves {
  const schema = new Schema<Grave>({
    _id: { type: String, required: true },
    dueAt: { type: Number, required: true, index: true },
    closingAt: Number
  })
  const model = store.model<Grave>('fileGraves', schema)

  async function claim(): Promise<Grave | undefined> {
    const isFree = { $or: [{ closingAt: null }, { closingAt: { $lte: now() - closingLimitMs } }] }
    const change = { $set: { closingAt: now() } }
    return (await model.findOneAndUpdate({ dueAt: { $lte: now() }, ...isFree }, change).lean<Grave>()) ?? undefined
  }

  return {
    async dig(sha256) {
      await model.updateOne({ _id: sha256 }, { $set: { dueAt: now() + graceMs } }, { upsert: true })
    },

    async leave(sha256) {
      for (const end = Date.now() + leaveWithinMs; ; await delay(100)) {
        await model.deleteOne({ _id: sha256, closingAt: null })
        if (!(await model.exists({ _id: sha256 }))) return
        if (Date.now() > end) throw new AppError('unavailable', 'the content is being removed, try again')
      }
    },

    async sweep() {
      let removed = 0
      for (let grave = await claim(); grave; grave = await claim()) {
        if (!(await files.isHeld(grave._id))) {
          await objects.remove(grave._id)
          removed += 1
          log.info({ sha256: grave._id }, 'content removed that nobody has')
        }
        await model.deleteOne({ _id: grave._id })
      }
      return removed
    }
  }
}
