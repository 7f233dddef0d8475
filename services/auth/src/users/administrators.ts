import { AppError } from '@fleetgate/kit'
import type { Counters, Model, QueryFilter } from '@fleetgate/store'
import type { User } from './user.js'
import { living, type UserDoc } from './userModel.js'

const inOffice = { isSuperAdmin: true, disabledAt: { $exists: false } }

/** What the write about a leaving user must find besides: nothing where another round has begun since. */
export type Condition = (user: User) => QueryFilter<UserDoc>

/** Before super admins are disabled, deleted or deprived of the role. Throws `forbidden` where none would be left. */
export type Leaving = (tenantId: string, users: User[]) => Promise<Condition>

/**
 * Keeps one enabled super admin in each tenant, whoever leaves at the same moment, with single-document writes alone.
 * Each round takes a number, writes it to every super admin, and only then looks who stays; whoever leaves must still
 * carry the number of that round. So of two rounds the later one either sees what the earlier has written, or has
 * overwritten the number that the earlier needs.
 */
export function createLeaving({ model, counters }: { model: Model<UserDoc>; counters: Counters }): Leaving {
  return async (tenantId, users) => {
    const ids = users.filter(({ isSuperAdmin, isEnabled }) => isSuperAdmin && isEnabled).map(({ id }) => id)
    if (ids.length === 0) return () => ({ $nor: [inOffice] })
    const round = await counters.next(tenantId, 'administrators')
    const all = { tenantId, ...living, ...inOffice }
    await model.updateMany(all, { $max: { administratorRound: round } })
    const staying = { ...all, administratorRound: { $gte: round }, _id: { $nin: ids } }
    if (!(await model.exists(staying))) throw noneLeft()
    return ({ id }) => (ids.includes(id) ? { ...inOffice, administratorRound: round } : { $nor: [inOffice] })
  }
}

function noneLeft(): AppError {
  return new AppError('forbidden', 'the last enabled super admin of a tenant can be neither disabled nor removed')
}
