import { AppError } from '@fleetgate/kit'
import { accountOf } from '../attempts/accountOf.js'
import type { Attempts } from '../attempts/attempts.js'
import type { User } from '../users/user.js'
import type { UserStore } from '../users/userStore.js'
import type { PasswordPool } from './passwordPool.js'
import { checkPassword } from './passwordRules.js'

export interface PasswordWish {
  old: string
  new: string
  /** What the caller calls the new password, for the refusal. */
  field: string
  address: string
}

/** False where the old password is wrong, or the user disabled. */
export type PasswordChange = (user: User, wish: PasswordWish) => Promise<boolean>

export interface PasswordChangeOptions {
  users: Pick<UserStore, 'changePassword'>
  passwords: PasswordPool
  attempts: Attempts
}

/** Ends every token of the user. Guesses of the old password count as log-in attempts. */
export function createPasswordChange({ users, passwords, attempts }: PasswordChangeOptions): PasswordChange {
  return async (user, wish) => {
    checkPassword(wish.new, wish.field)
    const check = async () => (await passwords.matches(wish.old, user.passwordHash)) && user.isEnabled
    if (!(await attempts.make(accountOf(user), wish.address, check))) return false
    if (await users.changePassword(user, await passwords.hash(wish.new))) return true
    throw new AppError('conflict', 'the user was changed at the same moment, try again')
  }
}
