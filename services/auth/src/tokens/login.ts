import { AppError } from '@fleetgate/kit'
import { accountOf, accountTyped } from '../attempts/accountOf.js'
import type { Attempts } from '../attempts/attempts.js'
import type { PasswordPool } from '../passwords/passwordPool.js'
import { isPossible } from '../passwords/passwordRules.js'
import { defaultTenant, type User } from '../users/user.js'
import type { UserStore } from '../users/userStore.js'

export interface Credentials {
  username: string
  password: string
  address: string
}

export type Login = (credentials: Credentials) => Promise<User>

export interface LoginOptions {
  users: UserStore
  passwords: PasswordPool
  attempts: Attempts
  /** A hash of nobody's password. */
  decoyHash: string
}

/** Checks a user name and password. Unknown, disabled and wrong cost the same time and read the same. */
export function createLogin({ users, passwords, attempts, decoyHash }: LoginOptions): Login {
  return async ({ username, password, address }) => {
    const user = await users.findByLogin(username, defaultTenant)
    const account = user ? accountOf(user) : accountTyped(username)
    const canMatch = user?.isEnabled === true && isPossible(password)
    const check = async () => (await passwords.matches(password, canMatch ? user.passwordHash : decoyHash)) && canMatch
    if ((await attempts.make(account, address, check)) && user) return user
    throw new AppError('bad_credentials', 'invalid_grant: user name or password is wrong')
  }
}
