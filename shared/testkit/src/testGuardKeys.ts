import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto'
import { guardKey } from './guardKey.js'

export interface TestCaller {
  userId?: string
  tenantId?: string
  email?: string
  nickname?: string
  isSuperAdmin?: boolean
  codes?: readonly string[]
  /** Ids of roles; what they allow says auth.listRoleCodes. */
  roles?: readonly string[]
  rolesVersion?: number
  version?: number
  /** Seconds until the token dies; negative for a dead one. */
  expiresIn?: number
}

export interface TestGuardKeys {
  /** What `createGuard({ keys })` and `auth.listPublicKeys` answer. */
  keys: { kid: string; pem: string }[]
  /** A token as auth would sign it. Default: the super admin of tenant `t1`. */
  token(caller?: TestCaller): string
}

let isGiven = false

/** The ready one first; who asks again wants one that is not the same. */
function nextKey(): KeyObject {
  if (isGiven) return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  isGiven = true
  return createPrivateKey(guardKey)
}

/** An RS256 key pair, another one each time in one process, and tokens signed with it. */
export function testGuardKeys(): TestGuardKeys {
  const privateKey = nextKey()
  const kid = randomUUID()
  const pem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString()
  const header = encode({ alg: 'RS256', typ: 'JWT', kid })
  return {
    keys: [{ kid, pem }],
    token: (caller = {}) => {
      const input = `${header}.${encode(claimsOf(caller))}`
      return `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`
    }
  }
}

function claimsOf(caller: TestCaller): Record<string, unknown> {
  const now = Math.floor(Date.now() / 1000)
  const email = caller.email ?? 'admin@example.com'
  return {
    iss: 'fleetgate',
    sub: email,
    USER_ID: caller.userId ?? '1',
    TENANT_ID: caller.tenantId ?? 't1',
    nickname: caller.nickname ?? 'admin',
    email,
    createdAt: now * 1000,
    ver: caller.version ?? 1,
    adm: caller.isSuperAdmin ?? (caller.codes === undefined && caller.roles === undefined),
    codes: caller.codes ?? [],
    roles: caller.roles,
    gv: caller.rolesVersion,
    iat: now,
    exp: now + (caller.expiresIn ?? 3600)
  }
}

function encode(part: Record<string, unknown>): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
