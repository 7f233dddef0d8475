import {
  type Bus,
  grantToCreator,
  type Log,
  listGrants,
  type ResourceType,
  roleGrantsChanged,
  type Subscription,
  userAuthorized,
  userRevoked
} from '@fleetgate/kit'
import { createGrants, type Grants } from './grants.js'

/** Events from before the start change nothing: nothing is remembered yet. */
const sinceMs = 1000

/** Grants as auth has them, current within the moment an event needs. */
export async function watchGrants(bus: Bus): Promise<{ grants: Grants; watches: Subscription[] }> {
  const grants = createGrants({ ask: (question) => bus.request(listGrants, question) })
  const watches = await Promise.all([
    bus.watch(userAuthorized, { sinceMs }, ({ tenantId, userId }) => grants.userChanged(tenantId, userId)),
    // Disabled ones have none.
    bus.watch(userRevoked, { sinceMs }, ({ tenantId, userId }) => grants.userChanged(tenantId, userId)),
    bus.watch(roleGrantsChanged, { sinceMs }, ({ tenantId, roleId }) => grants.roleChanged(tenantId, roleId))
  ])
  return { grants, watches }
}

export interface Creation {
  tenantId: string
  userId: string
  resource: { id: string; type: ResourceType }
}

/**
 * Lets creators see what they made in their very next request. Where auth does not answer the event of the creation does
 * the same a little later.
 */
export function createGrantNow(bus: Bus, grants: Grants, log: Log): (creation: Creation) => Promise<void> {
  return async (creation) => {
    try {
      await bus.request(grantToCreator, creation)
      grants.userChanged(creation.tenantId, creation.userId)
    } catch (err) {
      log.warn({ err, ...creation.resource }, 'not granted to its creator yet, the event will do it')
    }
  }
}
