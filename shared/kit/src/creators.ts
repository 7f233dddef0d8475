import { type Bus, type Log, listUserNames, type UserNames } from '@fleetgate/contracts'
import { maxPageSize } from './reply.js'

/** Names of those who created what a list shows, by one question; nothing where auth does not answer. */
export type CreatorsOf = (tenantId: string, userIds: Iterable<string>) => Promise<UserNames | undefined>

export function createCreatorsOf(bus: Pick<Bus, 'request'>, log: Log): CreatorsOf {
  return async (tenantId, userIds) => {
    const ids = [...new Set(userIds)].slice(0, maxPageSize)
    if (ids.length === 0) return new Map()
    try {
      const { users } = await bus.request(listUserNames, { tenantId, ids })
      return new Map(users.map((user) => [user.id, user]))
    } catch (err) {
      log.warn({ err }, 'names of creators are not to be had, answering ids')
      return undefined
    }
  }
}
