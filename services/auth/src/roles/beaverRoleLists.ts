import {
  BeaverPage,
  beaverCreator,
  type Caller,
  maxPageSize,
  type Route,
  route,
  type Static,
  type TSchema,
  Type,
  toBeaverCreator,
  type UserNames
} from '@fleetgate/kit'
import { ById, beaverRange, ListQuery, pageReply, sortOf, wrappedPageReply } from '../beaverLists.js'
import { memberSortKeys } from '../users/beaverMembers.js'
import type { User } from '../users/user.js'
import type { ListWish, RoleLists, Row, Rows } from './roleLists.js'

const Text = Type.Optional(Type.String())

const MemberReply = Type.Object({
  role_id: Type.String(),
  user_id: Type.String(),
  user_nickname: Type.String(),
  user_email: Type.String()
})
const OtherUser = Type.Object({ user_id: Type.String(), nickname: Type.String(), email: Type.String() })
const Integration = Type.Object({
  integration_id: Type.String(),
  integration_name: Type.String(),
  device_num: Type.Integer(),
  entity_num: Type.Integer()
})
const Dashboard = Type.Object({
  dashboard_id: Type.String(),
  dashboard_name: Type.String(),
  created_at: Text,
  ...beaverCreator
})
const Device = Type.Object({
  device_id: Type.String(),
  device_name: Type.String(),
  created_at: Text,
  integration_id: Text,
  integration_name: Text,
  ...beaverCreator
})
const RoleDevice = Type.Object({ ...Device.properties, role_integration: Type.Boolean() })

/** Members of a role have names of their own on the wire. */
const sortKeys = { ...memberSortKeys, user_email: 'email', user_nickname: 'nickname' } as const

export function roleListRoutes(lists: RoleLists): Route[] {
  const { granted, undistributed } = lists
  return [
    ...memberRoutes(lists),
    namedRoute('integrations', 'Integrations that a role has', Integration, {
      find: (wish, caller) => granted('INTEGRATION', wish, caller),
      toReply: toIntegration
    }),
    namedRoute('devices', 'Devices that a role has, itself or by their integration', RoleDevice, {
      find: (wish, caller) => granted('DEVICE', wish, caller),
      toReply: (row, creators) => ({ ...toDevice(row, creators), role_integration: !row.isDirect })
    }),
    namedRoute('dashboards', 'Dashboards that a role has', Dashboard, {
      find: (wish, caller) => granted('DASHBOARD', wish, caller),
      toReply: toDashboard
    }),
    namedRoute('undistributed-integrations', 'Integrations that a role does not have', Integration, {
      find: (wish, caller) => undistributed('INTEGRATION', wish, caller),
      toReply: toIntegration
    }),
    namedRoute('undistributed-devices', 'Devices that a role does not have', Device, {
      find: (wish, caller) => undistributed('DEVICE', wish, caller),
      toReply: toDevice
    }),
    namedRoute('undistributed-dashboards', 'Dashboards that a role does not have', Dashboard, {
      find: (wish, caller) => undistributed('DASHBOARD', wish, caller),
      toReply: toDashboard
    })
  ]
}

interface NamedList<S extends TSchema> {
  find: (wish: ListWish, caller: Caller) => Promise<Rows>
  toReply: (row: Row, creators: UserNames) => Static<S>
}

function namedRoute<S extends TSchema>(name: string, summary: string, item: S, { find, toReply }: NamedList<S>): Route {
  return route({
    method: 'post',
    path: `/user/roles/:id/${name}`,
    summary,
    needs: 'signedIn',
    params: ById,
    body: ListQuery,
    reply: BeaverPage(Type.Unsafe<unknown>(item)),
    handle: async ({ params, body, caller }) => {
      const found = await find({ id: params.id, keyword: body.keyword, range: beaverRange(body) }, caller)
      return wrappedPageReply(body, { ...found, items: found.items.map((row) => toReply(row, found.creators)) })
    }
  })
}

function memberRoutes(lists: RoleLists): Route[] {
  return [
    route({
      method: 'get',
      path: '/user/roles/:id/members',
      summary: `The users of a role, the newest ${maxPageSize}, as a plain list`,
      needs: 'signedIn',
      params: ById,
      reply: Type.Array(MemberReply),
      handle: async ({ params, caller }) => {
        const wish = { id: params.id, keyword: '', range: { offset: 0, limit: maxPageSize }, sort: [] }
        return (await lists.members(wish, caller)).items.map((user) => toMember(params.id, user))
      }
    }),
    route({
      method: 'post',
      path: '/user/roles/:id/members',
      summary: 'The users of a role, in pages',
      needs: 'signedIn',
      params: ById,
      body: ListQuery,
      reply: BeaverPage(MemberReply),
      handle: async ({ params, body, caller }) => {
        const wish = { id: params.id, keyword: body.keyword, range: beaverRange(body), sort: sortOf(sortKeys, body) }
        const { items, total } = await lists.members(wish, caller)
        return pageReply(body, { items: items.map((user) => toMember(params.id, user)), total })
      }
    }),
    route({
      method: 'post',
      path: '/user/roles/:id/undistributed-users',
      summary: 'Users who do not have a role',
      needs: 'signedIn',
      params: ById,
      body: ListQuery,
      reply: BeaverPage(OtherUser),
      handle: async ({ params, body, caller }) => {
        const wish = { id: params.id, keyword: body.keyword, range: beaverRange(body), sort: sortOf(sortKeys, body) }
        const found = await lists.otherUsers(wish, caller)
        return wrappedPageReply(body, { ...found, items: found.items.map(toOtherUser) })
      }
    })
  ]
}

function toMember(roleId: string, { id, nickname, email }: User): Static<typeof MemberReply> {
  return { role_id: roleId, user_id: id, user_nickname: nickname, user_email: email }
}

function toOtherUser({ id, nickname, email }: User): Static<typeof OtherUser> {
  return { user_id: id, nickname, email }
}

function toIntegration({ id, name, deviceCount = 0, entityCount = 0 }: Row): Static<typeof Integration> {
  return { integration_id: id, integration_name: name, device_num: deviceCount, entity_num: entityCount }
}

function toDashboard(row: Row, creators: UserNames): Static<typeof Dashboard> {
  return { dashboard_id: row.id, dashboard_name: row.name, ...createdBy(row, creators) }
}

function toDevice(row: Row, creators: UserNames): Static<typeof Device> {
  return {
    device_id: row.id,
    device_name: row.name,
    integration_id: row.parentId,
    integration_name: row.parentName,
    ...createdBy(row, creators)
  }
}

function createdBy({ createdAt, userId }: Row, creators: UserNames) {
  return {
    created_at: createdAt === undefined ? undefined : String(createdAt),
    ...toBeaverCreator(userId, creators)
  }
}
