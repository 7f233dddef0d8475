import { createHmac, randomInt, timingSafeEqual } from 'node:crypto'
import {
  AppError,
  badSignature,
  type Caller,
  type CallerData,
  createTrust,
  type Log,
  newId,
  type ServiceTokenAnswer,
  type SignatureQuestion,
  type Static
} from '@fleetgate/kit'
import type { Secrets } from '@fleetgate/store'
import {
  type AccessKey,
  accessContext,
  type ServiceToken,
  type ServiceTokenStore
} from '../serviceTokens/serviceTokenStore.js'
import { createUseNote, longestMs, requirePerson } from '../serviceTokens/serviceTokens.js'

export interface AccessKeysOptions {
  store: ServiceTokenStore
  secrets: Secrets
  /** The person as other processes know them, or nothing where they may not sign in any more. */
  findOwner: (tenantId: string, userId: string) => Promise<Static<typeof CallerData> | undefined>
  /** Access keys and service tokens that one user may have. */
  limit: number
  now: () => number
  log: Log
}

/** A service token that is an access key. */
export type KeyToken = ServiceToken & { access: AccessKey }

export type AccessKeys = ReturnType<typeof createAccessKeys>

/** A key that was asked for lately; its secret stays in this process. */
interface Opened {
  token: KeyToken
  owner: Static<typeof CallerData>
  secret: string
}

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
const secretLetters = `${letters}${letters.toLowerCase().slice(0, 26)}`

/**
 * Access keys (AK/SK): service tokens that sign requests. They act for the person who made them with all codes that the
 * person has at that moment, and like every service token never as super admin, nor on tokens and keys themselves.
 */
export function createAccessKeys({ store, secrets, findOwner, limit, now, log }: AccessKeysOptions) {
  const noteUse = createUseNote({ store, now, log })
  const opened = createTrust<Opened>({
    ask: open,
    about: ({ token }) => ({ tokenId: token.id, userId: token.userId, expiresAt: token.expiresAt }),
    now
  })

  async function open(key: string): Promise<Opened> {
    const token = await store.findByAccessKey(key)
    const owner = token && (await findOwner(token.tenantId, token.userId))
    if (!isKey(token) || !owner) throw refused()
    return {
      token,
      owner,
      secret: secrets.open(token.access.sealedSecret, accessContext(token.tenantId, token.access.key))
    }
  }

  /** A super admin reaches those of everybody in the tenant, others their own. */
  async function find(key: string, caller: Caller): Promise<KeyToken> {
    requirePerson(caller)
    const { tenantId, userId, isSuperAdmin } = caller
    const token = await store.findByAccessKey(key, isSuperAdmin ? { tenantId } : { tenantId, userId })
    if (isKey(token)) return token
    throw missing()
  }

  return {
    /** The secret is told this once. */
    async create(
      draft: { userId: string; description: string },
      caller: Caller
    ): Promise<{ token: KeyToken; secret: string }> {
      requirePerson(caller)
      const { tenantId, userId } = caller
      if (draft.userId !== userId) throw new AppError('forbidden', 'access keys are made by the person they act for')
      const key = randomText(20, letters)
      const secret = randomText(40, secretLetters)
      const sealedSecret = secrets.seal(secret, accessContext(tenantId, key))
      const token: KeyToken = {
        id: newId(now()),
        tenantId,
        userId,
        name: key,
        codes: [],
        secretHash: '',
        access: { key, sealedSecret, description: draft.description, isActive: true },
        createdAt: now(),
        expiresAt: now() + longestMs
      }
      if (await store.insert(token, limit)) return { token, secret }
      throw new AppError('quota_exceeded', `you have ${limit} service tokens and access keys already: delete one first`)
    },

    async list(of: { userId?: string | undefined }, caller: Caller): Promise<KeyToken[]> {
      requirePerson(caller)
      const { userId = caller.userId } = of
      if (userId !== caller.userId && !caller.isSuperAdmin) {
        throw new AppError('forbidden', 'only a super admin may list the access keys of others')
      }
      const { items } = await store.list({ tenantId: caller.tenantId, userId }, { offset: 0, limit })
      return items.filter(isKey)
    },

    get: find,

    /** An inactive key is refused everywhere within a second. */
    async change(key: string, change: { description?: string; isActive?: boolean }, caller: Caller): Promise<KeyToken> {
      const token = await find(key, caller)
      if (!(await store.changeAccess(token, change, now()))) throw missing()
      return { ...token, access: { ...token.access, ...change } }
    },

    async remove(key: string, caller: Caller): Promise<void> {
      const { id, tenantId } = await find(key, caller)
      if (!(await store.revoke({ id, tenantId }, now()))) throw missing()
    },

    /** Whose key signed one of the texts. Unknown, inactive, expired and wrong ones read the same. */
    async verify({ accessKey, texts, signature }: SignatureQuestion): Promise<ServiceTokenAnswer> {
      const { token, owner, secret } = await opened.verify(accessKey)
      const isGood = token.access.isActive && token.expiresAt > now()
      if (!isGood || !texts.some((text) => isSigned(text, secret, signature))) throw refused()
      noteUse(token)
      return { tokenId: token.id, caller: owner, codes: token.codes, expiresAt: token.expiresAt }
    },

    /** After a change of a key or of its person: the next use looks again. */
    forget: opened.forget
  }
}

function isKey(token: ServiceToken | undefined): token is KeyToken {
  return token?.access !== undefined
}

function randomText(length: number, of: string): string {
  return Array.from({ length }, () => of[randomInt(of.length)]).join('')
}

function isSigned(text: string, secret: string, signature: string): boolean {
  return timingSafeEqual(createHmac('sha256', secret).update(text).digest(), Buffer.from(signature, 'hex'))
}

function refused(): AppError {
  return badSignature('the signature is wrong, or there is no such access key')
}

function missing(): AppError {
  return new AppError('not_found', 'there is no such access key')
}
