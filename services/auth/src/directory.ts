import { type Bus, type Log, listNames, type Route } from '@fleetgate/kit'
import type { Audit } from './audit/audit.js'
import { menuRoutes } from './menus/beaver.js'
import type { MenuStore } from './menus/menuStore.js'
import { createMenus } from './menus/menus.js'
import type { PasswordPool } from './passwords/passwordPool.js'
import { roleRoutes } from './roles/beaver.js'
import { roleListRoutes } from './roles/beaverRoleLists.js'
import { createGrants } from './roles/grants.js'
import { createNames } from './roles/names.js'
import { createRoleLists } from './roles/roleLists.js'
import type { RoleStore } from './roles/roleStore.js'
import { createRoles } from './roles/roles.js'
import { createMembers } from './users/members.js'
import type { NamesOf } from './users/userNames.js'
import type { UserStore } from './users/userStore.js'

/** Menus that one tenant may add. */
const maxMenus = 500

export interface DirectoryOptions {
  users: UserStore
  namesOf: NamesOf
  roles: RoleStore
  menus: MenuStore
  passwords: PasswordPool
  audit: Audit
  bus: Pick<Bus, 'request'>
  log: Log
  now: () => number
}

export type Directory = ReturnType<typeof createDirectory>

/** People, roles and menus, wired. */
export function createDirectory({ users, namesOf, passwords, audit, bus, log, now, ...stores }: DirectoryOptions) {
  const names = createNames({ ask: (question) => bus.request(listNames, question), log })
  const menus = createMenus({ menus: stores.menus, roles: stores.roles, max: maxMenus, now })
  const roles = createRoles({ roles: stores.roles, users, menus, now })
  const grants = createGrants({ roles: stores.roles, users, names, audit })
  return {
    menus,
    roles,
    grants,
    lists: createRoleLists({ roles, users, namesOf, names }),
    members: createMembers({ users, roles: stores.roles, menus, grants, passwords })
  }
}

/** Of roles and menus; people have their own. */
export function directoryRoutes({ menus, roles, lists }: Directory): Route[] {
  return [...menuRoutes(menus), ...roleRoutes(roles, lists), ...roleListRoutes(lists)]
}
