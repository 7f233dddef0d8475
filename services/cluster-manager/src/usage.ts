import { randomBytes } from 'node:crypto'
import type { Model, Schema } from 'mongoose'

/** Part of a document that clusters may carry. */
export interface Used {
  _id: string
  tenantId: string
  isUsed: boolean
  /** Marks: one for each request that gave it to a cluster. */
  usedBy: string[]
}

/** A mark as it is read: which cluster was to carry the document, and since when. */
export interface Mark {
  mark: string
  clusterId: string
  at: number
}

export interface Marked {
  id: string
  tenantId: string
  marks: Mark[]
}

/**
 * Whether clusters carry a document. The mark is made before the cluster is written, so that nobody removes what is about to be
 * carried; a request that fails takes back its own mark and no other, and what a crash left is found by `markSweep`.
 */
export interface Usage {
  /** Marks all of them as carried by a cluster; answers the mark, and the ids that are not there. */
  use(tenantId: string, ids: readonly string[], clusterId: string): Promise<{ mark: string; missing: string[] }>
  takeBack(tenantId: string, ids: readonly string[], marks: readonly string[]): Promise<void>
  /** Takes away the marks of a cluster that were made before this time (milliseconds). Repeats do nothing. */
  release(tenantId: string, ids: readonly string[], clusterId: string, before: number): Promise<void>
  /** Marked documents in the order of their ids, those after `after`. */
  marked(after: string, limit: number): Promise<Marked[]>
}

/** Few documents: those that are carried. */
export function indexUsage(schema: Schema): void {
  schema.index({ isUsed: 1, _id: 1 }, { partialFilterExpression: { isUsed: true } })
}

export function createUsage<T extends Used>(model: Model<T>, now: () => number = Date.now): Usage {
  const documents = model as unknown as Model<Used>

  async function takeBack(tenantId: string, ids: readonly string[], marks: readonly string[]): Promise<void> {
    if (ids.length === 0 || marks.length === 0) return
    const left = { $setDifference: [{ $ifNull: ['$usedBy', []] }, marks.map((mark) => ({ $literal: mark }))] }
    await documents.collection.updateMany({ _id: { $in: [...ids] }, tenantId } as never, [
      { $set: { usedBy: left, isUsed: { $gt: [{ $size: left }, 0] } } }
    ])
  }

  return {
    takeBack,
    async use(tenantId, ids, clusterId) {
      const mark = `${clusterId}:${now()}:${randomBytes(4).toString('hex')}`
      if (ids.length === 0) return { mark, missing: [] }
      const filter = { _id: { $in: [...ids] }, tenantId }
      await documents.updateMany(filter, { $addToSet: { usedBy: mark }, $set: { isUsed: true } })
      const marked = await documents.find(filter).select('_id').lean()
      const there = new Set(marked.map(({ _id }) => _id))
      return { mark, missing: ids.filter((id) => !there.has(id)) }
    },
    async release(tenantId, ids, clusterId, before) {
      if (ids.length === 0) return
      const found = await documents.find({ _id: { $in: [...ids] }, tenantId }).lean()
      for (const doc of found) {
        const old = marksOf(doc).filter((one) => one.clusterId === clusterId && one.at < before)
        await takeBack(
          tenantId,
          [doc._id],
          old.map(({ mark }) => mark)
        )
      }
    },
    async marked(after, limit) {
      const found = await documents
        .find({ isUsed: true, _id: { $gt: after } })
        .sort({ _id: 1 })
        .limit(limit)
        .lean()
      return found.map((doc) => ({ id: doc._id, tenantId: doc.tenantId, marks: marksOf(doc) }))
    }
  }
}

function marksOf({ usedBy }: Used): Mark[] {
  return (usedBy ?? []).map((mark) => {
    const [clusterId = '', at = '0'] = mark.split(':')
    return { mark, clusterId, at: Number(at) }
  })
}
