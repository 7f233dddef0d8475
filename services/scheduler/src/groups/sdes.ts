import { type Route, route, type Static, sdesRange, toSdesPage } from '@fleetgate/kit'
import { Done, Success, toFlag, toRanges } from '../sdesFields.js'
import type { GroupFilter } from './groupStore.js'
import type { Groups } from './groups.js'
import { Change, Draft, GroupById, GroupPage, GroupQuery, Row, toChange, toDraft, toRow } from './sdesShapes.js'

export function groupRoutes(groups: Groups, now: () => number): Route[] {
  const setEnabled = (word: 'enable' | 'disable') =>
    route({
      method: 'put',
      path: `/v1/groups/:groupId/${word}`,
      summary:
        word === 'enable' ? 'Let a group bring its clients to jobs' : 'Keep the clients of a group from its jobs',
      needs: 'client.edit',
      params: GroupById,
      reply: Success,
      handle: async ({ params, caller }) => {
        await groups.change(caller.tenantId, params.groupId, { enabled: word === 'enable' })
        return 'success'
      }
    })

  return [
    route({
      method: 'get',
      path: '/v1/groups',
      summary: 'List groups of clients',
      needs: 'client.view',
      query: GroupQuery,
      reply: GroupPage,
      handle: ({ query, caller }) => listGroups(groups, { tenantId: caller.tenantId }, { query, now: now() })
    }),
    route({
      method: 'post',
      path: '/v1/groups',
      summary: 'Create a group: `type` 0 with chosen members, 1 with those that a query finds',
      needs: 'client.edit',
      body: Draft,
      reply: Row,
      handle: async ({ body, caller }) => toRow(await groups.register(caller.tenantId, toDraft(body)), now())
    }),
    route({
      method: 'put',
      path: '/v1/groups',
      summary: 'Change a group',
      needs: 'client.edit',
      body: Change,
      reply: Done,
      handle: async ({ body, caller }) => {
        const stored = await groups.get(caller.tenantId, body.groupId)
        await groups.change(caller.tenantId, body.groupId, toChange(body, stored))
        return { desc: null }
      }
    }),
    route({
      method: 'get',
      path: '/v1/groups/:groupId/details',
      summary: 'Read one group',
      needs: 'client.view',
      params: GroupById,
      reply: Row,
      handle: async ({ params, caller }) => toRow(await groups.get(caller.tenantId, params.groupId), now())
    }),
    route({
      method: 'delete',
      path: '/v1/groups/:groupId',
      summary: 'Delete a group; its clients stay',
      needs: 'client.edit',
      params: GroupById,
      reply: Success,
      handle: async ({ params, caller }) => {
        await groups.retire(caller.tenantId, params.groupId)
        return 'success'
      }
    }),
    setEnabled('enable'),
    setEnabled('disable')
  ]
}

export async function listGroups(
  groups: Groups,
  scope: Pick<GroupFilter, 'tenantId' | 'among'>,
  { query, now }: { query: Static<typeof GroupQuery>; now: number }
): Promise<Static<typeof GroupPage>> {
  const { groupName, groupNameContain, type } = query
  const ranges = toRanges(query, { lastEditedAt: 'lastEditedAt', createdAt: 'createAt' })
  const filter = { ...scope, groupName, groupNameContain, type, enabled: toFlag(query.enabled), ranges }
  const found = await groups.list(filter, sdesRange(query))
  return toSdesPage({ ...found, items: found.items.map((group) => toRow(group, now)) })
}
