import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { AppError } from '@fleetgate/contracts'
import type { KeyRing } from './keyRing.js'

export interface Secrets {
  /** `context` names where the text lives (`mqttUser:<tenant>:<name>`): opened elsewhere it does not open. */
  seal(plain: string, context: string): string
  /** Throws AppError('internal') for a text that was changed, moved, or sealed with a key that is gone. */
  open(sealed: string, context: string): string
  /** Matches what an older key sealed, which is to be sealed anew; undefined while the ring has one key. */
  readonly older: RegExp | undefined
}

const algorithm = 'aes-256-gcm'
const version = 'v1'
const ivBytes = 12
const tagBytes = 16

/** AES-256-GCM. A sealed text is `v1.<key id>.<base64url of iv, tag and ciphertext>`. */
export function createSecrets({ keys }: { keys: KeyRing }): Secrets {
  return {
    seal(plain, context) {
      const iv = randomBytes(ivBytes)
      const cipher = createCipheriv(algorithm, keyOf(keys, keys.currentId), iv).setAAD(Buffer.from(context))
      const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
      return `${version}.${keys.currentId}.${Buffer.concat([iv, cipher.getAuthTag(), body]).toString('base64url')}`
    },

    open(sealed, context) {
      const { keyId, bytes } = parse(sealed)
      const decipher = createDecipheriv(algorithm, keyOf(keys, keyId), bytes.subarray(0, ivBytes), {
        authTagLength: tagBytes
      })
      decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes))
      try {
        return decipher.update(bytes.subarray(ivBytes + tagBytes), undefined, 'utf8') + decipher.final('utf8')
      } catch (cause) {
        throw new AppError('internal', 'a secret at rest does not open', { keyId }, { cause })
      }
    },

    older: keys.keys.size > 1 ? new RegExp(`^${version}\\.(?!${keys.currentId}\\.)`) : undefined
  }
}

function parse(sealed: string): { keyId: string; bytes: Buffer } {
  const [found, keyId, encoded, ...rest] = sealed.split('.')
  const bytes = Buffer.from(encoded ?? '', 'base64url')
  if (found !== version || !keyId || rest.length > 0 || bytes.length < ivBytes + tagBytes) {
    throw new AppError('internal', 'a secret at rest is malformed')
  }
  return { keyId, bytes }
}

function keyOf(ring: KeyRing, id: string) {
  const key = ring.keys.get(id)
  if (!key) throw new AppError('internal', `the key ${id} of a secret at rest is not in the key ring`)
  return key
}
