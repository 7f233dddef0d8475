import { AppError, type Caller, maxPageSize, newNumericId } from '@fleetgate/kit'
import type { Menu } from '../menus/menu.js'
import type { Menus } from '../menus/menus.js'
import { requireSuperAdmin, type User } from '../users/user.js'
import type { UserStore } from '../users/userStore.js'
import { keyOf, type Resource, type Role, superAdminRole } from './role.js'
import type { RolePage, RoleStore } from './roleStore.js'

/** All of a role's resources travel in one answer to the services. */
export const maxResources = 5000
/** All of a user's roles travel in every token. */
const maxRolesPerUser = 100
const tries = 5

export interface RolesOptions {
  roles: RoleStore
  users: UserStore
  menus: Menus
  now: () => number
}

export type Roles = ReturnType<typeof createRoles>

/** Roles: what they are called, what they allow, who has them. Only super admins change them. */
export function createRoles({ roles, users, menus, now }: RolesOptions) {
  const seeded = new Set<string>()

  async function seed(tenantId: string): Promise<void> {
    if (seeded.has(tenantId)) return
    await roles.seed(tenantId)
    seeded.add(tenantId)
  }

  async function find(id: string, caller: Caller): Promise<Role> {
    await seed(caller.tenantId)
    const role = await roles.find(caller.tenantId, id)
    if (!role) throw noSuchRole()
    return role
  }

  /** A role that the caller may change. */
  async function changeable(id: string, caller: Caller): Promise<Role> {
    requireSuperAdmin(caller)
    return find(id, caller)
  }

  async function changeMembers(ids: string[], caller: Caller, change: (user: User) => User): Promise<void> {
    const done = await users.changeRoles(caller.tenantId, ids, (user) => {
      const { isSuperAdmin, roleIds } = change(user)
      return isSuperAdmin === user.isSuperAdmin && roleIds === user.roleIds ? undefined : { isSuperAdmin, roleIds }
    })
    if (!done) throw new AppError('conflict', 'the users are being changed by others, try again')
  }

  /** Whoever was given the role while it was deleted: giver and deleter both look again after their write. */
  async function takeFromAll(id: string, caller: Caller): Promise<void> {
    const { items } = await users.search(caller.tenantId, { withRole: id }, { offset: 0, limit: maxPageSize })
    const ids = items.map((user) => user.id)
    if (ids.length > 0) await changeMembers(ids, caller, (user) => withoutRole(user, id))
  }

  return {
    find,

    async add({ name, description }: { name: string; description: string }, caller: Caller): Promise<string> {
      requireSuperAdmin(caller)
      await seed(caller.tenantId)
      const id = newNumericId(now())
      const { tenantId } = caller
      const empty = { menuIds: [], resources: [], revision: 1, createdAt: now() }
      await roles.insert({ id, tenantId, name, description, ...empty })
      return id
    },

    /** A description that is not named stays. */
    async rename(id: string, change: { name: string; description?: string }, caller: Caller): Promise<void> {
      requireSuperAdmin(caller)
      if (id === superAdminRole.id) throw isProtected('renamed')
      if (!(await roles.rename(caller.tenantId, id, change))) throw noSuchRole()
    },

    async remove(id: string, caller: Caller): Promise<void> {
      await changeable(id, caller)
      if (id === superAdminRole.id) {
        throw new AppError('invalid_input', 'the role super_admin cannot be deleted', { field: 'role_id' })
      }
      const counts = await users.countByRole(caller.tenantId, [id])
      if (counts.get(id)) {
        throw new AppError('conflict', 'the role still has users', { wireCode: 'role_still_has_user' })
      }
      if (!(await roles.remove(caller.tenantId, id))) throw noSuchRole()
      await takeFromAll(id, caller)
    },

    async search(keyword: string, page: RolePage, caller: Caller) {
      await seed(caller.tenantId)
      const { items, total } = await roles.search(caller.tenantId, keyword, page)
      const counts = await users.countByRole(
        caller.tenantId,
        items.map(({ id }) => id)
      )
      return { items: items.map((role) => ({ role, users: counts.get(role.id) ?? 0 })), total }
    },

    async menusOf(id: string, caller: Caller): Promise<Menu[]> {
      const role = await find(id, caller)
      const all = await menus.list(caller.tenantId)
      return id === superAdminRole.id ? all : all.filter((menu) => role.menuIds.includes(menu.id))
    },

    /** Replaces the whole set; unknown ids are passed over. */
    async setMenus(id: string, menuIds: string[], caller: Caller): Promise<void> {
      requireSuperAdmin(caller)
      if (id === superAdminRole.id) throw isProtected('limited to menus')
      const wanted = new Set(menuIds)
      const known = (await menus.list(caller.tenantId)).map((menu) => menu.id).filter((menuId) => wanted.has(menuId))
      for (let i = 0; i < tries; i++) {
        if (await roles.setMenus(await find(id, caller), known)) return
      }
      throw new AppError('conflict', 'the role is being changed by others, try again')
    },

    /** Unknown ids, and those of other tenants, are passed over. */
    async addUsers(id: string, userIds: string[], caller: Caller): Promise<void> {
      await changeable(id, caller)
      await changeMembers(userIds, caller, (user) => withRole(user, id))
      if (await roles.find(caller.tenantId, id)) return
      await takeFromAll(id, caller)
      throw noSuchRole()
    },

    async removeUsers(id: string, userIds: string[], caller: Caller): Promise<void> {
      await changeable(id, caller)
      if (id === superAdminRole.id && userIds.includes(caller.userId)) {
        throw new AppError('forbidden', 'you cannot take super_admin from yourself')
      }
      await changeMembers(userIds, caller, (user) => withoutRole(user, id))
    },

    async addResources(id: string, resources: Resource[], caller: Caller): Promise<void> {
      const role = await changeable(id, caller)
      // What it has already may be named again.
      if (new Set([...role.resources, ...resources].map(keyOf)).size > maxResources) {
        throw new AppError('quota_exceeded', `a role has at most ${maxResources} resources`, { field: 'resources' })
      }
      await roles.addResources(caller.tenantId, id, resources)
    },

    async removeResources(id: string, resources: Resource[], caller: Caller): Promise<void> {
      await changeable(id, caller)
      await roles.removeResources(caller.tenantId, id, resources)
    }
  }
}

function withRole(user: User, id: string): User {
  if (id === superAdminRole.id) return { ...user, isSuperAdmin: true }
  if (user.roleIds.includes(id)) return user
  if (user.roleIds.length >= maxRolesPerUser) {
    throw new AppError('quota_exceeded', `user ${user.id} has ${maxRolesPerUser} roles already`, { field: 'user_ids' })
  }
  return { ...user, roleIds: [...user.roleIds, id] }
}

function withoutRole(user: User, id: string): User {
  if (id === superAdminRole.id) return { ...user, isSuperAdmin: false }
  return user.roleIds.includes(id) ? { ...user, roleIds: user.roleIds.filter((other) => other !== id) } : user
}

function noSuchRole(): AppError {
  return new AppError('not_found', 'there is no such role', { wireCode: 'role_does_not_exit' })
}

function isProtected(what: string): AppError {
  return new AppError('forbidden', `the role super_admin cannot be ${what}`)
}
