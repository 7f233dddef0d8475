import { AppError } from '@fleetgate/kit'
import { type OutboxEntry, outboxField } from '@fleetgate/store'
import { Schema } from 'mongoose'
import type { Profile } from '../people/profile.js'
import type { User } from './user.js'

export interface UserDoc {
  _id: string
  tenantId: string
  /** Lower case; absent once deleted, so that the address is free again. */
  emailKey?: string
  email: string
  /** Unique, see people; absent without a user name. */
  userNameKey?: string
  profile?: Profile
  nickname: string
  passwordHash: string
  isSuperAdmin: boolean
  codes: string[]
  /** Roles beside super admin. */
  roleIds?: string[]
  /** Counts the changes of the roles. */
  rolesVersion?: number
  version: number
  createdAt: number
  /** The tenant that this user founded: one founder per tenant, ever. */
  founderOf?: string
  tenantName?: string
  deletedAt?: number
  disabledAt?: number
  /** See administrators. */
  administratorRound?: number
  outbox?: OutboxEntry[]
}

export const userSchema = new Schema<UserDoc>({
  _id: String,
  tenantId: { type: String, required: true },
  emailKey: { type: String, unique: true, sparse: true },
  email: String,
  userNameKey: { type: String, unique: true, sparse: true },
  profile: { type: { _id: false, userName: String, role: String, remark: String, tags: String }, default: undefined },
  nickname: String,
  passwordHash: String,
  isSuperAdmin: { type: Boolean, required: true },
  codes: [String],
  roleIds: { type: [String], default: undefined },
  rolesVersion: Number,
  version: { type: Number, required: true },
  createdAt: { type: Number, required: true },
  founderOf: { type: String, unique: true, sparse: true },
  tenantName: String,
  deletedAt: { type: Number, index: true, sparse: true },
  disabledAt: Number,
  administratorRound: Number,
  outbox: outboxField
})
userSchema.index({ tenantId: 1, createdAt: -1, _id: -1 })
userSchema.index({ tenantId: 1, _id: 1 })
userSchema.index({ tenantId: 1, roleIds: 1 }, { sparse: true })
userSchema.index({ tenantId: 1, isSuperAdmin: 1 }, { partialFilterExpression: { isSuperAdmin: true } })

/** Not deleted. */
export const living = { deletedAt: { $exists: false } }

export function toUser(doc: UserDoc): User {
  return {
    id: doc._id,
    tenantId: doc.tenantId,
    email: doc.email,
    nickname: doc.nickname,
    passwordHash: doc.passwordHash,
    isSuperAdmin: doc.isSuperAdmin,
    codes: [...doc.codes],
    roleIds: [...(doc.roleIds ?? [])],
    rolesVersion: doc.rolesVersion ?? 0,
    version: doc.version,
    createdAt: doc.createdAt,
    isEnabled: doc.disabledAt === undefined,
    ...(doc.profile ? { profile: { ...doc.profile } } : {})
  }
}

/** The tenant already has its founder. */
export class TenantTaken extends Error {}

export function refusalOf(error: unknown): unknown {
  const key = (error as { code?: unknown; keyPattern?: Record<string, unknown> } | undefined) ?? {}
  if (key.code !== 11000) return error
  if (key.keyPattern?.founderOf) return new TenantTaken('the tenant already has a founder')
  if (key.keyPattern?.userNameKey) return new AppError('conflict', 'User already exist', { field: 'username' })
  return new AppError('conflict', 'a user with this e-mail address exists', {
    field: 'email',
    wireCode: 'user_register_email_exist'
  })
}
