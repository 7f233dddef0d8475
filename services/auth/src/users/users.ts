import { AppError, type Caller } from '@fleetgate/kit'
import type { PasswordChange } from '../passwords/passwordChange.js'
import type { PersonDraft, Registration } from './registration.js'
import { defaultTenant, requireSuperAdmin, type User } from './user.js'
import type { UserStore } from './userStore.js'

export interface UsersOptions {
  users: UserStore
  registration: Registration
  changePassword: PasswordChange
}

export type Users = ReturnType<typeof createUsers>

/** What signed-in people do with users. */
export function createUsers({ users, registration, changePassword }: UsersOptions) {
  async function me(caller: Caller): Promise<User> {
    const user = await users.find(caller.tenantId, caller.userId)
    if (!user?.isEnabled) throw new AppError('unauthenticated', 'this user no longer exists or is disabled')
    return user
  }

  return {
    me,

    async addMember(draft: PersonDraft, caller: Caller): Promise<string> {
      requireSuperAdmin(caller)
      return registration.addMember(draft, caller.tenantId)
    },

    async addTenant(draft: PersonDraft & { tenantId: string; name: string }, caller: Caller): Promise<string> {
      requireSuperAdmin(caller)
      if (caller.tenantId !== defaultTenant) {
        throw new AppError('forbidden', `only a super admin of tenant ${defaultTenant} may create tenants`)
      }
      return registration.addTenant(draft)
    },

    /** Unknown ids are passed over. All or none: with your own id among them nothing is deleted. */
    async remove(ids: string[], caller: Caller): Promise<void> {
      requireSuperAdmin(caller)
      if (ids.includes(caller.userId)) throw new AppError('forbidden', 'you cannot delete yourself')
      if (await users.remove(caller.tenantId, [...new Set(ids)])) return
      throw new AppError('conflict', 'the users are being changed by others, try again')
    },

    /** Ends every token of the caller, this one too. Guesses of the old password count as log-in attempts. */
    async changePassword(change: { old: string; new: string; address: string }, caller: Caller): Promise<void> {
      const isDone = await changePassword(await me(caller), { ...change, field: 'new_password' })
      if (!isDone) throw wrongOldPassword()
    }
  }
}

function wrongOldPassword(): AppError {
  return new AppError('invalid_input', 'old password is wrong', {
    field: 'old_password',
    wireCode: 'parameter_syntax_error'
  })
}
