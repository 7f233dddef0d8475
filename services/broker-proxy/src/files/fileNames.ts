import type { StoredFileFacts, StoredFileRef } from '@fleetgate/contracts'
import type { Store } from '@fleetgate/store'
import { Schema } from 'mongoose'
import type { FileKey, FileStore } from './fileStore.js'

/** One content under one name of one giver; the newest of a name counts. */
interface FileName extends FileKey {
  /** The machine that gave it; empty where a person did. */
  clientId: string
  fileName: string
  /** When the content was last stored under it. */
  at: number
}

/** Under which names people and machines have stored contents. */
export interface FileNames {
  /** After the file is stored: a name never leads to nothing for longer than a look takes. */
  note(file: FileKey, given: { clientId?: string; fileName: string }): Promise<void>
  find(tenantId: string, wanted: StoredFileRef): Promise<StoredFileFacts | undefined>
  /** Of a file that the tenant has no more. */
  remove(file: FileKey): Promise<void>
}

export interface FileNamesParts {
  store: Store
  files: Pick<FileStore, 'find'>
  /** Somebody is about to send it. */
  onUsed(file: FileKey): void
  now: () => number
}

export function createFileNames({ store, files, onUsed, now }: FileNamesParts): FileNames {
  const schema = new Schema<FileName>({
    tenantId: { type: String, required: true },
    sha256: { type: String, required: true },
    clientId: { type: String },
    fileName: { type: String, required: true },
    at: { type: Number, required: true }
  })
    .index({ tenantId: 1, sha256: 1, clientId: 1, fileName: 1 }, { unique: true })
    .index({ tenantId: 1, clientId: 1, fileName: 1, at: -1 })
  const model = store.model<FileName>('fileNames', schema)

  async function facts(file: FileKey, fileName?: string): Promise<StoredFileFacts | undefined> {
    const found = await files.find(file.tenantId, file.sha256)
    if (!found) return undefined
    onUsed(found)
    return { sha256: found.sha256, size: found.size, fileName: fileName ?? found.name }
  }

  async function newest(tenantId: string, fileName: string, clientId: string): Promise<StoredFileFacts | undefined> {
    const named = model.find({ tenantId, clientId, fileName }).sort({ at: -1 })
    for await (const { _id, sha256, at } of named.lean<(FileName & { _id: unknown })[]>().cursor()) {
      const found = await facts({ tenantId, sha256 }, fileName)
      if (found) return found
      // Its file went, and the process died before its names did. One that was stored again meanwhile has a later time.
      await model.deleteOne({ _id, at })
    }
    return undefined
  }

  return {
    async note({ tenantId, sha256 }, { clientId = '', fileName }) {
      const which = { tenantId, sha256, clientId, fileName }
      await model.updateOne(which, { $max: { at: now() } }, { upsert: true })
    },

    async find(tenantId, { sha256, fileName, clientId = '' }) {
      if (sha256 !== undefined) return facts({ tenantId, sha256 })
      return fileName === undefined ? undefined : newest(tenantId, fileName, clientId)
    },

    async remove({ tenantId, sha256 }) {
      await model.deleteMany({ tenantId, sha256 })
    }
  }
}
