import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { AppError } from '@fleetgate/kit'
import type { AttemptRule, AttemptStore, Taken } from './attemptStore.js'

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
  /** Counts an attempt at both keys, or at none where one of them refuses it. */
  async function take(account: string, address: string): Promise<{ account: Taken; address: Taken }> {
    const at = now()
    const taken = await Promise.all([
      store.take(accountKey(account), limits.account, at),
      store.take(addressKey(address), limits.address, at)
    ])
    const refused = taken.filter(({ isRefused }) => isRefused)
    if (refused.length === 0) return { account: taken[0], address: taken[1] }
    await giveBack(taken.filter(({ isRefused }) => !isRefused))
    throw refusal('log-in attempts', refused, at)
  }

  async function giveBack(taken: Taken[]): Promise<void> {
    await Promise.all(taken.map((one) => store.giveBack(one)))
  }

  return {
    /** Counts a registration at its address, or refuses it as `rate_limited`; one that `work` could not try counts nowhere. */
    async register(address: string, work: () => Promise<unknown>): Promise<void> {
      const at = now()
      const taken = await store.take(addressKey(address), limits.address, at)
      if (taken.isRefused) throw refusal('attempts', [taken], at)
      try {
        await work()
      } catch (error) {
        if (!(error instanceof AppError && error.code === 'conflict')) await giveBack([taken])
        throw error
      }
    },

    /**
     * Counts an attempt, or refuses it as `rate_limited`, then makes it: whether it was right. A right one clears the account
     * and gives the address this one back; one that could not be made (`check` rejects) counts nowhere.
     */
    async make(account: string, address: string, check: () => Promise<boolean>): Promise<boolean> {
      const taken = await take(account, address)
      let isRight: boolean
      try {
        isRight = await check()
      } catch (error) {
        await giveBack([taken.account, taken.address])
        throw error
      }
      if (isRight) await Promise.all([store.forget(taken.account.key), giveBack([taken.address])])
      return isRight
    }
  }
}

function refusal(what: string, refused: Taken[], at: number): AppError {
  const retryAfter = Math.ceil((Math.max(...refused.map(({ blockedUntil }) => blockedUntil)) - at) / 1000)
  return new AppError('rate_limited', `too many ${what}, try again in ${retryAfter} s`, { retryAfter })
}

/** Hashed: people type their password into the wrong field. */
function accountKey(account: string): string {
  return `account:${createHash('sha256').update(account.toLowerCase()).digest('hex')}`
}

function addressKey(address: string): string {
  return `address:${networkOf(address)}`
}

/** Whoever has one IPv6 address has the 2^64 of its network: they count as one. */
function networkOf(address: string): string {
  const ip = address.replace(/%.*$/, '')
  if (isIP(ip) !== 6) return address
  // The URL parser writes every IPv6 address in its one short form; an IPv4 address in it becomes two groups too.
  const [head = '', tail] = new URL(`http://[${ip}]`).hostname.slice(1, -1).split('::')
  const [before, after] = [head, tail ?? ''].map((part) => part.split(':').filter(Boolean)) as [string[], string[]]
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  const network = [...before, ...Array<string>(zeros).fill('0'), ...after].slice(0, 4).join(':')
  // Below ::/64 are addresses of IPv4 in IPv6 clothes.
  return network === '0:0:0:0' ? ip : `${network}::/64`
}
