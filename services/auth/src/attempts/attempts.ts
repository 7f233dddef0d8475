import { createHash } from 'node:crypto'
import { AppError } from '@fleetgate/kit'
import type { AttemptRule, AttemptStore } from './attemptStore.js'

export interface AttemptLimits {
  account: AttemptRule
  address: AttemptRule
}

export type Attempts = ReturnType<typeof createAttempts>

/** Limits log-in attempts per account and per address, the same for accounts that do not exist. */
export function createAttempts({
  store,
  limits,
  now
}: {
  store: AttemptStore
  limits: AttemptLimits
  now: () => number
}) {
  return {
    /** Counts an attempt or refuses it. */
    async take(account: string, address: string): Promise<void> {
      const at = now()
      const blocked = await Promise.all([
        store.take(accountKey(account), limits.account, at),
        store.take(addressKey(address), limits.address, at)
      ])
      const until = Math.max(...blocked)
      if (until === 0) return
      const retryAfter = Math.ceil((until - at) / 1000)
      throw new AppError('rate_limited', `too many log-in attempts, try again in ${retryAfter} s`, { retryAfter })
    },
    /** A right password clears the account; the address only gets this one attempt back. */
    async succeeded(account: string, address: string): Promise<void> {
      await Promise.all([store.forget(accountKey(account)), store.giveBack(addressKey(address))])
    }
  }
}

/** Hashed: people type their password into the wrong field. */
function accountKey(account: string): string {
  return `account:${createHash('sha256').update(account.toLowerCase()).digest('hex')}`
}

function addressKey(address: string): string {
  return `address:${address}`
}
