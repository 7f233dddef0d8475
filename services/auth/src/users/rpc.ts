import { type Bus, listUserNames, type Subscription } from '@fleetgate/kit'
import type { NamesOf } from './userNames.js'

/** Answers the services whose lists tell who created something. */
export function serveUserNames(bus: Pick<Bus, 'serve'>, namesOf: NamesOf): Promise<Subscription> {
  return bus.serve(listUserNames, async ({ tenantId, ids }) => ({
    users: [...(await namesOf(tenantId, ids)).values()]
  }))
}
