import { createHash, createHmac, randomBytes } from 'node:crypto'

/** `<family>.<secret>`: 128 bits that find the session and 256 that prove it. Opaque to its holder. */
const form = /^([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})$/

export interface RefreshToken {
  text: string
  family: string
  secret: string
}

export function newRefreshToken(): RefreshToken {
  return refreshToken(randomBytes(16).toString('base64url'), randomBytes(32).toString('base64url'))
}

export function parseRefreshToken(text: string): RefreshToken | undefined {
  const [, family, secret] = form.exec(text) ?? []
  return family && secret ? refreshToken(family, secret) : undefined
}

/** Always the same for the same token, so that two requests racing with one token get one successor. */
export function successorOf(token: RefreshToken, seed: Buffer): RefreshToken {
  return refreshToken(token.family, createHmac('sha256', seed).update(token.text).digest('base64url'))
}

/** What the database holds in place of tokens and families; both are random, so a plain hash is enough. */
export function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

function refreshToken(family: string, secret: string): RefreshToken {
  return { text: `${family}.${secret}`, family, secret }
}
