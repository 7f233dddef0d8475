import { AppError, type Caller, type Found, type Range } from '@fleetgate/kit'
import { type Menu, withParents } from '../menus/menu.js'
import type { Menus } from '../menus/menus.js'
import type { PasswordPool } from '../passwords/passwordPool.js'
import { checkPassword } from '../passwords/passwordRules.js'
import type { Grants } from '../roles/grants.js'
import { type Resource, type Role, superAdminRole } from '../roles/role.js'
import type { RoleStore } from '../roles/roleStore.js'
import { contended } from './contended.js'
import type { MemberFilter, Sort } from './memberQueries.js'
import { requireSuperAdmin, type User } from './user.js'
import type { UserStore } from './userStore.js'

export interface MembersOptions {
  users: UserStore
  roles: RoleStore
  menus: Menus
  grants: Grants
  passwords: PasswordPool
}

export interface RoleName {
  id: string
  name: string
}

export interface Member {
  user: User
  roles: RoleName[]
}

export type Members = ReturnType<typeof createMembers>

/** The people of a tenant, as each of them may see and a super admin may change them. */
export function createMembers({ users, roles, menus, grants, passwords }: MembersOptions) {
  async function find(id: string, caller: Caller): Promise<User> {
    const user = await users.find(caller.tenantId, id)
    if (!user) throw new AppError('not_found', 'there is no such user')
    return user
  }

  async function rolesOf(list: User[], tenantId: string): Promise<Member[]> {
    const found = await roles.findMany(
      tenantId,
      list.flatMap(({ roleIds }) => roleIds)
    )
    const byId = new Map(found.map((role) => [role.id, role]))
    return list.map((user) => ({ user, roles: namesOf(user, byId) }))
  }

  /** With everything above them; a super admin has all. */
  async function menusOf(user: User): Promise<Menu[]> {
    const all = await menus.list(user.tenantId)
    if (user.isSuperAdmin) return all
    const own = await roles.findMany(user.tenantId, user.roleIds)
    return withParents(
      all,
      own.flatMap(({ menuIds }) => menuIds)
    )
  }

  return {
    async profile(user: User): Promise<Member & { menus: Menu[] }> {
      const [[member], own] = await Promise.all([rolesOf([user], user.tenantId), menusOf(user)])
      return { user, roles: member?.roles ?? [], menus: own }
    },

    async search(filter: MemberFilter, page: Range & { sort?: Sort }, caller: Caller): Promise<Found<Member>> {
      const { items, total } = await users.search(caller.tenantId, filter, page)
      return { items: await rolesOf(items, caller.tenantId), total }
    },

    async edit(id: string, change: Pick<User, 'email' | 'nickname'>, caller: Caller): Promise<void> {
      requireSuperAdmin(caller)
      if (!(await users.edit(caller.tenantId, id, change))) throw new AppError('not_found', 'there is no such user')
    },

    /** Ends every token of the user. */
    async resetPassword(id: string, password: string, caller: Caller): Promise<void> {
      requireSuperAdmin(caller)
      checkPassword(password, 'password')
      await find(id, caller)
      const hash = await passwords.hash(password)
      if (await contended(async () => users.changePassword(await find(id, caller), hash))) return
      throw beingChanged()
    },

    /** Disabling ends every token of the user; service tokens rest until the user is enabled again. */
    async setEnabled(id: string, isEnabled: boolean, caller: Caller): Promise<void> {
      requireSuperAdmin(caller)
      if (!isEnabled && id === caller.userId) throw new AppError('forbidden', 'you cannot disable yourself')
      const isDone = await contended(async () => {
        const user = await find(id, caller)
        if (user.isEnabled === isEnabled) return true
        return isEnabled ? users.enable(user) : users.disable(user)
      })
      if (!isDone) throw beingChanged()
    },

    menusOf: async (id: string, caller: Caller) => menusOf(await find(id, caller)),

    /** False for users without a role and for unknown ones. */
    hasPermission: (id: string, resource: Resource, caller: Caller) => grants.has(caller.tenantId, id, resource)
  }
}

function beingChanged(): AppError {
  return new AppError('conflict', 'the user is being changed by others, try again')
}

function namesOf({ isSuperAdmin, roleIds }: User, byId: Map<string, Role>): RoleName[] {
  const own = roleIds.flatMap((id) => byId.get(id) ?? [])
  return [...(isSuperAdmin ? [superAdminRole] : []), ...own].map(({ id, name }) => ({ id, name }))
}
