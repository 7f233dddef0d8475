import { createPublicKey, type KeyObject } from 'node:crypto'
import { detached, type Log } from '@fleetgate/contracts'

export interface PublicKey {
  kid: string
  pem: string
}

export interface PublicKeys {
  keyOf(kid: string): KeyObject | undefined
  /** True once keys have been had. */
  isLoaded(): boolean
  /** Fetches again unless that was tried within the last second; false when auth could not be asked. */
  refresh(): Promise<boolean>
  stop(): void
}

export interface PublicKeysOptions {
  fetch: () => Promise<readonly PublicKey[]>
  onChange: () => void
  log: Log
  now: () => number
}

const minIntervalMs = 1000
const retryMs = 500
/** A key that auth has withdrawn is forgotten within this time. */
const renewMs = 5 * 60_000

/** Auth's public keys, parsed once; asked for until they are there, then renewed now and then. */
export function createPublicKeys({ fetch, onChange, log, now }: PublicKeysOptions): PublicKeys {
  let keys = new Map<string, KeyObject>()
  let triedAt = Number.NEGATIVE_INFINITY
  let lastTryWorked = false
  let running: Promise<boolean> | undefined
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  async function load(): Promise<boolean> {
    triedAt = now()
    try {
      const fresh = await fetch()
      const withdrawn = [...keys.keys()].some((kid) => !fresh.some((key) => key.kid === kid))
      keys = new Map(fresh.map(({ kid, pem }) => [kid, createPublicKey(pem)]))
      if (withdrawn) onChange()
      lastTryWorked = true
    } catch (err) {
      lastTryWorked = false
      // Processes start in any order: until auth is up there is nothing to worry about, and /readyz says so.
      if (keys.size > 0) log.warn({ err }, 'public keys are not to be had')
      else log.info({ reason: (err as Error).message }, 'waiting for public keys')
    }
    running = undefined
    if (!stopped) schedule()
    return lastTryWorked
  }

  function schedule(): void {
    clearTimeout(timer)
    timer = setTimeout(() => void detached(refresh), lastTryWorked ? renewMs : retryMs + minIntervalMs)
    timer.unref()
  }

  async function refresh(): Promise<boolean> {
    if (running) return running
    // A clock that was set back must not stop us for as long.
    if (Math.abs(now() - triedAt) < minIntervalMs) return lastTryWorked
    running = load()
    return running
  }

  return {
    keyOf: (kid) => keys.get(kid),
    isLoaded: () => keys.size > 0,
    refresh,
    stop() {
      stopped = true
      clearTimeout(timer)
    }
  }
}
