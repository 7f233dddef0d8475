import type { listGrants, listRoleCodes, ResourceType, RolesAnswer, Static } from '@fleetgate/kit'
import type { Audit } from '../audit/audit.js'
import { codesOf } from '../menus/seededMenus.js'
import type { UserStore } from '../users/userStore.js'
import type { Names } from './names.js'
import { type Resource, type Role, superAdminRole } from './role.js'
import type { RoleStore } from './roleStore.js'

/** A NATS message holds a megabyte, and a resource takes 200 bytes of it at most. */
const grantsAtOnce = 4000

export interface GrantsOptions {
  roles: RoleStore
  users: UserStore
  names: Names
  audit: Pick<Audit, 'around'>
}

interface Found {
  email: string
  isEnabled: boolean
  isSuperAdmin: boolean
  roles: Role[]
}

export type Grants = ReturnType<typeof createGrants>

/** What roles grant to their users, as other services ask for it. */
export function createGrants({ roles, users, names, audit }: GrantsOptions) {
  async function rolesOf(tenantId: string, userId: string): Promise<Found> {
    const user = await users.find(tenantId, userId)
    if (!user) return { email: '', isEnabled: false, isSuperAdmin: false, roles: [] }
    return {
      email: user.email,
      isEnabled: user.isEnabled,
      isSuperAdmin: user.isSuperAdmin,
      roles: await roles.findMany(tenantId, user.roleIds)
    }
  }

  return {
    async list(question: Static<typeof listGrants.request>): Promise<Static<typeof listGrants.reply>> {
      const { tenantId, userId, types, offset } = question
      const found = await rolesOf(tenantId, userId)
      // What such a user has shared with others is to be seen no more than the user's own.
      if (!found.isEnabled) return { all: false, resources: [], roleIds: [] }
      const roleIds = found.roles.map(({ id }) => id)
      if (found.isSuperAdmin) return { all: true, resources: [], roleIds: [superAdminRole.id, ...roleIds] }
      const all = union(found.roles, types)
      const end = offset + grantsAtOnce
      const next = end < all.length ? { next: end } : {}
      return { all: false, resources: all.slice(offset, end), roleIds, ...next }
    },

    async listRoleCodes({
      after = '',
      limit = 500
    }: Partial<Static<typeof listRoleCodes.request>>): Promise<RolesAnswer> {
      const found = await roles.listAfter(after, limit)
      const next = found.length === limit ? found.at(-1)?.docId : undefined
      return {
        roles: found.map(({ role: { id, tenantId, menuIds, revision } }) => ({
          roleId: id,
          tenantId,
          codes: codesOf(menuIds),
          revision
        })),
        ...(next === undefined ? {} : { next })
      }
    },

    /** A device counts as granted where its integration is; other types by their own grant only. */
    async has(tenantId: string, userId: string, resource: Resource): Promise<boolean> {
      const found = await rolesOf(tenantId, userId)
      if (found.isSuperAdmin || isAmong(found.roles, resource)) return true
      if (resource.type !== 'DEVICE' || found.roles.length === 0) return false
      const integration = await names.parentOf(tenantId, 'DEVICE', resource.id)
      return integration !== undefined && isAmong(found.roles, { id: integration, type: 'INTEGRATION' })
    },

    /** The roles of whoever created a resource are granted it; only what changes is recorded. */
    async grantToCreator(tenantId: string, userId: string, resource: Resource): Promise<void> {
      const found = await rolesOf(tenantId, userId)
      const lacking = found.roles.filter((role) => !isAmong([role], resource)).map(({ id }) => id)
      if (lacking.length === 0) return
      const { email } = found
      const deed = { ...unasked, tenantId, userId, email, action: 'role.associate-resource' }
      await audit.around({ ...deed, targets: [...lacking, resource.id] }, () =>
        Promise.all(lacking.map((id) => roles.addResources(tenantId, id, [resource])))
      )
    },

    /** What is deleted leaves every role. Who deleted it is not told: the record names nobody. */
    async drop(tenantId: string, resource: Resource): Promise<void> {
      const having = await roles.idsWith(tenantId, resource)
      if (having.length === 0) return
      const deed = { ...unasked, tenantId, userId: '', email: '', action: 'role.disassociate-resource' }
      await audit.around({ ...deed, targets: [...having, resource.id] }, () => roles.dropResource(tenantId, resource))
    }
  }
}

/** Nobody asked for it by a request of their own. */
const unasked = { address: '', requestId: '' }

function isAmong(roles: Role[], { id, type }: Resource): boolean {
  return roles.some(({ resources }) => resources.some((own) => own.id === id && own.type === type))
}

function union(roles: Role[], types: readonly ResourceType[] | undefined): Resource[] {
  const found = new Map<string, Resource>()
  for (const { resources } of roles) {
    for (const resource of resources) {
      if (!types || types.includes(resource.type)) found.set(`${resource.type}:${resource.id}`, resource)
    }
  }
  return [...found.values()]
}
