import type { KeyObject } from 'node:crypto'
import { AppError, compile, type Static, Type } from '@fleetgate/contracts'
import jwt from 'jsonwebtoken'
import { LRUCache } from 'lru-cache'
import type { Caller } from './caller.js'

const issuer = 'fleetgate'
const maxTokenLength = 16_384

/**
 * No token is accepted longer than this after its issue, whatever its `exp` says: revocations are replayed over the same
 * span at start, so a revoked token cannot outlive the memory of its revocation.
 */
export const maxTokenAgeMs = 25 * 3_600_000

const Claims = Type.Object({
  sub: Type.String(),
  USER_ID: Type.String({ minLength: 1 }),
  TENANT_ID: Type.String({ minLength: 1 }),
  nickname: Type.String(),
  email: Type.String(),
  ver: Type.Integer(),
  adm: Type.Boolean(),
  codes: Type.Array(Type.String()),
  roles: Type.Optional(Type.Array(Type.String())),
  gv: Type.Optional(Type.Integer()),
  iat: Type.Number(),
  exp: Type.Number()
})
const checkClaims = compile(Claims)

export interface SignOptions {
  key: KeyObject
  kid: string
  lifetimeSeconds: number
  /** Epoch ms. */
  now?: number
  /** When the user was created; a claim that Beaver's clients know. */
  createdAt?: number
}

/** Signs an access token. Only auth does this, and tests. */
export function signToken(caller: Omit<Caller, 'codes'> & { codes: Iterable<string> }, options: SignOptions): string {
  const { key, kid, lifetimeSeconds, now = Date.now(), createdAt } = options
  const iat = Math.floor(now / 1000)
  const claims = {
    sub: caller.email,
    USER_ID: caller.userId,
    TENANT_ID: caller.tenantId,
    nickname: caller.nickname,
    email: caller.email,
    createdAt,
    ver: caller.version,
    adm: caller.isSuperAdmin,
    codes: [...caller.codes],
    roles: caller.roleIds,
    gv: caller.rolesVersion,
    iat,
    exp: iat + lifetimeSeconds,
    iss: issuer
  }
  return jwt.sign(claims, key, { algorithm: 'RS256', keyid: kid })
}

export interface TokenVerifier {
  verify(token: string): Caller
  /** Forgets verified tokens: the keys have changed. */
  clear(): void
}

export interface TokenVerifierOptions {
  keyOf: (kid: string) => KeyObject | undefined
  now: () => number
}

interface Verified {
  caller: Caller
  expiresAt: number
}

export const unknownKey = 'unknown_key'

/** Verifies access tokens; a token seen before costs one look-up, with its expiry checked again. */
export function createTokenVerifier({ keyOf, now }: TokenVerifierOptions): TokenVerifier {
  const verified = new LRUCache<string, Verified>({ max: 10_000 })

  return {
    verify(token) {
      const known = verified.get(token)
      if (known) {
        if (now() < known.expiresAt) return known.caller
        throw expired()
      }
      const fresh = check(token, keyOf, now())
      verified.set(token, fresh)
      return fresh.caller
    },
    clear: () => verified.clear()
  }
}

function check(token: string, keyOf: TokenVerifierOptions['keyOf'], now: number): Verified {
  const key = keyOf(kidOf(token))
  if (!key) throw new AppError('unauthenticated', 'token is not valid', { reason: unknownKey })
  const claims = verifySignature(token, key, now)
  const expiresAt = Math.min(claims.exp * 1000, claims.iat * 1000 + maxTokenAgeMs)
  if (now >= expiresAt) throw expired()
  return { caller: callerOf(claims), expiresAt }
}

function verifySignature(token: string, key: KeyObject, now: number): Static<typeof Claims> {
  try {
    const options = { algorithms: ['RS256' as const], issuer, clockTimestamp: Math.floor(now / 1000) }
    return checkClaims(jwt.verify(token, key, options))
  } catch (cause) {
    throw cause instanceof jwt.TokenExpiredError ? expired() : invalid(cause)
  }
}

function kidOf(token: string): string {
  if (token.length > maxTokenLength) throw invalid()
  let header: { alg?: unknown; kid?: unknown } | undefined
  try {
    header = jwt.decode(token, { complete: true })?.header
  } catch (cause) {
    throw invalid(cause)
  }
  if (header?.alg !== 'RS256' || typeof header.kid !== 'string') throw invalid()
  return header.kid
}

function callerOf(claims: Static<typeof Claims>): Caller {
  return {
    userId: claims.USER_ID,
    tenantId: claims.TENANT_ID,
    email: claims.email,
    nickname: claims.nickname,
    isSuperAdmin: claims.adm,
    codes: new Set(claims.codes),
    version: claims.ver,
    ...(claims.roles && { roleIds: claims.roles }),
    ...(claims.gv !== undefined && { rolesVersion: claims.gv })
  }
}

function expired(): AppError {
  return new AppError('token_expired', 'token has expired')
}

function invalid(cause?: unknown): AppError {
  return new AppError('unauthenticated', 'token is not valid', {}, { cause })
}
