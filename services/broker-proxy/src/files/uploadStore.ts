import type { Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

/** One upload of one client; its segments lie in the stream UPLOADS under its id. */
export interface Upload {
  /** Random, so that a second life of the same fileId never meets segments of the first. */
  id: string
  tenantId: string
  clientId: string
  fileId: string
  name: string
  size: number
  checksum?: string | undefined
  /** How its segments come; they are kept plain. */
  encoding?: 'gzip' | undefined
  /** Bytes of its segments, as all replicas count them. */
  held?: number | undefined
  /** Set once the whole file is stored: a repeated fin is answered by it. */
  finished?: string | undefined
  expireAt: Date
}

export type UploadKey = Pick<Upload, 'tenantId' | 'clientId' | 'fileId'>

/** An upload, and not another one of the same fileId. */
export type UploadLife = Pick<Upload, keyof UploadKey | 'id'>

export interface UploadStore {
  find(key: UploadKey): Promise<Upload | undefined>
  /** Inserts, or replaces what stands there. */
  put(upload: Upload): Promise<void>
  finish(key: UploadKey, sha256: string, expireAt: Date): Promise<void>
  remove(key: UploadKey): Promise<void>
  /** Uploads of a client that are not finished. */
  countOpen(key: Omit<UploadKey, 'fileId'>): Promise<number>
  /** Counts bytes of a segment; false where there would be more than `most`, and for an upload that is gone or has begun anew. */
  hold(upload: UploadLife, bytes: number, most: number): Promise<boolean>
  /** Takes back what was counted. */
  release(upload: UploadLife, bytes: number): Promise<void>
  /** What was counted wrong: a process that is killed may have counted what it did not store. */
  setHeld(upload: UploadLife, bytes: number): Promise<void>
  /** Bytes of the segments of all unfinished uploads of a tenant but one. */
  heldBy(tenantId: string, except?: string): Promise<number>
}

const fields = '-_id id tenantId clientId fileId name size checksum encoding finished expireAt'

function schemaOf(): Schema<Upload> {
  return new Schema<Upload>({
    id: { type: String, required: true },
    tenantId: { type: String, required: true },
    clientId: { type: String, required: true },
    fileId: { type: String, required: true },
    name: { type: String, required: true },
    size: { type: Number, required: true },
    checksum: String,
    encoding: String,
    held: Number,
    finished: String,
    expireAt: { type: Date, required: true, index: { expireAfterSeconds: 0 } }
  })
    .index({ tenantId: 1, clientId: 1, fileId: 1 }, { unique: true })
    .index({ tenantId: 1, held: 1 })
}

export function createUploadStore(store: Store): UploadStore {
  const model = store.model<Upload>('uploads', schemaOf())
  const keyOf = ({ tenantId, clientId, fileId }: UploadKey) => ({ tenantId, clientId, fileId })
  const lifeOf = ({ id, ...key }: UploadLife) => ({ ...keyOf(key), id, finished: null })

  return {
    async find(key) {
      return (await model.findOne(keyOf(key)).select(fields).lean<Upload>()) ?? undefined
    },
    async put(upload) {
      await model.replaceOne(keyOf(upload), upload, { upsert: true })
    },
    async finish(key, sha256, expireAt) {
      await model.updateOne(keyOf(key), { $set: { finished: sha256, expireAt }, $unset: { held: '' } })
    },
    async remove(key) {
      await model.deleteOne(keyOf(key))
    },
    countOpen: ({ tenantId, clientId }) => model.countDocuments({ tenantId, clientId, finished: null }),
    async hold(upload, bytes, most) {
      const within = { $or: [{ held: null }, { held: { $lte: most - bytes } }] }
      const { matchedCount } = await model.updateOne({ ...lifeOf(upload), ...within }, { $inc: { held: bytes } })
      return matchedCount === 1
    },
    async release(upload, bytes) {
      await model.updateOne(lifeOf(upload), { $inc: { held: -bytes } })
    },
    async setHeld(upload, bytes) {
      await model.updateOne(lifeOf(upload), { $set: { held: bytes } })
    },
    async heldBy(tenantId, except) {
      const others = except === undefined ? {} : { id: { $ne: except } }
      const [sum] = await model.aggregate<{ bytes: number }>([
        { $match: { tenantId, held: { $gt: 0 }, ...others } },
        { $group: { _id: null, bytes: { $sum: '$held' } } }
      ])
      return sum?.bytes ?? 0
    }
  }
}
