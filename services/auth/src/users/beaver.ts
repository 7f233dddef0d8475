import { type Route, route, type Static, TenantId, Type } from '@fleetgate/kit'
import type { Audit } from '../audit/audit.js'
import { MenuTree, toMenuNode } from '../menus/beaver.js'
import { toTree } from '../menus/menu.js'
import { memberRoutes, RoleNames, toMember, UserStatus } from './beaverMembers.js'
import type { Members } from './members.js'
import { Password, Person } from './person.js'
import type { Registration } from './registration.js'
import type { Users } from './users.js'

const TenantDraft = Type.Object({
  tenant_id: TenantId,
  name: Type.String({ minLength: 1, maxLength: 127, pattern: '\\S' }),
  ...Person
})

const MeReply = Type.Object({
  tenant_id: Type.String(),
  user_id: Type.String(),
  nickname: Type.String(),
  email: Type.String(),
  created_at: Type.String(),
  status: UserStatus,
  roles: RoleNames,
  menus: Type.Array(MenuTree),
  is_super_admin: Type.Boolean(),
  super_admin: Type.Boolean()
})

export function publicUserRoutes(registration: Registration, audit: Pick<Audit, 'done'>): Route[] {
  return [
    route({
      method: 'get',
      path: '/user/status',
      summary: 'Whether a first user exists',
      needs: 'public',
      reply: Type.Object({ init: Type.Boolean() }),
      handle: async () => ({ init: await registration.isInitialized() })
    }),
    route({
      method: 'post',
      path: '/user/register',
      summary: 'Register the first user, or any user while registration is open',
      needs: 'public',
      body: Type.Object(Person),
      handle: async ({ body: { email, ...draft }, request: { id, address } }) => {
        await registration.register({ email, ...draft }, address)
        const nobody = { tenantId: 'default', userId: '', email }
        await audit.done({ ...nobody, action: 'user.register', targets: [email], address, requestId: id })
      }
    })
  ]
}

export function userRoutes(users: Users, members: Members): Route[] {
  return [
    route({
      method: 'get',
      path: '/user',
      summary: 'Who am I',
      needs: 'signedIn',
      reply: MeReply,
      handle: async ({ caller }) => toMe(await members.profile(await users.me(caller)))
    }),
    route({
      method: 'put',
      path: '/user/password',
      summary: 'Change your own password; every token of yours ends',
      needs: 'signedIn',
      body: Type.Object({ old_password: Password, new_password: Password }),
      handle: ({ body, caller, request }) =>
        users.changePassword({ old: body.old_password, new: body.new_password, address: request.address }, caller)
    }),
    ...memberRoutes(users, members),
    route({
      method: 'post',
      path: '/user/tenants',
      summary: 'Create a tenant with its first super admin',
      needs: 'tenant.edit',
      body: TenantDraft,
      reply: Type.Object({ tenant_id: Type.String(), user_id: Type.String() }),
      handle: async ({ body: { tenant_id, ...draft }, caller }) => ({
        tenant_id,
        user_id: await users.addTenant({ ...draft, tenantId: tenant_id }, caller)
      })
    })
  ]
}

/** `is_super_admin` is the real system's name, `super_admin` the document's: both are sent. */
function toMe({ menus, ...member }: Awaited<ReturnType<Members['profile']>>): Static<typeof MeReply> {
  const isSuperAdmin = member.user.isSuperAdmin
  return {
    ...toMember(member),
    menus: toTree(menus).map(toMenuNode),
    is_super_admin: isSuperAdmin,
    super_admin: isSuperAdmin
  }
}
