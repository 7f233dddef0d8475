import { castPrefix } from '@fleetgate/contracts'
import type { Session } from '../broker/brokerDriver.js'
import { covers, isOwnCast, isSaneTopic, parseShared } from '../broker/topics.js'
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
export function createAuthority(accounts: Pick<Accounts, 'find'>, isOpen: (tenantId: string) => boolean): Authority {
  return {
    mayPublish({ tenantId, clientId, username }, topic) {
      if (!isSaneTopic(topic) || topic.startsWith('$')) return false
      if (topic.startsWith(`fleet/${clientId}/up/`)) return true
      if (topic.startsWith(castPrefix)) return false
      if (isOpen(tenantId)) return !topic.startsWith('fleet/')
      const user = accounts.find(username)
      return user !== undefined && mayUse(user, 'PUB', topic)
    },

    maySubscribe(session, filter) {
      const { tenantId, clientId, username } = session
      if (!isSaneTopic(filter)) return false
      const shared = parseShared(filter)
      if (shared && !isOpen(tenantId)) return mayShare(accounts.find(username), shared)
      if (shared) return !shared.filter.startsWith('$') && !shared.filter.startsWith(castPrefix)
      if (filter.startsWith('$')) return false
      if (covers(`fleet/${clientId}/down/#`, filter)) return true
      // Whoever may read every group would get each cast beside its own: a group is asked for by its name.
      if (filter.startsWith(castPrefix)) return isOwnCast(session, filter)
      if (isOpen(tenantId)) return true
      const user = accounts.find(username)
      return user !== undefined && maySubscribeTo(user, filter)
    },

    mayReceive(session, topic) {
      const { tenantId, clientId, username } = session
      if (topic.startsWith(`fleet/${clientId}/down/`) || isOwnCast(session, topic) || isOpen(tenantId)) return true
      const user = accounts.find(username)
      return user !== undefined && mayUse(user, 'SUB', topic)
    }
  }
}

/** A part in a group needs the right for the group and for everything that its filter covers. */
function mayShare(user: MqttUser | undefined, { group, filter }: { group: string; filter: string }): boolean {
  if (!user || filter.startsWith('$') || filter.startsWith(castPrefix)) return false
  return maySubscribeInGroup(user, group) && maySubscribeTo(user, filter)
}
