import { containsPattern, type Page, type PageOf, pageOf, type Store } from '@fleetgate/store'
import { Schema } from 'mongoose'

/** A file that a tenant has; its content lies in the object store once for all tenants. */
export interface StoredFile {
  tenantId: string
  sha256: string
  size: number
  /** The name it was first uploaded under: for people. */
  name: string
  createdAt: number
  /** When somebody last stored or fetched it, to within an hour. */
  usedAt: number
  /** The sha256 of each block, 32 bytes after 32 bytes. */
  blocks: Buffer
}

/** A file in a list: without the sums of its blocks. */
export type FileRow = Omit<StoredFile, 'blocks'>
export type FileKey = Pick<StoredFile, 'tenantId' | 'sha256'>

export interface FileStore {
  find(tenantId: string, sha256: string): Promise<StoredFile | undefined>
  /** Does nothing where the tenant has the content already. */
  insert(file: StoredFile): Promise<void>
  list(filter: { tenantId: string; nameContain?: string | undefined }, page: Page): Promise<PageOf<FileRow>>
  remove(tenantId: string, sha256: string): Promise<boolean>
  setUsed(key: FileKey, at: number): Promise<void>
  /** Files of all tenants that nobody has used since. */
  unused(before: number, limit: number): Promise<FileKey[]>
  /** False where it has been used meanwhile, or is gone. */
  removeUnused(key: FileKey, before: number): Promise<boolean>
  /** Bytes of all files of a tenant. */
  sizeOf(tenantId: string): Promise<number>
  /** Does any tenant have this content? */
  isHeld(sha256: string): Promise<boolean>
}

function schemaOf(): Schema<StoredFile> {
  return new Schema<StoredFile>({
    tenantId: { type: String, required: true },
    sha256: { type: String, required: true },
    size: { type: Number, required: true },
    name: { type: String, required: true },
    createdAt: { type: Number, required: true },
    usedAt: { type: Number, required: true, index: true },
    blocks: { type: Buffer, required: true }
  })
    .index({ tenantId: 1, sha256: 1 }, { unique: true })
    .index({ tenantId: 1, createdAt: -1, sha256: 1 })
    .index({ tenantId: 1, name: 1 })
    .index({ tenantId: 1, size: 1 })
    .index({ sha256: 1 })
}

export function createFileStore(store: Store): FileStore {
  const model = store.model<StoredFile>('files', schemaOf())

  return {
    async find(tenantId, sha256) {
      const row = await model.findOne({ tenantId, sha256 }).select('-_id').lean<StoredFile>()
      // Lean rows carry the driver's Binary.
      return row ? { ...row, blocks: toBuffer(row.blocks) } : undefined
    },
    async insert(file) {
      const { tenantId, sha256, ...rest } = file
      await model.updateOne({ tenantId, sha256 }, { $setOnInsert: rest }, { upsert: true })
    },
    list({ tenantId, nameContain }, page) {
      const named = nameContain === undefined ? {} : { name: containsPattern(nameContain) }
      const query = model.find({ tenantId, ...named }, { _id: 0, blocks: 0 }).sort({ createdAt: -1, sha256: 1 })
      return pageOf(query, page) as unknown as Promise<PageOf<FileRow>>
    },
    async remove(tenantId, sha256) {
      return (await model.deleteOne({ tenantId, sha256 })).deletedCount > 0
    },
    async setUsed({ tenantId, sha256 }, at) {
      await model.updateOne({ tenantId, sha256 }, { $max: { usedAt: at } })
    },
    unused: (before, limit) =>
      model
        .find({ usedAt: { $lt: before } }, { _id: 0, tenantId: 1, sha256: 1 })
        .limit(limit)
        .lean<FileKey[]>()
        .exec(),
    async removeUnused({ tenantId, sha256 }, before) {
      return (await model.deleteOne({ tenantId, sha256, usedAt: { $lt: before } })).deletedCount > 0
    },
    async sizeOf(tenantId) {
      const [sum] = await model.aggregate<{ bytes: number }>([
        { $match: { tenantId } },
        { $group: { _id: null, bytes: { $sum: '$size' } } }
      ])
      return sum?.bytes ?? 0
    },
    async isHeld(sha256) {
      return (await model.exists({ sha256 })) !== null
    }
  }
}

function toBuffer(value: Buffer | { buffer: Uint8Array }): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(value.buffer)
}
