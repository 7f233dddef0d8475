import type { Model } from '@fleetgate/store'
import type { User } from '../users/user.js'
import { living, refusalOf, toUser, type UserDoc } from '../users/userModel.js'
import { type Profile, typedNameKey, userNameKey } from './profile.js'

export interface PersonChange extends Omit<Profile, 'userName'> {
  email?: string | undefined
}

/** The part of the user store that knows people by name. */
export function createPeopleQueries({ model }: { model: Model<UserDoc> }) {
  async function findOne(filter: { emailKey: string; tenantId?: string } | { userNameKey: string }) {
    const doc = await model.findOne({ ...filter, ...living }).lean()
    return doc ? toUser(doc) : undefined
  }

  return {
    /** In order of id. */
    async listPeople(tenantId: string, after: string, limit: number): Promise<User[]> {
      const docs = await model
        .find({ tenantId, _id: { $gt: after }, ...living })
        .sort({ _id: 1 })
        .limit(limit)
        .lean()
      return docs.map(toUser)
    },
    /** By user name or e-mail address: only an address has an `@`. */
    async findPerson(tenantId: string, name: string): Promise<User | undefined> {
      if (name.includes('@')) return findOne({ emailKey: name.toLowerCase(), tenantId })
      return findOne({ userNameKey: userNameKey(tenantId, name) })
    },
    /** By what people type to sign in: an address, `tenant/name`, or a name of the tenant given. */
    async findByLogin(login: string, tenantId: string): Promise<User | undefined> {
      if (login.includes('@')) return findOne({ emailKey: login.toLowerCase() })
      return findOne({ userNameKey: typedNameKey(login, tenantId) })
    },
    /** False when there is no such user any more; conflict when the address is taken. */
    async changePerson({ id, tenantId }: User, { email, role, remark, tags }: PersonChange): Promise<boolean> {
      const set = {
        ...(email === undefined ? {} : { email, emailKey: email.toLowerCase() }),
        ...(role === undefined ? {} : { 'profile.role': role }),
        ...(remark === undefined ? {} : { 'profile.remark': remark }),
        ...(tags === undefined ? {} : { 'profile.tags': tags })
      }
      try {
        return (await model.updateOne({ _id: id, tenantId, ...living }, { $set: set })).matchedCount === 1
      } catch (error) {
        throw refusalOf(error)
      }
    }
  }
}
