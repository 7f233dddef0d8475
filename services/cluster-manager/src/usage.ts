import type { Model } from 'mongoose'

/** Part of a document that clusters may carry. */
export interface Used {
  _id: string
  tenantId: string
  isUsed: boolean
  /** Ids of the clusters. */
  usedBy: string[]
}

export interface Usage {
  /** Marks all of them as carried by a cluster, before it does; answers the ids that are not there. */
  use(tenantId: string, ids: readonly string[], clusterId: string): Promise<string[]>
  /** Takes the mark away. Repeats do nothing. */
  release(tenantId: string, ids: readonly string[], clusterId: string): Promise<void>
}

export function createUsage<T extends Used>(model: Model<T>): Usage {
  const documents = model as unknown as Model<Used>
  return {
    async use(tenantId, ids, clusterId) {
      if (ids.length === 0) return []
      const filter = { _id: { $in: [...ids] }, tenantId }
      await documents.updateMany(filter, { $addToSet: { usedBy: clusterId }, $set: { isUsed: true } })
      const marked = await documents.find(filter).select('_id').lean()
      const there = new Set(marked.map(({ _id }) => _id))
      return ids.filter((id) => !there.has(id))
    },
    async release(tenantId, ids, clusterId) {
      if (ids.length === 0) return
      const left = { $setDifference: [{ $ifNull: ['$usedBy', []] }, [{ $literal: clusterId }]] }
      await documents.collection.updateMany({ _id: { $in: [...ids] }, tenantId } as never, [
        { $set: { usedBy: left, isUsed: { $gt: [{ $size: left }, 0] } } }
      ])
    }
  }
}
