import { createHmac, randomBytes } from 'node:crypto'
import { AppError, type CallerData, type Origin, type Static, type verifyBasic } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'
import { type Caller, toCaller } from './caller.js'

export type BasicQuestion = Static<typeof verifyBasic.request>

export interface BasicVerifier {
  verify(question: BasicQuestion, origin?: Origin): Promise<Caller>
}

export interface BasicVerifierOptions {
  ask: (question: BasicQuestion, origin?: Origin) => Promise<Static<typeof CallerData>>
  isRevoked: (caller: Caller) => boolean
  now: () => number
}

const trustMs = 30_000

/**
 * HTTP Basic. A password check costs auth some 65 ms, so a yes counts for 30 s and equal questions at the same time are
 * one. What is kept is a hash under a key of this process; a no is never kept.
 */
export function createBasicVerifier({ ask, isRevoked, now }: BasicVerifierOptions): BasicVerifier {
  const secret = randomBytes(32)
  const known = new LRUCache<string, { caller: Caller; until: number }>({ max: 10_000 })
  const asking = new Map<string, Promise<Caller>>()

  function hash(username: string, password: string): string {
    return createHmac('sha256', secret)
      .update(JSON.stringify([username, password]))
      .digest('base64')
  }

  async function askOnce(key: string, question: BasicQuestion, origin: Origin | undefined): Promise<Caller> {
    try {
      const caller = toCaller(await ask(question, origin))
      if (isRevoked(caller)) throw new AppError('unauthenticated', 'credentials have been revoked')
      known.set(key, { caller, until: now() + trustMs })
      return caller
    } catch (error) {
      throw asRefusal(error)
    }
  }

  function share(key: string, question: BasicQuestion, origin: Origin | undefined): Promise<Caller> {
    const answer = askOnce(key, question, origin).finally(() => asking.delete(key))
    asking.set(key, answer)
    return answer
  }

  return {
    async verify(question, origin) {
      const { username, password } = question
      if (username.length > 320 || password.length > 1024) throw refused()
      const key = hash(username, password)
      const hit = known.get(key)
      if (hit && now() < hit.until && !isRevoked(hit.caller)) return hit.caller
      known.delete(key)
      return asking.get(key) ?? share(key, question, origin)
    }
  }
}

/** At the door a wrong password is a missing identity; `bad_credentials` is the answer of a log-in operation. */
function asRefusal(error: unknown): unknown {
  return error instanceof AppError && error.code === 'bad_credentials' ? refused(error) : error
}

function refused(cause?: unknown): AppError {
  return new AppError('unauthenticated', 'user name or password is wrong', {}, { cause })
}
