import { BeaverPage, beaverPaging, oneOf, type Route, resourceTypes, route, type Static, Type } from '@fleetgate/kit'
import { ById, beaverRange, ListQuery, NumericId, pageReply, ResourceId, sortOf } from '../beaverLists.js'
import { MenuReply, toMenuReply } from '../menus/beaver.js'
import type { Resource, Role } from './role.js'
import { idsOf } from './role.js'
import type { RoleLists } from './roleLists.js'
import type { RoleSortKey } from './roleStore.js'
import { maxResources, type Roles } from './roles.js'

const Name = Type.String({ minLength: 1, maxLength: 127, pattern: '\\S' })
/** null is the web client's way to leave it out. */
const Description = Type.Optional(Type.Unsafe<string | null>({ type: ['string', 'null'], maxLength: 255 }))
const Draft = Type.Object({ name: Name, description: Description })
const Resources = Type.Object({
  resources: Type.Array(Type.Object({ id: ResourceId, type: oneOf(resourceTypes) }), { minItems: 1, maxItems: 1000 })
})
const UserIds = Type.Object({ user_ids: Type.Array(NumericId, { maxItems: 1000 }) })

const RoleReply = Type.Object({
  role_id: Type.String(),
  name: Type.String(),
  description: Type.Optional(Type.String()),
  created_at: Type.String(),
  user_role_count: Type.Integer(),
  role_integration_count: Type.Integer()
})

const roleSortKeys: Record<string, RoleSortKey> = { name: 'name', created_at: 'createdAt', createdAt: 'createdAt' }
const resourceSortKeys: Record<string, 'id' | 'type'> = {
  resource_id: 'id',
  resourceId: 'id',
  resource_type: 'type',
  resourceType: 'type'
}

export function roleRoutes(roles: Roles, lists: RoleLists): Route[] {
  return [...ownRoutes(roles), ...menuRoutes(roles), ...resourceRoutes(roles, lists), ...userRoutes(roles)]
}

function ownRoutes(roles: Roles): Route[] {
  return [
    route({
      method: 'post',
      path: '/user/roles',
      summary: 'Create a role',
      needs: 'signedIn',
      body: Draft,
      reply: Type.Object({ role_id: Type.String() }),
      handle: async ({ body, caller }) => ({
        role_id: await roles.add({ name: body.name, description: body.description ?? '' }, caller)
      })
    }),
    route({
      method: 'put',
      path: '/user/roles/:id',
      summary: 'Change name and description of a role',
      needs: 'signedIn',
      params: ById,
      body: Draft,
      handle: ({ params, body, caller }) => roles.rename(params.id, toChange(body), caller)
    }),
    route({
      method: 'delete',
      path: '/user/roles/:id',
      summary: 'Delete a role that no user has',
      needs: 'signedIn',
      params: ById,
      handle: ({ params, caller }) => roles.remove(params.id, caller)
    }),
    route({
      method: 'post',
      path: '/user/roles/search',
      summary: 'Roles whose name contains the keyword, newest first',
      needs: 'signedIn',
      body: ListQuery,
      reply: BeaverPage(RoleReply),
      handle: async ({ body, caller }) => {
        const page = { ...beaverRange(body), sort: sortOf(roleSortKeys, body) }
        const { items, total } = await roles.search(body.keyword, page, caller)
        return pageReply(body, { items: items.map(({ role, users }) => toReply(role, users)), total })
      }
    })
  ]
}

function menuRoutes(roles: Roles): Route[] {
  return [
    route({
      method: 'get',
      path: '/user/roles/:id/menus',
      summary: 'The menus of a role, flat; super_admin has all',
      needs: 'signedIn',
      params: ById,
      reply: Type.Array(MenuReply),
      handle: async ({ params, caller }) => (await roles.menusOf(params.id, caller)).map(toMenuReply)
    }),
    route({
      method: 'post',
      path: '/user/roles/:id/associate-menu',
      summary: 'Replace the menus of a role; unknown ids are passed over',
      needs: 'signedIn',
      params: ById,
      body: Type.Object({ menu_ids: Type.Array(NumericId, { maxItems: 1000 }) }),
      handle: ({ params, body, caller }) => roles.setMenus(params.id, body.menu_ids.map(String), caller)
    })
  ]
}

function resourceRoutes(roles: Roles, lists: RoleLists): Route[] {
  return [
    route({
      method: 'post',
      path: '/user/roles/:id/resources',
      summary: 'The resources of a role',
      needs: 'signedIn',
      params: ById,
      body: Type.Object({ resource_type: Type.Optional(oneOf(resourceTypes)), ...beaverPaging }),
      reply: BeaverPage(Type.Object({ resource_id: Type.String(), resource_type: oneOf(resourceTypes) })),
      handle: async ({ params, body, caller }) => {
        const sort = sortOf(resourceSortKeys, body)
        const wish = { id: params.id, range: beaverRange(body), type: body.resource_type, sort }
        const { items, total } = await lists.resources(wish, caller)
        return pageReply(body, {
          items: items.map(({ id, type }) => ({ resource_id: id, resource_type: type })),
          total
        })
      }
    }),
    route({
      method: 'post',
      path: '/user/roles/:id/associate-resource',
      summary: `Grant resources to a role, ${maxResources} at most`,
      needs: 'signedIn',
      params: ById,
      body: Resources,
      handle: ({ params, body, caller }) => roles.addResources(params.id, body.resources.map(toResource), caller)
    }),
    route({
      method: 'post',
      path: '/user/roles/:id/disassociate-resource',
      summary: 'Take resources from a role',
      needs: 'signedIn',
      params: ById,
      body: Resources,
      handle: ({ params, body, caller }) => roles.removeResources(params.id, body.resources.map(toResource), caller)
    })
  ]
}

function userRoutes(roles: Roles): Route[] {
  return [
    route({
      method: 'post',
      path: '/user/roles/:id/associate-user',
      summary: 'Give a role to users; unknown ids are passed over',
      needs: 'signedIn',
      params: ById,
      body: UserIds,
      handle: ({ params, body, caller }) => roles.addUsers(params.id, body.user_ids.map(String), caller)
    }),
    route({
      method: 'post',
      path: '/user/roles/:id/disassociate-user',
      summary: 'Take a role from users',
      needs: 'signedIn',
      params: ById,
      body: UserIds,
      handle: ({ params, body, caller }) => roles.removeUsers(params.id, body.user_ids.map(String), caller)
    })
  ]
}

function toChange({ name, description }: Static<typeof Draft>) {
  return { name, ...(typeof description === 'string' ? { description } : {}) }
}

function toResource({ id, type }: Static<typeof Resources>['resources'][number]): Resource {
  return { id: String(id), type }
}

function toReply(role: Role, users: number): Static<typeof RoleReply> {
  return {
    role_id: role.id,
    name: role.name,
    ...(role.description ? { description: role.description } : {}),
    created_at: String(role.createdAt),
    user_role_count: users,
    role_integration_count: idsOf(role, 'INTEGRATION').length
  }
}
