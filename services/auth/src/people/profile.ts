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

/** The key of a name as people type it to sign in: `tenant/name`, or a name of the tenant given. */
export function typedNameKey(typed: string, tenantId: string): string {
  const slash = typed.indexOf('/')
  if (slash < 0) return userNameKey(tenantId, typed)
  return userNameKey(typed.slice(0, slash), typed.slice(slash + 1))
}

/** Every user has an address of their own; who was made without one gets one that no mail can reach (RFC 2606). */
export function placeholderAddress(tenantId: string, userName: string): string {
  return `${userName}@${tenantId}.invalid`
}

/** The key of the name in such an address; nothing where it is another one. */
export function placeholderNameKey(address: string): string | undefined {
  const [, name, tenantId] = /^([^@]+)@(.+)\.invalid$/i.exec(address) ?? []
  return name && tenantId && userNameKey(tenantId, name)
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
