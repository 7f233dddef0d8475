import type { UserNames } from '@fleetgate/kit'
import type { FormerUserStore } from './formerUserStore.js'
import type { UserStore } from './userStore.js'

/** Names of users, of deleted ones too; two look-ups at most, however many are asked for. */
export type NamesOf = (tenantId: string, ids: Iterable<string>) => Promise<UserNames>

export function createNamesOf(users: Pick<UserStore, 'findMany'>, former: FormerUserStore): NamesOf {
  return async (tenantId, ids) => {
    const wanted = [...new Set(ids)]
    const living = wanted.length > 0 ? await users.findMany(tenantId, wanted) : []
    const names: UserNames = new Map(
      living.map(({ id, nickname, email }) => [id, { id, nickname, email, isDeleted: false }])
    )
    const missing = wanted.filter((id) => !names.has(id))
    const gone = missing.length > 0 ? await former.findMany(tenantId, missing) : []
    for (const user of gone) names.set(user.id, { ...user, isDeleted: true })
    return names
  }
}
