import { ClientId, Sha256, TenantId } from './ids.js'
import type { RpcContract } from './messages.js'
import { type Static, Type } from './schema.js'

/** A path that begins so names a file of the central store and none of a machine. */
const prefix = 'store:'

/** A file that has this content, or the newest one that was stored under this name: by a person, or by the machine. */
export const StoredFileRef = Type.Object({
  sha256: Type.Optional(Sha256),
  fileName: Type.Optional(Type.String({ minLength: 1, maxLength: 240 })),
  clientId: Type.Optional(ClientId)
})
export type StoredFileRef = Static<typeof StoredFileRef>

export function isStorePath(path: string): boolean {
  return path.startsWith(prefix)
}

/**
 * `store:<sha256>`, `store:<fileName>`, or `store:<clientId>/<fileName>`; nothing where it is none of them. Names that machines gave
 * have the machine in front: what any of them stores must never take the place of what people did.
 */
export function parseStorePath(path: string): StoredFileRef | undefined {
  const [, sha256] = /^store:([0-9a-fA-F]{64})$/.exec(path) ?? []
  if (sha256) return { sha256: sha256.toLowerCase() }
  const [, clientId, fileName] = /^store:(?:([^/]{1,256})\/)?([^/]{1,240})$/.exec(path) ?? []
  return fileName ? { fileName, ...(clientId ? { clientId } : {}) } : undefined
}

export const StoredFileFacts = Type.Object({
  sha256: Sha256,
  size: Type.Integer({ minimum: 0 }),
  /** The one asked for, else the one that it was first stored under. */
  fileName: Type.String()
})
export type StoredFileFacts = Static<typeof StoredFileFacts>

export const findStoredFile = {
  operation: 'broker-proxy.findStoredFile',
  summary: 'A file of the central store that the tenant has; without `file` there is none. Counts as a use of it',
  request: Type.Object({ tenantId: TenantId, wanted: StoredFileRef }),
  reply: Type.Object({ file: Type.Optional(StoredFileFacts) }),
  timeoutMs: 5000
} satisfies RpcContract
