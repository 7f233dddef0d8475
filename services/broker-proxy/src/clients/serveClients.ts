import { type Bus, listConnectedClients, type Subscription } from '@fleetgate/contracts'
import type { Presence } from './presence.js'
import type { PresenceStore } from './presenceStore.js'

const settleMs = 500

/** RPC broker-proxy.listConnectedClients. */
export function serveClients(parts: {
  bus: Pick<Bus, 'serve'>
  presence: Pick<Presence, 'settled'>
  store: Pick<PresenceStore, 'listOnline'>
  now: () => number
}): Promise<Subscription> {
  const { bus, presence, store, now } = parts
  return bus.serve(listConnectedClients, async ({ after, limit }) => {
    const takenAt = now()
    await presence.settled(settleMs)
    const rows = await store.listOnline(after, limit)
    const clients = rows.map(({ tenantId, clientId, username, node, ip, connectedAt }) => ({
      tenantId,
      clientId,
      username,
      node,
      ip,
      connectedAt
    }))
    return { clients, takenAt }
  })
}
