import { BeaverPage, beaverPaging, oneOf, type Route, resourceTypes, route, type Static, Type } from '@fleetgate/kit'
import { ById, beaverRange, Keyword, NumericId, pageReply, ResourceId, sortOf } from '../beaverLists.js'
import { MenuReply, toMenuReply } from '../menus/beaver.js'
import type { SortKey } from './memberQueries.js'
import type { Member, Members } from './members.js'
import { Email, Nickname, Password, Person } from './person.js'
import type { Users } from './users.js'

export const RoleNames = Type.Optional(Type.Array(Type.Object({ role_id: Type.String(), role_name: Type.String() })))

const statuses = ['ENABLED', 'DISABLED'] as const
export const UserStatus = oneOf(statuses)

const MemberReply = Type.Object({
  tenant_id: Type.String(),
  user_id: Type.String(),
  nickname: Type.String(),
  email: Type.String(),
  created_at: Type.String(),
  status: UserStatus,
  roles: RoleNames
})

const Search = Type.Object({ keyword: Keyword, ...beaverPaging })
export const memberSortKeys: Record<string, SortKey> = {
  created_at: 'createdAt',
  createdAt: 'createdAt',
  email: 'email',
  nickname: 'nickname'
}

export function memberRoutes(users: Users, members: Members): Route[] {
  return [
    ...lookRoutes(members),
    ...changeRoutes(members),
    route({
      method: 'post',
      path: '/user/members',
      summary: 'Create a user without roles',
      needs: 'signedIn',
      body: Type.Object(Person),
      reply: Type.Object({ user_id: Type.String() }),
      handle: async ({ body, caller }) => ({ user_id: await users.addMember(body, caller) })
    }),
    route({
      method: 'delete',
      path: '/user/members/:id',
      summary: 'Delete a user; unknown ids are passed over',
      needs: 'signedIn',
      params: ById,
      handle: ({ params, caller }) => users.remove([params.id], caller)
    }),
    route({
      method: 'post',
      path: '/user/batch-delete',
      summary: 'Delete users; unknown ids are passed over',
      needs: 'signedIn',
      body: Type.Object({ user_id_list: Type.Array(NumericId, { maxItems: 1000 }) }),
      handle: ({ body, caller }) => users.remove(body.user_id_list.map(String), caller)
    })
  ]
}

function lookRoutes(members: Members): Route[] {
  return [
    route({
      method: 'post',
      path: '/user/members/search',
      summary: 'Users whose nickname or e-mail address contains the keyword',
      needs: 'signedIn',
      body: Search,
      reply: BeaverPage(MemberReply),
      handle: async ({ body, caller }) => {
        const page = { ...beaverRange(body), sort: sortOf(memberSortKeys, body) }
        const { items, total } = await members.search({ keyword: body.keyword }, page, caller)
        return pageReply(body, { items: items.map(toMember), total })
      }
    }),
    route({
      method: 'get',
      path: '/user/members/:id/menus',
      summary: 'The menus of a user with everything above them, flat; all of them for a super admin',
      needs: 'signedIn',
      params: ById,
      reply: Type.Array(MenuReply),
      handle: async ({ params, caller }) => (await members.menusOf(params.id, caller)).map(toMenuReply)
    }),
    route({
      method: 'post',
      path: '/user/members/:id/permission',
      summary: 'Whether a user has a resource; false for unknown users',
      needs: 'signedIn',
      params: ById,
      body: Type.Object({ resource_type: oneOf(resourceTypes), resource_id: ResourceId }),
      reply: Type.Object({ has_permission: Type.Boolean() }),
      handle: async ({ params, body, caller }) => {
        const resource = { id: String(body.resource_id), type: body.resource_type }
        return { has_permission: await members.hasPermission(params.id, resource, caller) }
      }
    })
  ]
}

function changeRoutes(members: Members): Route[] {
  return [
    route({
      method: 'put',
      path: '/user/members/:id',
      summary: 'Change the e-mail address and the nickname of a user',
      needs: 'signedIn',
      params: ById,
      body: Type.Object({ email: Email, nickname: Nickname }),
      handle: ({ params, body, caller }) => members.edit(params.id, body, caller)
    }),
    route({
      method: 'put',
      path: '/user/members/:id/change-password',
      summary: 'Set the password of a user, whose tokens all end',
      needs: 'signedIn',
      params: ById,
      body: Type.Object({ password: Password }),
      handle: ({ params, body, caller }) => members.resetPassword(params.id, body.password, caller)
    }),
    route({
      method: 'put',
      path: '/user/members/:id/status',
      summary: 'Disable a user, whose tokens all end, or enable one again',
      needs: 'signedIn',
      params: ById,
      body: Type.Object({ status: UserStatus }),
      handle: ({ params, body, caller }) => members.setEnabled(params.id, body.status === 'ENABLED', caller)
    })
  ]
}

/** `roles` is left out where there are none, as every empty thing in Beaver's answers. */
export function toMember({ user, roles }: Member): Static<typeof MemberReply> {
  return {
    tenant_id: user.tenantId,
    user_id: user.id,
    nickname: user.nickname,
    email: user.email,
    created_at: String(user.createdAt),
    status: user.isEnabled ? 'ENABLED' : 'DISABLED',
    ...(roles.length > 0 ? { roles: roles.map(({ id, name }) => ({ role_id: id, role_name: name })) } : {})
  }
}
