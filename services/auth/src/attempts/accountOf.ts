import { placeholderNameKey, typedNameKey, userNameKey } from '../people/profile.js'
import { defaultTenant, type User } from '../users/user.js'

type Person = Pick<User, 'tenantId' | 'email' | 'profile'>

/**
 * The account at which attempts to log in count: one for all names of a person, and one for all ways to write a name that
 * nobody has. Were it one for each way only there, guesses of another way would tell whether somebody has the name.
 */
export function accountOf(person: Person): string {
  const { tenantId, email, profile } = person
  return profile?.userName === undefined ? accountTyped(email) : userNameKey(tenantId, profile.userName)
}

/** That of what was typed and is no person's. */
export function accountTyped(login: string): string {
  return login.includes('@') ? (placeholderNameKey(login) ?? login) : typedNameKey(login, defaultTenant)
}
