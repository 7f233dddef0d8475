import { createHmac, randomBytes } from 'node:crypto'
import { AppError, type Origin } from '@fleetgate/contracts'
import { LRUCache } from 'lru-cache'

export interface TrustOptions<V> {
  /** Throws `unauthenticated` for what is not, or no longer, good; only that no is remembered. */
  ask: (text: string, origin?: Origin) => Promise<V>
  /** Whose the answer is, and until when (epoch ms) it can be good at all. */
  about: (value: V) => { tokenId: string; userId: string; expiresAt: number }
  now: () => number
}

/** Answers of another party about secret texts, believed for a minute unless they are taken back before. */
export interface Trust<V> {
  /** From memory; throws the remembered no. Nothing where it must be asked for. */
  known(text: string): V | undefined
  /** Equal questions at the same moment are one, with the origin of the first. */
  verify(text: string, origin?: Origin): Promise<V>
  /** Forgets a yes, and after a change of a user every no: the next use asks again. */
  forget(of: { tokenId?: string; userId?: string }): void
}

interface Known<V> {
  value: V
  until: number
}

const trustMs = 60_000

/**
 * A no counts for a minute too, because what is none today becomes one only where its disabled user is enabled, which is an
 * event. Kept is a hash under a key of this process.
 */
export function createTrust<V extends object>({ ask, about, now }: TrustOptions<V>): Trust<V> {
  const secret = randomBytes(32)
  const yes = new LRUCache<string, Known<V>>({ max: 10_000 })
  const no = new LRUCache<string, { error: AppError; until: number }>({ max: 10_000 })
  const asking = new Map<string, Promise<V>>()
  /** Counts what was taken back: an answer from before may not be remembered after. */
  let takenBack = 0

  function hash(text: string): string {
    return createHmac('sha256', secret).update(text).digest('base64')
  }

  async function askOnce(key: string, text: string, origin: Origin | undefined): Promise<V> {
    const before = takenBack
    try {
      const value = await ask(text, origin)
      const until = Math.min(now() + trustMs, about(value).expiresAt)
      if (before === takenBack) yes.set(key, { value, until })
      return value
    } catch (error) {
      const isNo = error instanceof AppError && error.code === 'unauthenticated'
      if (isNo && before === takenBack) no.set(key, { error, until: now() + trustMs })
      throw error
    }
  }

  function share(key: string, text: string, origin: Origin | undefined): Promise<V> {
    const answer = askOnce(key, text, origin).finally(() => {
      if (asking.get(key) === answer) asking.delete(key)
    })
    asking.set(key, answer)
    return answer
  }

  function find(key: string): V | undefined {
    const hit = yes.get(key)
    if (hit && now() < hit.until) return hit.value
    yes.delete(key)
    const refusal = no.get(key)
    if (refusal && now() < refusal.until) throw refusal.error
    return undefined
  }

  return {
    known: (text) => find(hash(text)),
    async verify(text, origin) {
      const key = hash(text)
      return find(key) ?? asking.get(key) ?? share(key, text, origin)
    },
    forget({ tokenId, userId }) {
      takenBack += 1
      for (const [key, { value }] of yes.entries()) {
        const of = about(value)
        if (of.tokenId === tokenId || of.userId === userId) yes.delete(key)
      }
      // Whose it was is not known of a no.
      if (userId !== undefined) no.clear()
      // Questions on their way may have been answered before: whoever comes now asks a new one.
      asking.clear()
    }
  }
}
