import { createHash, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { Secrets } from '@fleetgate/store'
import type { StoredKey } from './keyStore.js'

export interface PublicJwk {
  kty: string
  n: string
  e: string
  kid: string
  use: 'sig'
  alg: 'RS256'
}

export interface NewKeyOptions {
  generation: number
  /** Base64; the same for every generation, see SigningKeys.refreshSeed. */
  refreshSeed: string
  createdAt: number
}

export async function newKey(secrets: Secrets, options: NewKeyOptions): Promise<StoredKey> {
  const { privateKey, publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 })
  const kid = thumbprint(publicKey)
  const privatePem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return {
    kid,
    generation: options.generation,
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    sealedPrivatePem: secrets.seal(privatePem, privateContext(kid)),
    sealedRefreshSeed: secrets.seal(options.refreshSeed, seedContext(kid)),
    createdAt: options.createdAt
  }
}

export function toJwk(kid: string, publicPem: string): PublicJwk {
  return { ...numbersOf(createPublicKey(publicPem)), kid, use: 'sig', alg: 'RS256' }
}

function numbersOf(publicKey: KeyObject): { kty: string; n: string; e: string } {
  const { kty = '', n = '', e = '' } = publicKey.export({ format: 'jwk' })
  return { kty, n, e }
}

/** RFC 7638: the members in this order, no blanks. */
function thumbprint(publicKey: KeyObject): string {
  const { e, kty, n } = numbersOf(publicKey)
  return createHash('sha256').update(JSON.stringify({ e, kty, n })).digest('base64url')
}

export function privateContext(kid: string): string {
  return `signing-key:${kid}`
}

export function seedContext(kid: string): string {
  return `refresh-seed:${kid}`
}
