import {
  AppError,
  type Bus,
  type CallerData,
  type Log,
  listPublicKeys,
  listRoleCodes,
  type Origin,
  type Static,
  serviceTokenRevoked,
  userRevoked,
  verifyBasic as verifyBasicRpc,
  verifyServiceToken as verifyServiceTokenRpc,
  verifySignature as verifySignatureRpc
} from '@fleetgate/contracts'
import { type Access, watchAccess } from './access.js'
import { type BasicQuestion, createBasicVerifier } from './basic.js'
import type { Caller } from './caller.js'
import type { Credentials } from './dialects/dialect.js'
import { createPublicKeys, type PublicKey, type PublicKeys } from './publicKeys.js'
import { createRevocations, type Revocations } from './revocations.js'
import type { RolesAnswer, RolesQuestion } from './roleCodes.js'
import {
  createServiceTokenVerifier,
  type ServiceTokenAnswer,
  type ServiceTokenVerifier,
  scoped,
  serviceTokenPrefix,
  toIdentity
} from './serviceTokens.js'
import { checkSignedDate, type SignedRequest, textsToSign } from './signedRequest.js'
import { createTokenVerifier, maxTokenAgeMs, type TokenVerifier, unknownKey } from './tokens.js'

/** Says who a caller is, from a token or a password. All of it throws AppError. */
export interface Guard {
  /** Verifies a token with what is at hand: `unauthenticated`, `token_expired`. Reason `unknownKey`: `verify` may know more. */
  token(jwt: string): Caller
  /** Asks auth, whose yes is remembered for 30 s: `unauthenticated`, `rate_limited`, `unavailable`. */
  basic(username: string, password: string, address: string): Promise<Caller>
  /**
   * Any of them; asks auth where a token names an unknown key, about service tokens (a yes counts for 60 s), and about every
   * signature: only auth knows the secret. The question goes out with the origin, which by default is that of the work at hand.
   */
  verify(credentials: Credentials | undefined, address: string, origin?: Origin): Promise<Caller>
  /** Refuses from now on what was issued to the user before this version. */
  revoke(userId: string, minVersion: number): void
  /** False until auth's public keys are there. */
  isReady(): boolean
  close(): Promise<void>
}

export interface GuardOptions {
  /** Without a bus `keys` must be given, and only `revoke` revokes. */
  bus?: Pick<Bus, 'request' | 'watch'> | undefined
  log: Log
  /** Auth itself and tests: in place of the RPC auth.listPublicKeys. */
  keys?: (() => Promise<readonly PublicKey[]>) | undefined
  /** Auth itself and tests: in place of the RPC auth.verifyBasic. Throws `bad_credentials`. */
  verifyBasic?: ((question: BasicQuestion) => Promise<Static<typeof CallerData>>) | undefined
  /** Auth itself and tests: in place of the RPC auth.verifyServiceToken. Throws `unauthenticated`. */
  verifyServiceToken?: ((token: string) => Promise<ServiceTokenAnswer>) | undefined
  /** Auth itself and tests: in place of the RPC auth.verifySignature. Throws `unauthenticated`. */
  verifySignature?: ((question: SignatureQuestion) => Promise<ServiceTokenAnswer>) | undefined
  /** Auth itself and tests: in place of the RPC auth.listRoleCodes. */
  roles?: ((question: RolesQuestion) => Promise<RolesAnswer>) | undefined
  /** Epoch ms. */
  now?: () => number
}

export type SignatureQuestion = Static<typeof verifySignatureRpc.request>

/** Nothing is remembered at the start; this only spans clocks that differ. */
const overlapMs = 60_000

/**
 * Resolves when past revocations are known and the keys have been asked for once; where auth is not up yet the keys are
 * asked for again until they come, and `isReady` says so meanwhile.
 */
