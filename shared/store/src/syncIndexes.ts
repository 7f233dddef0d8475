import type { Log } from '@fleetgate/contracts'
import type { Model } from 'mongoose'

/** IndexOptionsConflict and IndexKeySpecsConflict: an index of this name or these keys exists, but differs. */
const differs = new Set<unknown>([85, 86])

/** Creates what is missing. Only an index that differs from the schema's makes it drop the collection's strays. */
export async function createIndexes<T>(model: Model<T>, log: Log): Promise<void> {
  try {
    await model.createIndexes()
  } catch (error) {
    if (!differs.has((error as { code?: unknown }).code)) throw error
    const dropped = await model.syncIndexes()
    log.warn({ collection: model.collection.collectionName, dropped }, 'indexes that differed were built anew')
  }
}
