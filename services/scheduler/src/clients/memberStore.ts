import type { QueryFilter, UpdateQuery } from '@fleetgate/store'
import type { MemberFilter } from '../groups/memberFilter.js'
import type { Client } from './client.js'
import { anyOf, type ClientStore } from './clientStore.js'

/** A query group and the condition of its members. */
export interface GroupRule {
  groupId: number
  filter: MemberFilter
}

/** Clients as members of groups. */
export interface MemberStore {
  /** In order of their number, each once. */
  idsWhere(tenantId: string, conditions: readonly MemberFilter[]): Promise<number[]>
  /** Of each member of these static groups all its static groups. */
  staticMembers(tenantId: string, groupIds: readonly number[]): Promise<{ clientId: number; groupIds: number[] }[]>
  countWhere(tenantId: string, conditions: readonly MemberFilter[]): Promise<number>
  /** The static groups of each client, and those of the rules that match it. */
  groupIdsOf(
    tenantId: string,
    clientIds: readonly number[],
    rules: readonly GroupRule[]
  ): Promise<Map<number, number[]>>
  link(tenantId: string, clientIds: readonly number[], groupIds: readonly number[]): Promise<void>
  unlink(tenantId: string, clientIds: readonly number[], groupIds: readonly number[]): Promise<void>
  leaveGroup(tenantId: string, groupId: number): Promise<void>
}

/** So many questions in one request to the database. */
const facetsAtOnce = 100

export function createMemberStore({ model }: Pick<ClientStore, 'model'>): MemberStore {
  const amongClients = (tenantId: string, ids: readonly number[]) => ({ tenantId, clientId: { $in: [...ids] } })
  const toQuery = (tenantId: string, conditions: readonly MemberFilter[]) =>
    ({ tenantId, ...anyOf(conditions) }) as QueryFilter<Client>

  async function matchesOf(
    tenantId: string,
    clientIds: readonly number[],
    rules: readonly GroupRule[]
  ): Promise<Record<string, { clientId: number }[]>> {
    const project = { $project: { _id: 0, clientId: 1 } } as const
    const facets = rules.map(({ groupId, filter }) => [`g${groupId}`, [{ $match: filter }, project]])
    const [found] = await model.aggregate<Record<string, { clientId: number }[]>>([
      { $match: amongClients(tenantId, clientIds) },
      { $facet: Object.fromEntries(facets) }
    ])
    return found ?? {}
  }

  return {
    async idsWhere(tenantId, conditions) {
      if (conditions.length === 0) return []
      const query = model.find(toQuery(tenantId, conditions), { _id: 0, clientId: 1 }).sort({ clientId: 1 })
      return (await query.lean()).map(({ clientId }) => clientId)
    },

    async staticMembers(tenantId, groupIds) {
      if (groupIds.length === 0) return []
      const filter = toQuery(tenantId, [{ groupIds: { $in: [...groupIds] } }])
      const found = await model.find(filter, { _id: 0, clientId: 1, groupIds: 1 }).lean()
      return found.map(({ clientId, groupIds: own = [] }) => ({ clientId, groupIds: own }))
    },

    countWhere: async (tenantId, conditions) =>
      conditions.length === 0 ? 0 : model.countDocuments(toQuery(tenantId, conditions)),

    async groupIdsOf(tenantId, clientIds, rules) {
      const found = await model.find(amongClients(tenantId, clientIds), { _id: 0, clientId: 1, groupIds: 1 }).lean()
      // An index that holds all that is asked for answers null where a field is absent.
      const groups = new Map(found.map(({ clientId, groupIds }) => [clientId, [...(groupIds ?? [])]]))
      for (let i = 0; i < rules.length; i += facetsAtOnce) {
        const some = rules.slice(i, i + facetsAtOnce)
        const matches = await matchesOf(tenantId, clientIds, some)
        for (const { groupId } of some) {
          for (const { clientId } of matches[`g${groupId}`] ?? []) groups.get(clientId)?.push(groupId)
        }
      }
      return groups
    },

    async link(tenantId, clientIds, groupIds) {
      const change = { $addToSet: { groupIds: { $each: [...groupIds] } } } as UpdateQuery<Client>
      await model.updateMany(amongClients(tenantId, clientIds), change)
    },

    async unlink(tenantId, clientIds, groupIds) {
      const change = { $pull: { groupIds: { $in: [...groupIds] } } } as UpdateQuery<Client>
      await model.updateMany(amongClients(tenantId, clientIds), change)
    },

    async leaveGroup(tenantId, groupId) {
      await model.updateMany({ tenantId, groupIds: groupId }, { $pull: { groupIds: groupId } } as UpdateQuery<Client>)
    }
  }
}
