import type { Caller } from './caller.js'
import { maxTokenAgeMs } from './tokens.js'

export interface Revocations {
  add(userId: string, minVersion: number): void
  isRevoked(caller: Caller): boolean
}

/** The lowest version still valid, per user revoked lately. Older entries guard nothing: their tokens have expired. */
export function createRevocations(now: () => number): Revocations {
  const entries = new Map<string, { minVersion: number; at: number }>()

  function forgetOld(): void {
    const oldest = now() - maxTokenAgeMs
    for (const [userId, { at }] of entries) {
      if (at >= oldest) return
      entries.delete(userId)
    }
  }

  return {
    add(userId, minVersion) {
      forgetOld()
      const highest = Math.max(minVersion, entries.get(userId)?.minVersion ?? minVersion)
      // Deleted first so that the map stays in order of time.
      entries.delete(userId)
      entries.set(userId, { minVersion: highest, at: now() })
    },
    isRevoked({ userId, version }) {
      const entry = entries.get(userId)
      return entry !== undefined && version < entry.minVersion
    }
  }
}
