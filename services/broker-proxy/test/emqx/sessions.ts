import type { Persistence } from '../../src/broker/embedded/aedesParts.js'
import type { Rights } from './asking.js'
import type { Groups } from './groups.js'
import type { MemberQueues } from './memberQueues.js'
import type { Connected } from './standIn.js'

/** A session: that of a connected client, or one kept for its return. */
export interface SessionOf extends Connected {
  isConnected: boolean
}

/** What the REST API reads of sessions and does to them. */
export interface Sessions {
  sessions(): SessionOf[]
  /** As they are in the broker, with their mountpoints. */
  subscriptionsOf(one: Connected): Promise<{ topic: string; qos: number }[]>
  subscribe(one: SessionOf, topic: string, qos: number): Promise<void>
  unsubscribe(one: SessionOf, topic: string): Promise<void>
  /** Ends the connection and the session, with what it has not acknowledged. */
  kick(clientId: string): Promise<void>
}

export function createSessions(parts: {
  clients: Map<string, Connected>
  kept: Map<string, Connected>
  kicked: WeakSet<object>
  /** Subscriptions about which nobody is asked, as `id place`. */
  granted: Set<string>
  groups: Groups
  queues: MemberQueues
  persistence: Persistence
  mountOf(rights: Rights): string
}): Sessions {
  const { clients, kept, kicked, granted, groups, queues, persistence, mountOf } = parts

  return {
    sessions: () => [
      ...[...clients.values()].map((one) => ({ ...one, isConnected: true })),
      ...[...kept.values()].map((one) => ({ ...one, isConnected: false }))
    ],

    async subscriptionsOf({ client }) {
      const found = kept.has(client.id)
        ? await persistence.subscriptionsByClient(client)
        : Object.entries(client.subscriptions).map(([topic, { qos }]) => ({ topic, qos }))
      return found.map(({ topic, qos }) => ({ topic: groups.of(topic)?.written ?? topic, qos }))
    },

    async subscribe({ client, rights, isConnected }, topic, qos) {
      const place = groups.join(client.id, { topic, qos }, mountOf(rights))
      if (!isConnected) return persistence.addSubscriptions(client, [{ topic: place, qos }])
      granted.add(`${client.id} ${place}`)
      await called((done) => client.subscribe({ topic: place, qos: qos as 0 }, done))
    },

    async unsubscribe({ client, rights, isConnected }, topic) {
      const place = groups.placeOf(client.id, topic, mountOf(rights))
      if (!isConnected || !client.clean) await persistence.removeSubscriptions(client, [place])
      groups.leave(place)
      if (isConnected) await called((done) => client.unsubscribe({ unsubscriptions: [place] } as never, done))
    },

    async kick(clientId) {
      const one = kept.get(clientId) ?? clients.get(clientId)
      if (!one) return
      kicked.add(one.client)
      queues.end(clientId, true)
      if (!kept.delete(clientId)) one.client.close()
      if (!one.client.clean) await persistence.cleanSubscriptions(one.client)
    }
  }
}

function called(run: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => run((error) => (error ? reject(error) : resolve())))
}
