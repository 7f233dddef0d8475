import type { Store } from '@fleetgate/store'
import { type mongo, Schema } from 'mongoose'
import type { ImageType } from './imageType.js'

/** A place that was given out for an image: until it expires the bytes may come. */
export interface Place {
  /** Names it in its address; nobody can guess it. */
  id: string
  tenantId: string
  userId: string
  createdAt: number
  /** Epoch ms. */
  expiresAt: number
}

export interface Image {
  type: ImageType
  bytes: Buffer
  sha256: string
}

interface ImageDoc extends Omit<Place, 'id' | 'expiresAt'>, Partial<Omit<Image, 'bytes'>> {
  _id: string
  /** Not there once the bytes are. */
  expiresAt?: number
  bytes?: Buffer
  size?: number
}

const schema = new Schema<ImageDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  userId: { type: String, required: true },
  createdAt: { type: Number, required: true },
  expiresAt: Number,
  type: String,
  bytes: Buffer,
  sha256: String,
  size: Number
})
  // Their sizes are added up from the index alone.
  .index({ tenantId: 1, size: 1 })
  .index({ tenantId: 1, expiresAt: 1 })
  .index({ expiresAt: 1 })
  // Old ones are listed from the index alone: the documents are large.
  .index({ createdAt: 1, _id: 1, tenantId: 1 })

export type ImageStore = ReturnType<typeof createImageStore>

/** One document for each image. */
export function createImageStore({ store }: { store: Store }) {
  const model = store.model<ImageDoc>('images', schema)
  return {
    async insert({ id, ...place }: Place): Promise<void> {
      await model.create({ _id: id, ...place })
    },
    countPlaces: (tenantId: string, at: number): Promise<number> =>
      model.countDocuments({ tenantId, expiresAt: { $gt: at } }),
    /** The tenant of a place that waits for its bytes, or the hash of those that came. */
    async find(id: string, at: number): Promise<{ tenantId: string; sha256?: string | undefined } | undefined> {
      const doc = await model.findOne({ _id: id }, { tenantId: 1, sha256: 1, expiresAt: 1 }).lean()
      if (!doc || (doc.expiresAt !== undefined && doc.expiresAt <= at)) return undefined
      return { tenantId: doc.tenantId, sha256: doc.sha256 }
    },
    /** Bytes of all images of a tenant. */
    async sizeOf(tenantId: string): Promise<number> {
      const [all] = await model.aggregate<{ size: number }>([
        { $match: { tenantId } },
        { $group: { _id: null, size: { $sum: '$size' } } }
      ])
      return all?.size ?? 0
    },
    /** False where the place is filled or gone by now. */
    async fill(id: string, image: Image): Promise<boolean> {
      const filled = { ...image, size: image.bytes.length }
      const update = { $set: filled, $unset: { expiresAt: 1 } }
      return (await model.updateOne({ _id: id, expiresAt: { $exists: true } }, update)).matchedCount === 1
    },
    async read(id: string): Promise<Pick<Image, 'type' | 'bytes'> | undefined> {
      const doc = await model.findOne({ _id: id, expiresAt: { $exists: false } }, { type: 1, bytes: 1 }).lean()
      if (!doc?.type) return undefined
      // Lean rows carry the driver's own Binary.
      return { type: doc.type, bytes: Buffer.from((doc.bytes as unknown as mongo.Binary).value() as Uint8Array) }
    },
    async removeExpired(at: number): Promise<void> {
      await model.deleteMany({ expiresAt: { $lte: at } })
    },
    /** Oldest first, one by one. */
    listOlder(before: number): AsyncIterable<{ id: string; tenantId: string }> {
      const rows = model.find({ createdAt: { $lt: before } }, { createdAt: 1, tenantId: 1 })
      const cursor = rows.sort({ createdAt: 1, _id: 1 }).lean().cursor()
      return cursor.map(({ _id, tenantId }: { _id: string; tenantId: string }) => ({ id: _id, tenantId }))
    },
    async remove(tenantId: string, ids: string[]): Promise<void> {
      await model.deleteMany({ tenantId, _id: { $in: ids } })
    }
  }
}
