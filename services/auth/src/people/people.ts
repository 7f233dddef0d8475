import { type Actor, AppError, type PersonData } from '@fleetgate/kit'
import type { PasswordChange } from '../passwords/passwordChange.js'
import type { Registration } from '../users/registration.js'
import type { User } from '../users/user.js'
import type { UserStore } from '../users/userStore.js'
import type { PersonChange } from './peopleQueries.js'
import { placeholderAddress, toPersonData } from './profile.js'

export interface PeopleOptions {
  users: UserStore
  registration: Registration
  changePassword: PasswordChange
}

export interface PersonDraft extends PersonChange {
  username: string
  password: string
}

export type People = ReturnType<typeof createPeople>

/** A path segment of EMQ's API: `PUT /users/change_pwd` changes a password. */
const reserved = 'change_pwd'

/** Users as EMQ's API sees them: by name. The edge has checked that the actor may look at, or change, people. */
export function createPeople({ users, registration, changePassword }: PeopleOptions) {
  async function person(tenantId: string, name: string): Promise<User> {
    const user = await users.findPerson(tenantId, name)
    if (!user) throw unknown(name)
    return user
  }

  return {
    async list(tenantId: string, after: string, limit: number): Promise<PersonData[]> {
      return (await users.listPeople(tenantId, after, limit)).map(toPersonData)
    },

    async find(tenantId: string, name: string): Promise<PersonData | undefined> {
      const user = await users.findPerson(tenantId, name)
      return user && toPersonData(user)
    },

    async create({ username, password, email, role, remark, tags }: PersonDraft, actor: Actor): Promise<string> {
      if (username.toLowerCase() === reserved) {
        throw new AppError('invalid_input', `${reserved} is not possible as a user name`, { field: 'username' })
      }
      const address = email ?? placeholderAddress(actor.tenantId, username)
      const profile = {
        userName: username,
        ...(role === undefined ? {} : { role }),
        ...(remark === undefined ? {} : { remark }),
        ...(tags === undefined ? {} : { tags })
      }
      return registration.addMember({ email: address, nickname: username, password }, actor.tenantId, profile)
    },

    async update(name: string, change: PersonChange, actor: Actor): Promise<void> {
      const user = await person(actor.tenantId, name)
      if (user.isSuperAdmin && !actor.isSuperAdmin) {
        throw new AppError('forbidden', 'only a super admin may change a super admin')
      }
      if (!(await users.changePerson(user, change))) throw unknown(name)
    },

    /** EMQ's rule for its `admin` holds for every super admin here. */
    async remove(name: string, actor: Actor): Promise<void> {
      const user = await person(actor.tenantId, name)
      if (user.isSuperAdmin) throw new AppError('invalid_state', 'admin cannot be deleted')
      if (user.id === actor.userId) throw new AppError('forbidden', 'you cannot delete yourself')
      if (await users.remove(actor.tenantId, [user.id])) return
      throw new AppError('conflict', `user ${name} is being changed by others, try again`)
    },

    /** Whoever knows the old password may; guesses of it count as log-in attempts. */
    async changePassword(name: string, change: { old: string; new: string }, actor: Actor): Promise<void> {
      const user = await person(actor.tenantId, name)
      const isDone = await changePassword(user, { ...change, field: 'new_pwd', address: actor.address })
      if (!isDone) throw new AppError('bad_credentials', 'old password is wrong')
    }
  }
}

function unknown(name: string): AppError {
  return new AppError('not_found', `user ${name} does not exist`)
}
