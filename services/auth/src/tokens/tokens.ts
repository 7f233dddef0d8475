import { AppError, type Log, signToken } from '@fleetgate/kit'
import type { Audit } from '../audit/audit.js'
import type { SigningKeys } from '../keys/signingKeys.js'
import { toCallerData, type User } from '../users/user.js'
import type { UserStore } from '../users/userStore.js'
import type { Credentials, Login } from './login.js'
import { hashOf, newRefreshToken, parseRefreshToken, type RefreshToken, successorOf } from './refreshTokens.js'
import type { Session, SessionStore } from './sessionStore.js'

export interface TokensOptions {
  login: Login
  users: UserStore
  sessions: SessionStore
  keys: SigningKeys
  audit: Pick<Audit, 'around'>
  /** Seconds. */
  lifetimes: { access: number; refresh: number; grace: number }
  now: () => number
  log: Log
}

/** Where a request comes from, and which it is. */
export interface Asker {
  address: string
  requestId: string
}

export interface Issued {
  user: User
  accessToken: string
  refreshToken: string
  /** Seconds. */
  expiresIn: number
}

interface Repeat {
  session: Session
  /** Hash of the token that was shown. */
  presented: string
  email: string
  asker: Asker
}

export type Tokens = ReturnType<typeof createTokens>

export function createTokens({ login, users, sessions, keys, audit, lifetimes, now, log }: TokensOptions) {
  const refreshExpiry = () => now() + lifetimes.refresh * 1000

  function issue(user: User, refresh: RefreshToken): Issued {
    const accessToken = signToken(toCallerData(user), {
      key: keys.privateKey,
      kid: keys.kid,
      lifetimeSeconds: lifetimes.access,
      now: now(),
      createdAt: user.createdAt
    })
    return { user, accessToken, refreshToken: refresh.text, expiresIn: lifetimes.access }
  }

  /** A second use of one token: the same client in a hurry at once, later a thief or the robbed. */
  async function settleRepeat({ session, presented, email, asker }: Repeat): Promise<void> {
    const current = await sessions.find(session.id)
    if (!current || isOver(current, now())) throw badRefresh()
    const isRecent = now() - (current.rotatedAt ?? 0) < lifetimes.grace * 1000
    if (current.previousHash === presented && isRecent) return
    const { tenantId, userId } = session
    const deed = { ...asker, tenantId, userId, email, action: 'session.end-reused', targets: [userId] }
    await audit.around(deed, () => sessions.revoke(session.id, now()))
    log.warn({ userId, tenantId }, 'refresh token used twice, session ended')
    throw badRefresh()
  }

  return {
    async logIn(credentials: Credentials): Promise<Issued> {
      const user = await login(credentials)
      const refresh = newRefreshToken()
      await sessions.insert({
        id: hashOf(refresh.family),
        tenantId: user.tenantId,
        userId: user.id,
        version: user.version,
        currentHash: hashOf(refresh.secret),
        expiresAt: refreshExpiry()
      })
      return issue(user, refresh)
    },

    async refresh(text: string, asker: Asker): Promise<Issued> {
      const token = parseRefreshToken(text)
      const session = token && (await sessions.find(hashOf(token.family)))
      if (!token || !session || isOver(session, now())) throw badRefresh()
      const user = await users.find(session.tenantId, session.userId)
      if (!user?.isEnabled || user.version !== session.version) throw badRefresh()
      const presented = hashOf(token.secret)
      const next = successorOf(token, keys.refreshSeed)
      const change = { from: presented, to: hashOf(next.secret), at: now(), expiresAt: refreshExpiry() }
      if (!(await sessions.rotate(session.id, change))) {
        await settleRepeat({ session, presented, email: user.email, asker })
      }
      return issue(user, next)
    }
  }
}

function isOver(session: Session, now: number): boolean {
  return session.revokedAt !== undefined || session.expiresAt <= now
}

function badRefresh(): AppError {
  return new AppError('unauthenticated', 'invalid_grant: the refresh token is unknown, expired or already used')
}
