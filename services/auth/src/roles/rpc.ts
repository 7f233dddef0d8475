import {
  type Bus,
  grantToCreator,
  listGrants,
  listRoleCodes,
  oneByOne,
  resourceCreated,
  resourceDeleted,
  type Subscription
} from '@fleetgate/kit'
import type { Grants } from './grants.js'

/** Answers what the other services ask about roles, and hears of what they create and delete. */
export function serveGrants(bus: Bus, grants: Grants): Promise<Subscription[]> {
  return Promise.all([
    bus.serve(listRoleCodes, (question) => grants.listRoleCodes(question)),
    bus.serve(listGrants, (question) => grants.list(question)),
    bus.serve(grantToCreator, async ({ tenantId, userId, resource }) => {
      await grants.grantToCreator(tenantId, userId, resource)
      return {}
    }),
    bus.consume(resourceCreated, { durable: 'auth-resource-created' }, (batch) =>
      oneByOne(batch, ({ data }) => grants.grantToCreator(data.tenantId, data.userId, data.resource))
    ),
    bus.consume(resourceDeleted, { durable: 'auth-resource-deleted' }, (batch) =>
      oneByOne(batch, ({ data }) => grants.drop(data.tenantId, data.resource))
    )
  ])
}
