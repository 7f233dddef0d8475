import { AppError, type Caller, newNumericId } from '@fleetgate/kit'
import type { RoleStore } from '../roles/roleStore.js'
import { requireSuperAdmin } from '../users/user.js'
import type { Menu, MenuType } from './menu.js'
import type { MenuStore } from './menuStore.js'
import { isSeeded, isSeededCode, seededMenus } from './seededMenus.js'

export interface MenuDraft {
  code: string
  name: string
  type: MenuType
  parentId?: string | undefined
}

export type Menus = ReturnType<typeof createMenus>

export interface MenusOptions {
  menus: MenuStore
  roles: RoleStore
  /** Menus that one tenant may add: they are listed in one answer. */
  max: number
  now: () => number
}

/** Menus: those of the product, the same for everybody, and those that a tenant added. */
export function createMenus({ menus, roles, max, now }: MenusOptions) {
  async function list(tenantId: string): Promise<Menu[]> {
    return [...seededMenus, ...(await menus.list(tenantId))]
  }

  async function own(id: string, caller: Caller): Promise<Menu> {
    const found = (await list(caller.tenantId)).find((menu) => menu.id === id)
    if (!found) throw new AppError('not_found', 'there is no such menu')
    if (isSeeded(id)) throw new AppError('forbidden', 'the menus of the product itself cannot be changed')
    return found
  }

  return {
    list,

    async add(draft: MenuDraft, caller: Caller): Promise<string> {
      requireSuperAdmin(caller)
      await checkDraft(draft, await list(caller.tenantId))
      if ((await menus.count(caller.tenantId)) >= max) {
        throw new AppError('quota_exceeded', `there are ${max} added menus already`)
      }
      const id = newNumericId(now())
      await menus.insert(caller.tenantId, { id, ...draft })
      return id
    },

    async update(id: string, change: { name: string; type: MenuType }, caller: Caller): Promise<void> {
      requireSuperAdmin(caller)
      const { parentId } = await own(id, caller)
      checkParent(change.type, parentId)
      if (!(await menus.update(caller.tenantId, id, change))) throw new AppError('not_found', 'there is no such menu')
    },

    /** Roles lose it; what stands below it stays. */
    async remove(id: string, caller: Caller): Promise<void> {
      requireSuperAdmin(caller)
      await own(id, caller)
      await menus.remove(caller.tenantId, id)
      await roles.dropMenu(caller.tenantId, id)
    }
  }
}

async function checkDraft({ code, type, parentId }: MenuDraft, all: Menu[]): Promise<void> {
  checkParent(type, parentId)
  if (isSeededCode(code)) throw new AppError('conflict', 'a menu with this code exists', { field: 'code' })
  if (parentId !== undefined && !all.some(({ id }) => id === parentId)) {
    throw new AppError('invalid_input', 'parent_id names no menu', { field: 'parent_id' })
  }
}

function checkParent(type: MenuType, parentId: string | undefined): void {
  if (type === 'FUNCTION' && parentId === undefined) {
    throw new AppError('invalid_input', 'parent_id is required: a FUNCTION stands below a menu', { field: 'parent_id' })
  }
}
