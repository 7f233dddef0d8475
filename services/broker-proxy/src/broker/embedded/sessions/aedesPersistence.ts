import { Readable } from 'node:stream'
import type { Session } from '../../brokerDriver.js'
import type { Persistence, QueuedPacket } from '../aedesParts.js'
import { freeId, type IdOwner } from '../unqueued.js'
import type { Entry, KeptSessions } from './keptSessions.js'
import { queueId } from './pump.js'

export interface PersistenceParts {
  kept: () => KeptSessions
  createRetainedStream(filters: string[]): Readable
  /** The connection of a client object of aedes. */
  sessionOf(client: object): Session | undefined
  /** The connection that now has this id, unless it is closing. */
  current(clientId: string): Session | undefined
  /** The filters of a kept session have changed. */
  onFilters(clientId: string): void
  /** Its client has taken a message over. */
  onAcked(client: object, entry: Entry): void
}

type ById = { id: string }

/**
 * Kept sessions as aedes asks for them. What it would do with a message on its own, queueing and retaining, is done
 * before the acknowledgement (see hooks.ts), and queues are sent by their pumps: here aedes is told that nothing is left to do.
 */
export function createPersistence(
  parts: PersistenceParts
): Persistence & { hasReceived(clientId: string, id: number): boolean } {
  const { kept } = parts
  /** QoS 2 packet ids of clients with clean sessions; gone with their connection. */
  const received = new Map<string, Set<number>>()

  function hasReceived(clientId: string, id: number): boolean {
    return kept().find(clientId)?.received.has(id) || received.get(clientId)?.has(id) || false
  }

  async function send(client: ById & Partial<IdOwner>, packet: QueuedPacket): Promise<void> {
    const own = kept().find(client.id)
    if (!own) return
    const entry = packet.brokerId === queueId ? own.queue.get(packet.brokerCounter) : undefined
    if (entry?.id) {
      packet.messageId = entry.id
      return
    }
    // What lies in no queue has got its id already: see hooks.ts.
    if (packet.brokerId !== queueId) return
    packet.messageId = freeId(packet.messageId ?? 1, own.byId, client.unqueued)
    if (!entry) return
    const what = { seq: entry.body.seq, id: packet.messageId }
    // Exactly once needs the same id after a crash; at least once may do with another.
    if (packet.qos === 2) await kept().step('sent', own, what)
    else kept().noteStep('sent', own, what)
  }

  /**
   * aedes asks once for each filter of a SUBSCRIBE, each time with all of them and the first time before the others are
   * authorised: all are written once, a moment later, without those that are refused by then.
   */
  const adding = new WeakMap<object, Promise<void>>()

  async function add(clientId: string, subscriptions: Parameters<Persistence['addSubscriptions']>[1]): Promise<void> {
    await Promise.resolve()
    const filters = subscriptions.filter(({ refused }) => !refused)
    await kept().subscribe(
      clientId,
      filters.map(({ topic, qos }) => [topic, qos])
    )
    parts.onFilters(clientId)
  }

  return {
    hasReceived,
    async setup() {},
    async storeRetained() {},
    async outgoingEnqueue() {},
    async outgoingEnqueueCombi() {},
    subscriptionsByTopic: async () => [],
    createRetainedStream: (filter) => parts.createRetainedStream([filter]),
    createRetainedStreamCombi: parts.createRetainedStream,

    addSubscriptions(client, subscriptions) {
      const writing = adding.get(subscriptions) ?? add(client.id, subscriptions)
      adding.set(subscriptions, writing)
      return writing
    },
    async removeSubscriptions(client, filters) {
      await kept().unsubscribe(client.id, filters)
      parts.onFilters(client.id)
    },
    async subscriptionsByClient(client) {
      return [...(kept().find(client.id)?.filters ?? [])].map(([topic, qos]) => ({ topic, qos }))
    },
    async cleanSubscriptions(client) {
      kept().end(client.id)
    },
    async countOffline() {
      const all = [...kept().all()]
      return { clientsCount: all.length, subsCount: all.reduce((sum, { filters }) => sum + filters.size, 0) }
    },

    async outgoingUpdate(client, packet) {
      if (packet.cmd !== 'pubrel') return send(client, packet)
      const own = kept().find(client.id)
      const entry = own?.byId.get(packet.messageId ?? 0)
      if (!own || !entry || entry.state === 'released') return
      parts.onAcked(client, entry)
      await kept().step('released', own, { seq: entry.body.seq, id: entry.id })
    },

    async outgoingClearMessageId(client, packet) {
      const own = kept().find(client.id)
      const entry =
        packet.messageId === undefined && packet.brokerId === queueId
          ? own?.queue.get(packet.brokerCounter)
          : own?.byId.get(packet.messageId ?? 0)
      if (!own || !entry) return undefined
      // Also told of what could not be sent, and of PUBCOMP.
      if ((packet.cmd as string) === 'puback') parts.onAcked(client, entry)
      kept().noteStep('done', own, { seq: entry.body.seq, id: entry.id })
      return { ...entry.body, retain: false }
    },

    /** At a reconnect: what was received there and not released. Messages are sent by the pump. */
    outgoingStream(client) {
      const entries = [...(kept().find(client.id)?.queue.values() ?? [])]
      const owed = entries.filter(({ state }) => state === 'released')
      return Readable.from(owed.map(({ id }) => ({ cmd: 'pubrel', qos: 1, messageId: id, brokerId: queueId })))
    },

    async incomingStorePacket(client, { messageId = 0 }) {
      const own = kept().find(client.id)
      if (own && !own.received.has(messageId)) await kept().step('received', own, { id: messageId })
      if (!own) received.set(client.id, (received.get(client.id) ?? new Set()).add(messageId))
    },
    async incomingGetPacket(client, packet) {
      const { messageId = 0 } = packet
      if (client.fresh?.delete(messageId) || !hasReceived(client.id, messageId)) throw new Error('no such packet')
      return packet
    },
    async incomingDelPacket(client, { messageId = 0 }) {
      const own = kept().find(client.id)
      if (own?.received.has(messageId)) return kept().step('finished', own, { id: messageId })
      if (!received.get(client.id)?.delete(messageId)) throw new Error('no such packet')
    },
    async cleanIncoming(client) {
      received.delete(client.id)
    },

    async putWill(client, will) {
      const session = parts.sessionOf(client)
      if (!session) return
      const { topic, qos, retain } = will
      const payload = Buffer.from(will.payload).toString('base64')
      await kept().putWill({ topic, payload, qos, retain: retain ?? false }, session)
    },
    async delWill(client) {
      const stored = kept().will(client.id)
      // aedes takes away by id alone, at the end of a connection also what the next one has put here.
      const isOfNext = !('conn' in client) && parts.current(client.id)?.connectedAt === stored?.facts.connectedAt
      if (stored && !isOfNext) kept().dropWill(client.id, stored.facts.connectedAt)
    },
    getWill: async () => undefined,
    /** Those of an earlier process are published when the broker opens: see leftWills.ts. */
    streamWill: () => Readable.from([]),
    getClientList: () => Readable.from([]),
    async destroy() {}
  }
}
