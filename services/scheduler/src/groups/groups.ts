import { AppError } from '@fleetgate/kit'
import type { Page, PageOf } from '@fleetgate/store'
import type { AttributeStore } from '../attributes/attributeStore.js'
import type { MemberStore } from '../clients/memberStore.js'
import { checkGroup, type Group, type GroupDraft, isQuery, maxQueryGroups, refuseOtherType } from './group.js'
import type { GroupFilter, GroupStore } from './groupStore.js'
import { type MemberFilter, memberFilter } from './memberFilter.js'

export interface GroupsDeps {
  store: GroupStore
  clients: MemberStore
  attributes: AttributeStore
  now: () => number
  /** Takes a group out of the jobs that it is bound to. */
  unbind: (tenantId: string, groupId: number) => Promise<void>
}

export interface Groups {
  register(tenantId: string, draft: GroupDraft): Promise<Group>
  get(tenantId: string, groupId: number): Promise<Group>
  list(filter: GroupFilter, page: Page): Promise<PageOf<Group>>
  change(tenantId: string, groupId: number, change: Partial<GroupDraft>): Promise<void>
  retire(tenantId: string, groupId: number): Promise<void>
  /** Who belongs to a group now, enabled or not. */
  members(group: Group): Promise<MemberFilter>
  /** Who belongs to any of those of the groups that are enabled. */
  membersOfAny(tenantId: string, groupIds: readonly number[]): Promise<MemberFilter[]>
  /** The machines of these groups as they are now, each with the first of the groups that brings it; disabled ones bring none. */
  broughtBy(tenantId: string, groupIds: readonly number[]): Promise<Map<number, number>>
  enabledAmong(tenantId: string, groupIds: readonly number[]): Promise<Set<number>>
  /** The groups of each of the clients, static ones and those whose query matches; every client has an entry. */
  groupIdsOf(tenantId: string, clientIds: readonly number[]): Promise<Map<number, number[]>>
  countMembers(groups: readonly Group[]): Promise<Map<number, number>>
}

export function createGroups({ store, clients, attributes, now, unbind }: GroupsDeps): Groups {
  async function get(tenantId: string, groupId: number): Promise<Group> {
    return (await store.find(tenantId, groupId)) ?? missing(groupId)
  }

  async function filtersOf(tenantId: string, groups: readonly Group[]): Promise<MemberFilter[]> {
    const names = groups.filter(isAsked).map(({ queryProperty }) => queryProperty)
    const defaults = await attributes.defaultsOf(tenantId, names)
    return groups.map((group) => memberFilter(group, defaults))
  }

  async function membersOfAny(tenantId: string, groupIds: readonly number[]): Promise<MemberFilter[]> {
    const found = groupIds.length > 0 ? await store.findMany(tenantId, groupIds) : []
    return filtersOf(
      tenantId,
      found.filter(({ enabled }) => enabled)
    )
  }

  /** Static groups are one question, since their members carry their ids; a query is one for itself. */
  async function membersOfEach(tenantId: string, groups: readonly Group[]): Promise<Map<number, number[]>> {
    const members = new Map<number, number[]>(groups.map(({ groupId }) => [groupId, []]))
    const [queries, statics] = [groups.filter(isAsked), groups.filter((group) => !isAsked(group))]
    const ids = statics.map(({ groupId }) => groupId)
    for (const { clientId, groupIds } of await clients.staticMembers(tenantId, ids)) {
      for (const groupId of groupIds) members.get(groupId)?.push(clientId)
    }
    const filters = await filtersOf(tenantId, queries)
    for (const [i, { groupId }] of queries.entries()) {
      members.set(groupId, await clients.idsWhere(tenantId, [filters[i] ?? {}]))
    }
    return members
  }

  async function refuseTooMany(tenantId: string): Promise<void> {
    const { total } = await store.list({ tenantId, type: isQuery }, { offset: 0, limit: 0 })
    if (total >= maxQueryGroups) throw new AppError('quota_exceeded', `there can be ${maxQueryGroups} query groups`)
  }

  return {
    get,
    membersOfAny,
    list: (filter, page) => store.list(filter, page),

    async register(tenantId, draft) {
      checkGroup(draft)
      if (draft.type === isQuery) await refuseTooMany(tenantId)
      return store.insert(tenantId, draft, now())
    },

    async change(tenantId, groupId, change) {
      const group = await get(tenantId, groupId)
      refuseOtherType(group, change.type)
      checkGroup({ ...group, ...change })
      const query = ['queryProperty', 'queryOperation', 'queryValue'] as const
      const isOtherQuery = query.some((field) => change[field] !== undefined && change[field] !== group[field])
      if (await store.update(group, change, { now: now(), isOtherQuery })) return
      throw new AppError('conflict', `group ${groupId} was changed meanwhile, read it again`)
    },

    async retire(tenantId, groupId) {
      await get(tenantId, groupId)
      await unbind(tenantId, groupId)
      if (!(await store.remove(tenantId, groupId))) missing(groupId)
      await clients.leaveGroup(tenantId, groupId)
    },

    async members(group) {
      const [filter = {}] = await filtersOf(group.tenantId, [group])
      return filter
    },

    async broughtBy(tenantId, groupIds) {
      const found = await store.findMany(tenantId, groupIds)
      const active = groupIds.flatMap((id) => found.find(({ groupId, enabled }) => groupId === id && enabled) ?? [])
      const members = await membersOfEach(tenantId, active)
      // The first group in the order of binding comes last, and stays.
      return new Map(
        active.toReversed().flatMap(({ groupId }) => (members.get(groupId) ?? []).map((id) => [id, groupId]))
      )
    },

    async enabledAmong(tenantId, groupIds) {
      const found = await store.findMany(tenantId, groupIds)
      return new Set(found.filter(({ enabled }) => enabled).map(({ groupId }) => groupId))
    },

    async groupIdsOf(tenantId, clientIds) {
      const queries = await store.findQueryGroups(tenantId)
      const filters = await filtersOf(tenantId, queries)
      const rules = queries.map(({ groupId }, i) => ({ groupId, filter: filters[i] ?? {} }))
      return clients.groupIdsOf(tenantId, clientIds, rules)
    },

    async countMembers(groups) {
      const counts = new Map<number, number>()
      const [tenantId = ''] = groups.map((group) => group.tenantId)
      const filters = await filtersOf(tenantId, groups)
      for (const [i, { groupId }] of groups.entries()) {
        counts.set(groupId, await clients.countWhere(tenantId, [filters[i] ?? {}]))
      }
      return counts
    }
  }
}

function isAsked({ type }: Group): boolean {
  return type === isQuery
}

function missing(groupId: number): never {
  throw new AppError('not_found', `group ${groupId} not found`)
}
