interface OfFile {
  fileId: string
  sha256?: string | undefined
}

export type UploadStep =
  | (OfFile & { kind: 'init' })
  | (OfFile & { kind: 'abort' })
  | (OfFile & { kind: 'segment'; offset: number })
  | (OfFile & { kind: 'fin'; size: number })

const shaPattern = /^[0-9a-f]{64}$/
const numberPattern = /^\d{1,15}$/
const maxFileIdBytes = 255

/**
 * `$file/{fileId}/init`, `/{offset}[/{sha256}]`, `/fin/{size}[/{sha256}]`, `/abort`: the topics of EMQX's file transfer
 * (EIP-0021).
 */
export function parseUploadTopic(topic: string): UploadStep | undefined {
  const [root, fileId, verb, ...rest] = topic.split('/')
  if (root !== '$file' || !fileId || Buffer.byteLength(fileId) > maxFileIdBytes || !verb) return undefined
  if (verb === 'init' || verb === 'abort') return rest.length === 0 ? { kind: verb, fileId } : undefined
  const [number, sha256, ...more] = verb === 'fin' ? rest : [verb, ...rest]
  if (!number || !numberPattern.test(number) || more.length > 0) return undefined
  if (sha256 !== undefined && !shaPattern.test(sha256)) return undefined
  const value = Number(number)
  return verb === 'fin'
    ? { kind: 'fin', fileId, size: value, sha256 }
    : { kind: 'segment', fileId, offset: value, sha256 }
}
