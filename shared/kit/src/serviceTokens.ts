import { createHmac, randomBytes } from 'node:crypto'
import { AppError, type Static, type verifyServiceToken } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'
import { type Caller, toCaller } from './caller.js'
import { unknownKey } from './tokens.js'

/** What every service token begins with; no JWT does. */
export const serviceTokenPrefix = 'fgt_'
/** `fgt_<id>_<secret>`: 128 bits that find it and 256 that prove it. */
const form = /^fgt_([0-9a-f]{32})_([A-Za-z0-9_-]{43})$/

export interface ServiceTokenText {
  id: string
  secret: string
}

/** Its parts, or nothing where the text cannot be a service token. */
export function parseServiceToken(text: string): ServiceTokenText | undefined {
  const [, id, secret] = form.exec(text) ?? []
  return id && secret ? { id, secret } : undefined
}

export type ServiceTokenAnswer = Static<typeof verifyServiceToken.reply>

export interface ServiceTokenVerifierOptions {
  /** Throws `unauthenticated` for a token that is not, or no longer, good. */
  ask: (token: string) => Promise<ServiceTokenAnswer>
  now: () => number
}

/** A program: the person who made its token, and the codes that the token is limited to. */
export interface ServiceIdentity {
  readonly tokenId: string
  readonly user: Caller
  readonly codes: ReadonlySet<string>
}

export interface ServiceTokenVerifier {
  /** From memory; where it must be asked for, a refusal whose reason is `unknownKey`. */
  known(token: string): ServiceIdentity
  verify(token: string): Promise<ServiceIdentity>
  /** Forgets a yes, and after a change of a user every no: the next use asks again. */
  forget(of: { tokenId?: string; userId?: string }): void
}

interface Known {
  identity: ServiceIdentity
  until: number
}

const trustMs = 60_000

/**
 * Service tokens are opaque: auth knows them. A yes counts for a minute unless an event takes it back before; so does a no,
 * because a token that is none today becomes one only where its disabled user is enabled, which is an event too. Kept is
 * a hash under a key of this process.
 */
export function createServiceTokenVerifier({ ask, now }: ServiceTokenVerifierOptions): ServiceTokenVerifier {
  const secret = randomBytes(32)
  const known = new LRUCache<string, Known>({ max: 10_000 })
  const refused = new LRUCache<string, number>({ max: 10_000 })
  const asking = new Map<string, Promise<ServiceIdentity>>()
  /** Counts what was taken back: an answer from before may not be remembered after. */
  let takenBack = 0

  function hash(token: string): string {
    return createHmac('sha256', secret).update(token).digest('base64')
  }

  async function askOnce(key: string, token: string): Promise<ServiceIdentity> {
    const before = takenBack
    try {
      const answer = await ask(token)
      const identity = { tokenId: answer.tokenId, user: toCaller(answer.caller), codes: new Set(answer.codes) }
      const until = Math.min(now() + trustMs, answer.expiresAt)
      if (before === takenBack) known.set(key, { identity, until })
      return identity
    } catch (error) {
      const isNo = error instanceof AppError && error.code === 'unauthenticated'
      if (isNo && before === takenBack) refused.set(key, now() + trustMs)
      throw error
    }
  }

  function share(key: string, token: string): Promise<ServiceIdentity> {
    const answer = askOnce(key, token).finally(() => {
      if (asking.get(key) === answer) asking.delete(key)
    })
    asking.set(key, answer)
    return answer
  }

  function find(key: string, token: string): ServiceIdentity | undefined {
    const hit = known.get(key)
    if (hit && now() < hit.until) return hit.identity
    known.delete(key)
    if (!parseServiceToken(token) || now() < (refused.get(key) ?? 0)) throw invalid()
    return undefined
  }

  return {
    known(token) {
      const identity = find(hash(token), token)
      if (!identity) throw invalid({ reason: unknownKey })
      return identity
    },
    async verify(token) {
      const key = hash(token)
      return find(key, token) ?? asking.get(key) ?? share(key, token)
    },
    forget({ tokenId, userId }) {
      takenBack += 1
      for (const [key, { identity }] of known.entries()) {
        if (identity.tokenId === tokenId || identity.user.userId === userId) known.delete(key)
      }
      // Whose it was is not known of a no.
      if (userId !== undefined) refused.clear()
      // Questions on their way may have been answered before: whoever comes now asks a new one.
      asking.clear()
    }
  }
}

function invalid(details: { reason?: string } = {}): AppError {
  return new AppError('unauthenticated', 'service token is not valid', details)
}

const callers = new WeakMap<ServiceIdentity, { user: Caller; caller: Caller }>()

/** What the program may do now that its person may do this. Never a super admin; the same object while nothing changes. */
export function scoped(identity: ServiceIdentity, user: Caller): Caller {
  const last = callers.get(identity)
  if (last?.user === user) return last.caller
  const codes = user.isSuperAdmin ? identity.codes : new Set([...identity.codes].filter((code) => user.codes.has(code)))
  const caller = { ...user, isSuperAdmin: false, codes, roleIds: undefined, serviceTokenId: identity.tokenId }
  callers.set(identity, { user, caller })
  return caller
}