export async function createGuard(options: GuardOptions): Promise<Guard> {
  const { bus, log, now = Date.now } = options
  const revocations = createRevocations(now)
  const keys = createPublicKeys({ fetch: keySource(options), onChange: () => tokens.clear(), log, now })
  const tokens = createTokenVerifier({ keyOf: keys.keyOf, now })
  const basics = createBasicVerifier({ ask: basicSource(options), isRevoked: revocations.isRevoked, now })
  const serviceTokens = createServiceTokenVerifier({ ask: serviceTokenSource(options), now })
  const access = await watchAccess({ bus, fetch: roleSource(options), log, now })
  const watches = await Promise.all([
    bus?.watch(userRevoked, { sinceMs: maxTokenAgeMs }, ({ userId, minVersion }) => revoke(userId, minVersion)),
    bus?.watch(serviceTokenRevoked, { sinceMs: overlapMs }, ({ tokenId }) => serviceTokens.forget({ tokenId }))
  ])
  await keys.refresh()

  function revoke(userId: string, minVersion: number): void {
    revocations.add(userId, minVersion)
    serviceTokens.forget({ userId })
  }

  async function basic(username: string, password: string, address: string, origin?: Origin): Promise<Caller> {
    return access.settled(await basics.verify({ username, password, address }, origin))
  }

  const askSigner = signatureSource(options)

  async function signed(request: SignedRequest, origin: Origin | undefined): Promise<Caller> {
    checkSignedDate(request, now())
    const texts = textsToSign(request, await request.body())
    const { accessKey, signature } = request
    const identity = toIdentity(await askSigner({ accessKey, signature, texts }, origin))
    return scoped(identity, await access.settled(identity.user))
  }

  const { token, bearer } = createBearer({ keys, tokens, revocations, access, serviceTokens })

  return {
    token,
    basic,
    async verify(credentials, address, origin) {
      if (!credentials) throw new AppError('unauthenticated', 'credentials are missing', { reason: 'missing_token' })
      if ('bearer' in credentials) return bearer(credentials.bearer, origin)
      if ('signed' in credentials) return signed(credentials.signed, origin)
      return basic(credentials.basic.username, credentials.basic.password, address, origin)
    },
    revoke,
    isReady: keys.isLoaded,
    async close() {
      keys.stop()
      await access.stop()
      await Promise.all(watches.map((watch) => watch?.stop()))
    }
  }
}

interface BearerParts {
  keys: PublicKeys
  tokens: TokenVerifier
  revocations: Revocations
  access: Access
  serviceTokens: ServiceTokenVerifier
}

function createBearer({ keys, tokens, revocations, access, serviceTokens }: BearerParts) {
  /** Who signed in, with the roles of that moment. */
  function signed(jwt: string): Caller {
    if (!keys.isLoaded()) throw new AppError('unavailable', 'tokens cannot be checked yet')
    const caller = tokens.verify(jwt)
    if (revocations.isRevoked(caller)) throw new AppError('unauthenticated', 'token has been revoked')
    return caller
  }

  async function program(text: string, origin: Origin | undefined): Promise<Caller> {
    const identity = await serviceTokens.verify(text, origin)
    return scoped(identity, await access.settled(identity.user))
  }

  async function bearer(text: string, origin: Origin | undefined): Promise<Caller> {
    if (text.startsWith(serviceTokenPrefix)) return program(text, origin)
    if (!keys.isLoaded()) await keys.refresh()
    try {
      return await access.settled(signed(text))
    } catch (error) {
      if (!(error instanceof AppError) || error.details.reason !== unknownKey) throw error
    }
    if (!(await keys.refresh())) throw new AppError('unavailable', 'tokens cannot be checked at the moment')
    return access.settled(signed(text))
  }

  function token(text: string): Caller {
    if (!text.startsWith(serviceTokenPrefix)) return access.current(signed(text))
    const identity = serviceTokens.known(text)
    return scoped(identity, access.current(identity.user))
  }

  return { token, bearer }
}

function keySource({ keys, bus }: GuardOptions): () => Promise<readonly PublicKey[]> {
  if (keys) return keys
  if (!bus) throw new Error('createGuard needs a bus or keys')
  return async () => (await bus.request(listPublicKeys, {})).keys
}

type Ask<Q, R> = (question: Q, origin?: Origin) => Promise<R>

function basicSource({ verifyBasic, bus }: GuardOptions): Ask<BasicQuestion, Static<typeof CallerData>> {
  if (verifyBasic) return verifyBasic
  return async (question, origin) => {
    if (!bus) throw new AppError('unauthenticated', 'passwords are not accepted here')
    return bus.request(verifyBasicRpc, question, origin)
  }
}

function serviceTokenSource({ verifyServiceToken, bus }: GuardOptions): Ask<string, ServiceTokenAnswer> {
  if (verifyServiceToken) return verifyServiceToken
  return async (token, origin) => {
    if (!bus) throw new AppError('unauthenticated', 'service tokens are not accepted here')
    return bus.request(verifyServiceTokenRpc, { token }, origin)
  }
}

function signatureSource({ verifySignature, bus }: GuardOptions): Ask<SignatureQuestion, ServiceTokenAnswer> {
  if (verifySignature) return verifySignature
  return async (question, origin) => {
    if (!bus) throw new AppError('unauthenticated', 'signatures are not accepted here')
    return bus.request(verifySignatureRpc, question, origin)
  }
}

function roleSource({ roles, bus }: GuardOptions): ((question: RolesQuestion) => Promise<RolesAnswer>) | undefined {
  return roles ?? (bus && ((question) => bus.request(listRoleCodes, question)))
}
