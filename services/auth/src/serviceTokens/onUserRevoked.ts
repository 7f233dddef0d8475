import { type Bus, type Subscription, userRevoked } from '@fleetgate/kit'
import type { ServiceTokenStore } from './serviceTokenStore.js'

/** A deleted user's service tokens are refused at once because their owner is gone; here what is left of them goes too. */
export function onUserRevoked(bus: Pick<Bus, 'consume'>, store: ServiceTokenStore): Promise<Subscription> {
  return bus.consume(userRevoked, { durable: 'auth-service-tokens' }, async (batch) => {
    const deleted = batch.filter(({ data }) => data.minVersion === Number.MAX_SAFE_INTEGER)
    if (deleted.length > 0) await store.removeOf(deleted.map(({ data }) => data))
  })
}
