import { AppError, Type } from '@fleetgate/contracts'
import { type Route, route } from '@fleetgate/kit'
import type { BrokerDriver, Session } from '../broker/brokerDriver.js'
import { clientParam } from '../nodes/nodeParam.js'

export interface ClientActionParts {
  driver: Pick<BrokerDriver, 'session' | 'disconnect' | 'recheck'>
  /** Reads the MQTT user anew: its permissions are all that we keep of the ACL. */
  refreshUser(username: string): Promise<void>
}

/** EMQ REST v2.3, what it can do to a connected client; one that is not connected is 112. */
export function emqClientActionRoutes({ driver, refreshUser }: ClientActionParts): Route[] {
  function find(tenantId: string, clientId: string): Session {
    const session = driver.session(clientId)
    if (session?.tenantId !== tenantId) throw new AppError('not_found', `client ${clientId} is not connected`)
    return session
  }

  function kick(path: string, method: 'delete' | 'put'): Route {
    return route({
      method,
      path,
      summary: 'End the connection of a client',
      needs: 'broker.edit',
      params: Type.Object(clientParam),
      handle: ({ params, caller }) => driver.disconnect(find(caller.tenantId, params.clientid), 'kicked')
    })
  }

  return [
    kick('/api/v2/clients/:clientid', 'delete'),
    // The form of 2.3-beta.2.
    kick('/api/v2/kick_client/:clientid', 'put'),
    route({
      method: 'put',
      path: '/api/v2/clients/:clientid/clean_acl_cache',
      summary: 'Look at the permissions of a client anew',
      needs: 'broker.edit',
      params: Type.Object(clientParam),
      body: Type.Object({ topic: Type.String({ maxLength: 4096 }) }),
      handle: async ({ params, caller }) => {
        const session = find(caller.tenantId, params.clientid)
        await refreshUser(session.username)
        // EMQX remembers our answers, whether the user has changed or not.
        driver.recheck(session)
      }
    })
  ]
}
