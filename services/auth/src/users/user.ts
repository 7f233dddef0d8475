import { AppError, type Caller, type CallerData, type Static } from '@fleetgate/kit'
import type { Profile } from '../people/profile.js'

/** A person. `version` counts the changes that end every token of the person. */
export interface User {
  /** A 64-bit number in decimal. */
  id: string
  tenantId: string
  email: string
  nickname: string
  passwordHash: string
  isSuperAdmin: boolean
  codes: string[]
  /** Roles beside super admin. */
  roleIds: string[]
  /** Counts the changes of the roles: events override tokens of a lower one. */
  rolesVersion: number
  version: number
  /** Epoch ms. */
  createdAt: number
  /** A disabled user is refused everywhere and loses nothing. */
  isEnabled: boolean
  /** See people: EMQ's API names people and describes them. */
  profile?: Profile | undefined
}

export const defaultTenant = 'default'

/** What other processes, and tokens, say of a user. */
export function toCallerData(user: User): Static<typeof CallerData> {
  return {
    userId: user.id,
    tenantId: user.tenantId,
    email: user.email,
    nickname: user.nickname,
    isSuperAdmin: user.isSuperAdmin,
    codes: user.codes,
    version: user.version,
    roleIds: user.roleIds,
    rolesVersion: user.rolesVersion
  }
}

export function requireSuperAdmin(caller: Caller): void {
  if (!caller.isSuperAdmin) throw new AppError('forbidden', 'only a super admin may do this')
}
