import { type Bus, type Subscription, serviceTokenRevoked, userRevoked } from '@fleetgate/kit'
import type { AccessKeys } from './accessKeys.js'

/** Nothing is remembered at the start; this only spans clocks that differ. */
const overlapMs = 60_000

/** Every replica remembers keys that were used lately, whichever of them changes one. */
export function watchKeyChanges(
  bus: Pick<Bus, 'watch'>,
  { forget }: Pick<AccessKeys, 'forget'>
): Promise<Subscription[]> {
  return Promise.all([
    bus.watch(serviceTokenRevoked, { sinceMs: overlapMs }, ({ tokenId }) => forget({ tokenId })),
    bus.watch(userRevoked, { sinceMs: overlapMs }, ({ userId }) => forget({ userId }))
  ])
}
