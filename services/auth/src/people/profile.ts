import type { PersonData } from '@fleetgate/kit'
import type { User } from '../users/user.js'

/** What EMQ's API keeps of a person beyond what every user has. */
export interface Profile {
  userName?: string
  role?: string
  remark?: string
  tags?: string
}

/** Unique within the tenant, whatever its case; log-in finds a name of another tenant as `tenant/name`. */
export function userNameKey(tenantId: string, userName: string): string {
  return `${tenantId}/${userName.toLowerCase()}`
}

/** Every user has an address of their own; who was made without one gets one that no mail can reach (RFC 2606). */
export function placeholderAddress(tenantId: string, userName: string): string {
  return `${userName}@${tenantId}.invalid`
}

const administrator = 'administrator'

export function toPersonData({ id, tenantId, email, isSuperAdmin, createdAt, profile = {} }: User): PersonData {
  const { userName, role, remark, tags } = profile
  const isPlaceholder = userName !== undefined && email === placeholderAddress(tenantId, userName)
  const standing = isSuperAdmin ? administrator : ''
  return {
    id,
    username: userName ?? email,
    email: isPlaceholder ? '' : email,
    role: role ?? standing,
    remark: remark ?? '',
    tags: tags ?? standing,
    createdAt
  }
}
