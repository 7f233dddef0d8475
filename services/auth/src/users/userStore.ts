import { type Bus, type Log, userRevoked } from '@fleetgate/kit'
import { createCounters, createOutbox, type OutboxEntry, type Store } from '@fleetgate/store'
import { createPeopleQueries } from '../people/peopleQueries.js'
import { userNameKey } from '../people/profile.js'
import { createLeaving } from './administrators.js'
import { contended } from './contended.js'
import type { FormerUserStore } from './formerUserStore.js'
import { createMemberQueries } from './memberQueries.js'
import type { User } from './user.js'
import { living, refusalOf, toUser, type UserDoc, userSchema } from './userModel.js'

export { TenantTaken } from './userModel.js'
export type UserStore = ReturnType<typeof createUserStore>

export interface UserStoreOptions {
  store: Store
  bus: Bus
  log: Log
  now: () => number
  /** Keeps the names of who is deleted. */
  former: Pick<FormerUserStore, 'keep'>
}

export function createUserStore({ store, bus, log, now, former }: UserStoreOptions) {
  const model = store.model<UserDoc>('users', userSchema)
  const outbox = createOutbox({ model, bus, log })
  const leaving = createLeaving({ model, counters: createCounters(store) })
  const queries = createMemberQueries({ model, outbox, leaving, now })

  function revoked(user: { id: string; tenantId: string }, minVersion: number): OutboxEntry {
    return outbox.entry(userRevoked, { userId: user.id, tenantId: user.tenantId, minVersion, at: now() })
  }

  function burial(user: User) {
    const nothing = { email: '', nickname: '', passwordHash: '', codes: [], roleIds: [], isSuperAdmin: false }
    return {
      $set: { deletedAt: now(), ...nothing },
      $unset: { emailKey: 1 as const, userNameKey: 1 as const, profile: 1 as const },
      $push: { outbox: revoked(user, Number.MAX_SAFE_INTEGER) }
    }
  }

  return {
    outbox,
    ...queries,
    ...createPeopleQueries({ model }),
    /** `founds` claims a tenant; the unique index lets one user do so. Throws `TenantTaken` or conflict. */
    async insert(user: User, founds?: { tenantId: string; tenantName: string }): Promise<void> {
      const { id, ...rest } = user
      const claim = founds ? { founderOf: founds.tenantId, tenantName: founds.tenantName } : {}
      try {
        await model.create({ _id: id, ...rest, ...claim, ...keysOf(user) })
      } catch (error) {
        throw refusalOf(error)
      }
    },
    async hasFounder(tenantId: string): Promise<boolean> {
      return (await model.exists({ founderOf: tenantId })) !== null
    },
    async find(tenantId: string, id: string): Promise<User | undefined> {
      const doc = await model.findOne({ _id: id, tenantId, ...living }).lean()
      return doc ? toUser(doc) : undefined
    },
    /** Ends every token of the user. False when the user changed since it was read. */
    async changePassword(user: User, passwordHash: string): Promise<boolean> {
      const version = user.version + 1
      const result = await model.updateOne(
        { _id: user.id, tenantId: user.tenantId, version: user.version, ...living },
        { $set: { passwordHash, version }, $push: { outbox: revoked(user, version) } }
      )
      if (result.matchedCount === 1) await outbox.flush([user.id])
      return result.matchedCount === 1
    },
    /** Ends every token of the user. False when the user changed since it was read. */
    async disable(user: User): Promise<boolean> {
      const { id, tenantId } = user
      const condition = await leaving(tenantId, [user])
      const version = user.version + 1
      const result = await model.updateOne(
        { _id: id, tenantId, version: user.version, ...living, ...condition(user) },
        { $set: { disabledAt: now(), version }, $push: { outbox: revoked(user, version) } }
      )
      if (result.matchedCount === 1) await outbox.flush([id])
      return result.matchedCount === 1
    },
    /** The event makes guards forget that they refused the user's service tokens. */
    async enable(user: User): Promise<boolean> {
      const { id, tenantId, version } = user
      const result = await model.updateOne(
        { _id: id, tenantId, version, ...living },
        { $unset: { disabledAt: 1 }, $push: { outbox: revoked(user, version) } }
      )
      if (result.matchedCount === 1) await outbox.flush([id])
      return result.matchedCount === 1
    },
    /** Unknown ids, and those of other tenants, are passed over. False where others kept changing the users. */
    remove(tenantId: string, ids: string[]): Promise<boolean> {
      return contended(async () => {
        const users = await queries.findMany(tenantId, ids)
        if (users.length === 0) return true
        const condition = await leaving(tenantId, users)
        await former.keep(users)
        const { matchedCount } = await model.bulkWrite(
          users.map((user) => ({
            updateOne: { filter: { _id: user.id, tenantId, ...living, ...condition(user) }, update: burial(user) }
          })),
          { ordered: false }
        )
        await outbox.flush(ids)
        return matchedCount === users.length
      })
    },
    /** Drops what is left of deleted users once their revocation is published. A founder's claim stays for ever. */
    async purge(): Promise<void> {
      await model.deleteMany({
        deletedAt: { $exists: true },
        outbox: { $size: 0 },
        founderOf: { $exists: false }
      })
    }
  }
}

function keysOf({ tenantId, email, profile }: User) {
  const name = profile?.userName
  return { emailKey: email.toLowerCase(), ...(name ? { userNameKey: userNameKey(tenantId, name) } : {}) }
}
