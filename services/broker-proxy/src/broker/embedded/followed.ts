import type { BrokerWatch, InboundMessage, Sender, Session } from '../brokerDriver.js'
import type { StoredPacket } from './aedesParts.js'

/** Messages on their way to the clients of tenants that want to hear of it; of others nothing is noted. */
export interface Followed {
  /** Whose a message is, before it goes anywhere. */
  came(sender: Sender, payload: Buffer): void
  /** It is handed to the connection, with the topic that the client knows. Answers what to call at its acknowledgement. */
  leaves(session: Session, packet: StoredPacket): (() => void) | undefined
  /** By a client with a queue. The topic stands below the mount point. */
  acked(session: Session, mounted: Omit<InboundMessage, 'retain'>): void
}

export function createFollowed(watch: BrokerWatch, unmounted: (session: Session, topic: string) => string | undefined) {
  /** By the payload, which is the same object wherever a message goes in this process. */
  const senders = new WeakMap<Buffer, Sender>()

  const followed: Followed = {
    came(sender, payload) {
      if (watch.follows(sender.tenantId)) senders.set(payload, sender)
    },
    leaves(session, { topic, payload, qos, retain }) {
      if (!watch.follows(session.tenantId)) return undefined
      const message = { topic, payload, qos, retain }
      const from = senders.get(payload)
      watch.delivered(session, message, from)
      if (qos === 0 || !watch.wantsAcked(session, topic)) return undefined
      return () => watch.acked(session, message, from)
    },
    acked(session, { topic: mounted, payload, qos }) {
      const topic = watch.follows(session.tenantId) ? unmounted(session, mounted) : undefined
      if (topic !== undefined) watch.acked(session, { topic, payload, qos, retain: false }, senders.get(payload))
    }
  }
  return followed
}
