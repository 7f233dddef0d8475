import { AppError, newNumericId } from '@fleetgate/kit'
import type { Attempts } from '../attempts/attempts.js'
import type { PasswordPool } from '../passwords/passwordPool.js'
import { checkPassword } from '../passwords/passwordRules.js'
import type { Profile } from '../people/profile.js'
import { defaultTenant, type User } from './user.js'
import { TenantTaken, type UserStore } from './userStore.js'

export interface PersonDraft {
  email: string
  nickname: string
  password: string
}

export interface RegistrationOptions {
  users: UserStore
  passwords: PasswordPool
  attempts: Pick<Attempts, 'register'>
  /** After the first user, whether anyone may still register (without a role). */
  isOpen: boolean
  now: () => number
}

export type Registration = ReturnType<typeof createRegistration>

/** Who may become a user: the founder of a tenant, strangers while registration is open, members by their admin. */
export function createRegistration({ users, passwords, attempts, isOpen, now }: RegistrationOptions) {
  async function newUser(
    draft: PersonDraft,
    place: Pick<User, 'tenantId' | 'isSuperAdmin' | 'profile'>
  ): Promise<User> {
    return {
      id: newNumericId(now()),
      ...place,
      email: draft.email,
      nickname: draft.nickname,
      passwordHash: await passwords.hash(draft.password),
      codes: [],
      roleIds: [],
      rolesVersion: 0,
      version: 1,
      createdAt: now(),
      isEnabled: true
    }
  }

  async function addMember(draft: PersonDraft, tenantId: string, profile?: Profile): Promise<string> {
    checkPassword(draft.password, 'password')
    const user = await newUser(draft, { tenantId, isSuperAdmin: false, ...(profile ? { profile } : {}) })
    await users.insert(user)
    return user.id
  }

  return {
    addMember,
    isInitialized: () => users.hasFounder(defaultTenant),

    /** The first user becomes super admin of tenant `default`; of many at the same moment the index picks one. */
    async register(draft: PersonDraft, address: string): Promise<void> {
      checkPassword(draft.password, 'password')
      if (await users.hasFounder(defaultTenant)) return registerLater(draft, address)
      const user = await newUser(draft, { tenantId: defaultTenant, isSuperAdmin: true })
      try {
        await users.insert(user, { tenantId: defaultTenant, tenantName: defaultTenant })
      } catch (error) {
        if (!(await lostTheRace(error))) throw error
        await registerLater(draft, address)
      }
    },

    /** A tenant is its founder's document: made whole or not at all. */
    async addTenant(draft: PersonDraft & { tenantId: string; name: string }): Promise<string> {
      checkPassword(draft.password, 'password')
      const user = await newUser(draft, { tenantId: draft.tenantId, isSuperAdmin: true })
      try {
        await users.insert(user, { tenantId: draft.tenantId, tenantName: draft.name })
      } catch (error) {
        if (!(error instanceof TenantTaken)) throw error
        throw new AppError('conflict', `tenant ${draft.tenantId} exists`, { field: 'tenant_id' }, { cause: error })
      }
      return user.id
    }
  }

  /** Two requests with one address may collide on it first; the loser still came too late. */
  async function lostTheRace(error: unknown): Promise<boolean> {
    if (error instanceof TenantTaken) return true
    return error instanceof AppError && error.code === 'conflict' && (await users.hasFounder(defaultTenant))
  }

  async function registerLater(draft: PersonDraft, address: string): Promise<void> {
    if (!isOpen) {
      throw new AppError('forbidden', 'registration is closed: ask an administrator for an account', {
        wireCode: 'tenant_user_inited'
      })
    }
    // Each costs a bcrypt hash and a document, and its refusal tells that somebody has the address.
    await attempts.register(address, () => addMember(draft, defaultTenant))
  }
}
