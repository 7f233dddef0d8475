import type { UserAuthorized } from '@fleetgate/contracts'
import type { Caller } from './caller.js'
import type { RoleCodes } from './roleCodes.js'
import { maxTokenAgeMs } from './tokens.js'

export interface Authorizations {
  /** The roles of a user are others now. */
  apply(change: Pick<UserAuthorized, 'userId' | 'isSuperAdmin' | 'roleIds' | 'version'>): void
  /** A role is another now. */
  roleChanged(): void
  /** The caller with the roles and codes of this moment; the same object while nothing changes. */
  current(caller: Caller): Caller
  /** True when the caller has a role that nobody knows here. */
  hasUnknownRole(caller: Caller): boolean
}

interface Override {
  isSuperAdmin: boolean
  roleIds: readonly string[]
  version: number
  at: number
}

/** What callers may do at this moment, whatever was true when their token was signed. */
export function createAuthorizations(codesOf: RoleCodes['codesOf'], now: () => number): Authorizations {
  const overrides = new Map<string, Override>()
  let resolved = new WeakMap<Caller, Caller>()

  function forgetOld(): void {
    const oldest = now() - maxTokenAgeMs
    for (const [userId, { at }] of overrides) {
      if (at >= oldest) return
      overrides.delete(userId)
    }
  }

  /** Newer roles than the token's, where an event told of them. */
  function withOverride(caller: Caller): Caller {
    const override = overrides.get(caller.userId)
    if (!override || override.version <= (caller.rolesVersion ?? 0)) return caller
    const { isSuperAdmin, roleIds, version } = override
    return { ...caller, isSuperAdmin, roleIds, rolesVersion: version }
  }

  function resolve(signed: Caller): Caller {
    const caller = withOverride(signed)
    const roleIds = caller.roleIds ?? []
    if (roleIds.length === 0) return caller
    const granted = roleIds.flatMap((id) => codesOf(caller.tenantId, id) ?? [])
    return { ...caller, codes: new Set([...caller.codes, ...granted]) }
  }

  return {
    apply({ userId, isSuperAdmin, roleIds, version }) {
      forgetOld()
      if (version <= (overrides.get(userId)?.version ?? -1)) return
      // Deleted first so that the map stays in order of time.
      overrides.delete(userId)
      overrides.set(userId, { isSuperAdmin, roleIds, version, at: now() })
      resolved = new WeakMap()
    },
    roleChanged() {
      resolved = new WeakMap()
    },
    current(caller) {
      const known = resolved.get(caller)
      if (known) return known
      const fresh = resolve(caller)
      resolved.set(caller, fresh)
      return fresh
    },
    hasUnknownRole({ tenantId, roleIds = [] }) {
      return roleIds.some((id) => codesOf(tenantId, id) === undefined)
    }
  }
}
