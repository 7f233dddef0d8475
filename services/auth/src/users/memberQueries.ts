import { type Range, userAuthorized } from '@fleetgate/kit'
import { containsPattern, type Model, type Outbox, type PageOf, pageOf, type QueryFilter } from '@fleetgate/store'
import { superAdminRole } from '../roles/role.js'
import type { Condition, Leaving } from './administrators.js'
import { contended } from './contended.js'
import type { User } from './user.js'
import { living, refusalOf, toUser, type UserDoc } from './userModel.js'

export interface MemberFilter {
  /** Part of the nickname or the e-mail address. */
  keyword?: string | undefined
  /** Only those with, or without, a role. */
  withRole?: string | undefined
  withoutRole?: string | undefined
}

export type SortKey = 'createdAt' | 'email' | 'nickname'
export type Sort = [SortKey, 1 | -1][]

/** What a change of roles leaves of a user's roles. */
export type Roles = Pick<User, 'isSuperAdmin' | 'roleIds'>

export interface MemberQueriesOptions {
  model: Model<UserDoc>
  outbox: Outbox
  leaving: Leaving
  now: () => number
}

const newestFirst: Sort = [['createdAt', -1]]

/** The part of the user store that looks at the people of one tenant. */
export function createMemberQueries({ model, outbox, leaving, now }: MemberQueriesOptions) {
  async function findMany(tenantId: string, ids: Iterable<string>): Promise<User[]> {
    return (await model.find({ _id: { $in: [...new Set(ids)] }, tenantId, ...living }).lean()).map(toUser)
  }

  /** Role and event in one write; nothing where the roles changed since the user was read. */
  function roleUpdate(user: User, roles: Roles, condition: Condition) {
    const version = user.rolesVersion + 1
    const { id, tenantId } = user
    const entry = outbox.entry(userAuthorized, { userId: id, tenantId, ...roles, version, at: now() })
    const asRead = { rolesVersion: user.rolesVersion || { $in: [0, null] } }
    return {
      updateOne: {
        filter: { _id: id, tenantId, ...living, ...asRead, ...(isDemoted(user, roles) ? condition(user) : {}) },
        update: { $set: { ...roles, rolesVersion: version }, $push: { outbox: entry } }
      }
    }
  }

  return {
    findMany,

    async search(tenantId: string, filter: MemberFilter, page: Range & { sort?: Sort }): Promise<PageOf<User>> {
      const sort: [string, 1 | -1][] = [...(page.sort?.length ? page.sort : newestFirst), ['_id', -1]]
      const { items, total } = await pageOf(model.find(filterOf(tenantId, filter)).sort(sort), page)
      return { items: items.map(toUser), total }
    },

    /** How many have each of these roles; 0 is left out. */
    async countByRole(tenantId: string, roleIds: string[]): Promise<Map<string, number>> {
      const rows = await model.aggregate<{ _id: string; count: number }>([
        { $match: { tenantId, roleIds: { $in: roleIds }, ...living } },
        { $unwind: '$roleIds' },
        { $match: { roleIds: { $in: roleIds } } },
        { $group: { _id: '$roleIds', count: { $sum: 1 } } }
      ])
      const counts = new Map(rows.map(({ _id, count }) => [_id, count]))
      const { id } = superAdminRole
      if (roleIds.includes(id)) counts.set(id, await model.countDocuments({ ...filterOf(tenantId, { withRole: id }) }))
      return counts
    },

    /** `change` answers the new roles, nothing where they stay as they are. False where others kept changing them too. */
    changeRoles(tenantId: string, ids: string[], change: (user: User) => Roles | undefined): Promise<boolean> {
      return contended(async () => {
        const changes = (await findMany(tenantId, ids)).flatMap((user) => {
          const roles = change(user)
          return roles ? [{ user, roles }] : []
        })
        if (changes.length === 0) return true
        const demoted = changes.filter(({ user, roles }) => isDemoted(user, roles)).map(({ user }) => user)
        const condition = await leaving(tenantId, demoted)
        const updates = changes.map(({ user, roles }) => roleUpdate(user, roles, condition))
        const { matchedCount } = await model.bulkWrite(updates, { ordered: false })
        await outbox.flush(updates.map(({ updateOne }) => updateOne.filter._id))
        return matchedCount === changes.length
      })
    },

    /** False when there is no such user; conflict when the address is taken. */
    async edit(tenantId: string, id: string, { email, nickname }: Pick<User, 'email' | 'nickname'>): Promise<boolean> {
      try {
        const change = { email, nickname, emailKey: email.toLowerCase() }
        return (await model.updateOne({ _id: id, tenantId, ...living }, { $set: change })).matchedCount === 1
      } catch (error) {
        throw refusalOf(error)
      }
    }
  }
}

function isDemoted(user: User, roles: Roles): boolean {
  return user.isSuperAdmin && !roles.isSuperAdmin
}

function filterOf(tenantId: string, { keyword, withRole, withoutRole }: MemberFilter): QueryFilter<UserDoc> {
  const text = keyword ? { $or: ['nickname', 'email'].map((field) => ({ [field]: containsPattern(keyword) })) } : {}
  const withIt = withRole === undefined ? {} : roleFilter(withRole)
  const withoutIt = withoutRole === undefined ? {} : { $nor: [roleFilter(withoutRole)] }
  return { tenantId, ...living, ...text, ...withIt, ...withoutIt }
}

/** Being super admin is a mark of its own. */
function roleFilter(roleId: string): QueryFilter<UserDoc> {
  return roleId === superAdminRole.id ? { isSuperAdmin: true } : { roleIds: roleId }
}
