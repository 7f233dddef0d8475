import { AppError, type Origin, type Static, type verifyServiceToken } from '@fleetgate/contracts'
import { type Caller, toCaller } from './caller.js'
import { unknownKey } from './tokens.js'
import { createTrust } from './trust.js'

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
  ask: (token: string, origin?: Origin) => Promise<ServiceTokenAnswer>
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
  verify(token: string, origin?: Origin): Promise<ServiceIdentity>
  /** Forgets a yes, and after a change of a user every no: the next use asks again. */
  forget(of: { tokenId?: string; userId?: string }): void
}

export function toIdentity({ tokenId, caller, codes }: ServiceTokenAnswer): ServiceIdentity {
  return { tokenId, user: toCaller(caller), codes: new Set(codes) }
}

/** Service tokens are opaque: auth knows them. */
export function createServiceTokenVerifier({ ask, now }: ServiceTokenVerifierOptions): ServiceTokenVerifier {
  const trust = createTrust<Answered>({
    ask: async (token, origin) => {
      const answer = await ask(token, origin)
      return { identity: toIdentity(answer), expiresAt: answer.expiresAt }
    },
    about: ({ identity, expiresAt }) => ({ tokenId: identity.tokenId, userId: identity.user.userId, expiresAt }),
    now
  })

  return {
    known(token) {
      const found = trust.known(token)
      if (found) return found.identity
      throw invalid(parseServiceToken(token) ? { reason: unknownKey } : {})
    },
    async verify(token, origin) {
      if (!parseServiceToken(token)) throw invalid()
      return (await trust.verify(token, origin)).identity
    },
    forget: trust.forget
  }
}

interface Answered {
  identity: ServiceIdentity
  expiresAt: number
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
