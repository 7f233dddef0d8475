import type { Caller, Range, ResourceType, UserNames } from '@fleetgate/kit'
import type { Sort } from '../users/memberQueries.js'
import type { NamesOf } from '../users/userNames.js'
import type { UserStore } from '../users/userStore.js'
import type { Named, Names } from './names.js'
import { idsOf, type Resource, type Role } from './role.js'
import type { Roles } from './roles.js'

export interface ListWish {
  id: string
  keyword: string
  range: Range
}

export interface PeopleWish extends ListWish {
  sort: Sort
}

export interface ResourceWish extends Omit<ListWish, 'keyword'> {
  type?: ResourceType | undefined
  sort: [keyof Resource, 1 | -1][]
}

export type OwnedType = 'DEVICE' | 'DASHBOARD' | 'INTEGRATION'

export interface Row extends Named {
  /** The role has it itself, not by what stands above it. */
  isDirect: boolean
}

export interface Rows {
  items: Row[]
  creators: UserNames
  total: number
  offset: number
}

export interface RoleListsOptions {
  roles: Roles
  users: UserStore
  namesOf: NamesOf
  names: Names
}

export type RoleLists = ReturnType<typeof createRoleLists>

/** What a role has and what it lacks. Names of what other services own come by one look-up per list. */
export function createRoleLists({ roles, users, namesOf, names }: RoleListsOptions) {
  async function list(which: 'among' | 'except', type: OwnedType, wish: ListWish, caller: Caller): Promise<Rows> {
    const role = await roles.find(wish.id, caller)
    const { tenantId } = caller
    const selection = {
      tenantId,
      type,
      keyword: wish.keyword,
      ids: idsOf(role, type),
      parentIds: parentsOf(role, type)
    }
    const { items, ...place } = await names[which](selection, wish.range)
    const direct = new Set(selection.ids)
    const creators = await namesOf(
      tenantId,
      items.flatMap(({ userId }) => userId ?? [])
    )
    return { items: items.map((item) => ({ ...item, isDirect: direct.has(item.id) })), creators, ...place }
  }

  return {
    granted: (type: OwnedType, wish: ListWish, caller: Caller) => list('among', type, wish, caller),
    undistributed: (type: OwnedType, wish: ListWish, caller: Caller) => list('except', type, wish, caller),

    async members({ id, keyword, range, sort }: PeopleWish, caller: Caller) {
      await roles.find(id, caller)
      return users.search(caller.tenantId, { keyword, withRole: id }, { ...range, sort })
    },

    async otherUsers({ id, keyword, range, sort }: PeopleWish, caller: Caller) {
      await roles.find(id, caller)
      const found = await users.search(caller.tenantId, { keyword, withoutRole: id }, { ...range, sort })
      if (found.items.length > 0 || found.total === 0) return { ...found, offset: range.offset }
      const first = { ...range, sort, offset: 0 }
      return { ...(await users.search(caller.tenantId, { keyword, withoutRole: id }, first)), offset: 0 }
    },

    async resources({ id, range, type, sort }: ResourceWish, caller: Caller) {
      const role = await roles.find(id, caller)
      const all: Resource[] = type ? role.resources.filter((resource) => resource.type === type) : role.resources
      const { offset, limit } = range
      return { items: inOrder(all, sort).slice(offset, offset + limit), total: all.length }
    }
  }
}

/** Granted integrations cover their devices. */
function parentsOf(role: Role, type: OwnedType): string[] {
  return type === 'DEVICE' ? idsOf(role, 'INTEGRATION') : []
}

/** All of a role's resources are in its document. */
function inOrder(resources: Resource[], sort: ResourceWish['sort']): Resource[] {
  return [...resources].sort((a, b) => {
    const [key, direction] = sort.find(([field]) => a[field] !== b[field]) ?? []
    return key && direction ? direction * (a[key] < b[key] ? -1 : 1) : 0
  })
}
