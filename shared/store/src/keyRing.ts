import { createSecretKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** Keys for secrets at rest: the current one seals, every one opens. */
export interface KeyRing {
  currentId: string
  keys: ReadonlyMap<string, KeyObject>
}

const linePattern = /^([A-Za-z0-9_-]{1,32}):([A-Za-z0-9+/_-]+={0,2})$/

/**
 * Reads lines `keyId:base64 of 32 bytes` from a file (SECRETS_KEY_FILE) or a text (SECRETS_KEY; commas serve as
 * line breaks there). The first line seals; older ones stay below it until everything is sealed anew. Empty
 * lines and lines that begin with # are passed over. Errors name the line, never its content.
 */
export function loadKeyRing(source: { file?: string | undefined; value?: string | undefined }): KeyRing {
  const text = source.file ? readFileSync(source.file, 'utf8') : source.value
  if (!text) throw new Error('no key for secrets: set SECRETS_KEY_FILE or SECRETS_KEY')
  const keys = new Map<string, KeyObject>()
  for (const [index, line] of text.split(/\r?\n|,/).entries()) {
    const trimmed = line.trim()
    if (trimmed !== '' && !trimmed.startsWith('#')) addKey(keys, trimmed, index + 1)
  }
  const [currentId] = keys.keys()
  if (!currentId) throw new Error('no key for secrets: there is no line keyId:base64')
  return { currentId, keys }
}

function addKey(keys: Map<string, KeyObject>, line: string, number: number): void {
  const [, id, encoded] = linePattern.exec(line) ?? []
  if (!id || !encoded) throw new Error(`key for secrets, line ${number}: expected keyId:base64`)
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.length !== 32) throw new Error(`key for secrets, line ${number}: expected 32 bytes, found ${bytes.length}`)
  if (keys.has(id)) throw new Error(`key for secrets, line ${number}: the key id stands there twice`)
  keys.set(id, createSecretKey(bytes))
}
