import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import {
  AppError,
  type Caller,
  type CallerData,
  type Log,
  newId,
  parseServiceToken,
  type ServiceTokenAnswer,
  type Static,
  serviceTokenPrefix
} from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import type { ServiceToken, ServiceTokenStore } from './serviceTokenStore.js'

export interface ServiceTokensOptions {
  store: ServiceTokenStore
  /** The person as other processes know them, or nothing where they may not sign in any more. */
  findOwner: (tenantId: string, userId: string) => Promise<Static<typeof CallerData> | undefined>
  /** Tokens that one user may have. */
  limit: number
  now: () => number
  log: Log
}

export interface ServiceTokenDraft {
  name: string
  codes: string[]
  /** Epoch ms; a year from now where absent. */
  expiresAt?: number | undefined
}

export type ServiceTokens = ReturnType<typeof createServiceTokens>

const yearMs = 365 * 24 * 3_600_000
export const longestMs = 10 * yearMs
const usedEveryMs = 60_000

/** Long-lived keys for programs. They cannot make, list or revoke keys themselves, nor do what only super admins may. */
export function createServiceTokens({ store, findOwner, limit, now, log }: ServiceTokensOptions) {
  const noteUse = createUseNote({ store, now, log })

  return {
    /** The text is told this once; what is kept cannot be turned back into it. */
    async create(draft: ServiceTokenDraft, caller: Caller): Promise<{ token: ServiceToken; text: string }> {
      requirePerson(caller)
      checkCodes(draft.codes, caller)
      const expiresAt = expiryOf(draft, now())
      const secret = randomBytes(32).toString('base64url')
      const { tenantId, userId } = caller
      const token: ServiceToken = {
        id: newId(now()),
        tenantId,
        userId,
        name: draft.name,
        codes: [...new Set(draft.codes)],
        secretHash: hashOf(secret),
        createdAt: now(),
        expiresAt
      }
      if (await store.insert(token, limit)) return { token, text: `${serviceTokenPrefix}${token.id}_${secret}` }
      throw new AppError('quota_exceeded', `you have ${limit} service tokens already: revoke one first`)
    },

    async list(caller: Caller): Promise<ServiceToken[]> {
      requirePerson(caller)
      return (await store.list({ tenantId: caller.tenantId, userId: caller.userId }, { offset: 0, limit })).items
    },

    /** A super admin sees those of everybody, others their own. */
    async search(of: { userId?: string | undefined }, page: Page, caller: Caller): Promise<PageOf<ServiceToken>> {
      requirePerson(caller)
      const userId = caller.isSuperAdmin ? of.userId : caller.userId
      return store.list({ tenantId: caller.tenantId, userId }, page)
    },

    async revoke(id: string, caller: Caller): Promise<void> {
      requirePerson(caller)
      const owner = caller.isSuperAdmin ? {} : { userId: caller.userId }
      if (await store.revoke({ tenantId: caller.tenantId, id, ...owner }, now())) return
      throw new AppError('not_found', 'there is no such service token')
    },

    /** Unknown, revoked, expired, and those whose owner is gone or disabled read the same. */
    async verify(text: string): Promise<ServiceTokenAnswer> {
      const parts = parseServiceToken(text)
      const token = parts && (await store.find(parts.id))
      if (!parts || !token || !isSame(hashOf(parts.secret), token.secretHash)) throw invalid()
      const owner = await findOwner(token.tenantId, token.userId)
      if (!owner || token.expiresAt <= now()) throw invalid()
      noteUse(token)
      return { tokenId: token.id, caller: owner, codes: token.codes, expiresAt: token.expiresAt }
    }
  }
}

export type UseNote = (token: ServiceToken) => void

/** At most once a minute per token; no answer waits for it. */
export function createUseNote({ store, now, log }: Pick<ServiceTokensOptions, 'store' | 'now' | 'log'>): UseNote {
  return (token) => {
    const { id, lastUsedAt = 0 } = token
    if (now() - lastUsedAt < usedEveryMs) return
    token.lastUsedAt = now()
    store.used(id, now()).catch((err) => log.warn({ err, tokenId: id }, 'use of a service token not noted'))
  }
}

/** A stolen key must not be able to make itself a successor. */
export function requirePerson({ serviceTokenId }: Caller): void {
  if (serviceTokenId)
    throw new AppError('forbidden', 'service tokens and access keys are managed by people, not by programs')
}

function checkCodes(codes: string[], caller: Caller): void {
  const excess = caller.isSuperAdmin ? [] : codes.filter((code) => !caller.codes.has(code))
  if (excess.length === 0) return
  throw new AppError('forbidden', `codes that you do not have cannot be given away: ${excess.join(', ')}`)
}

function expiryOf({ expiresAt }: ServiceTokenDraft, now: number): number {
  if (expiresAt === undefined) return now + yearMs
  if (expiresAt > now && expiresAt <= now + longestMs) return expiresAt
  throw new AppError('invalid_input', 'expires_at must be in the future, at most ten years from now', {
    field: 'expires_at'
  })
}

/** The secret is random, so a plain hash is enough. */
function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

function isSame(given: string, kept: string): boolean {
  return given.length === kept.length && timingSafeEqual(Buffer.from(given), Buffer.from(kept))
}

function invalid(): AppError {
  return new AppError('unauthenticated', 'service token is not valid')
}
