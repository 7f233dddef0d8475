import type { Session } from '../broker/brokerDriver.js'
import { covers, isSaneTopic, parseShared } from '../broker/topics.js'
import type { Accounts } from './accounts.js'
import { maySubscribeInGroup, maySubscribeTo, mayUse } from './permissions.js'
import type { MqttUser } from './users.js'

/** What a connected client may do now; its user may have been changed since it logged in. */
export interface Authority {
  mayPublish(session: Session, topic: string): boolean
  maySubscribe(session: Session, filter: string): boolean
  mayReceive(session: Session, topic: string): boolean
}

/**
 * A client always has its own fleet topics; everything else is its user's. `$` topics are the broker's: the only one that
 * a client reaches, `$file`, never comes here.
 */
export function createAuthority(accounts: Pick<Accounts, 'find'>): Authority {
  return {
    mayPublish({ clientId, username }, topic) {
      if (!isSaneTopic(topic) || topic.startsWith('$')) return false
      if (topic.startsWith(`fleet/${clientId}/up/`)) return true
      const user = accounts.find(username)
      return user !== undefined && mayUse(user, 'PUB', topic)
    },

    maySubscribe({ clientId, username }, filter) {
      if (!isSaneTopic(filter)) return false
      const shared = parseShared(filter)
      if (shared) return mayShare(accounts.find(username), shared)
      if (filter.startsWith('$')) return false
      if (covers(`fleet/${clientId}/down/#`, filter)) return true
      const user = accounts.find(username)
      return user !== undefined && maySubscribeTo(user, filter)
    },

    mayReceive({ clientId, username }, topic) {
      if (topic.startsWith(`fleet/${clientId}/down/`)) return true
      const user = accounts.find(username)
      return user !== undefined && mayUse(user, 'SUB', topic)
    }
  }
}

/** A part in a group needs the right for the group and for everything that its filter covers. */
function mayShare(user: MqttUser | undefined, { group, filter }: { group: string; filter: string }): boolean {
  if (!user || filter.startsWith('$')) return false
  return maySubscribeInGroup(user, group) && maySubscribeTo(user, filter)
}
