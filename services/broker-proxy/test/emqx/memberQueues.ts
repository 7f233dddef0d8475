import { generate } from 'mqtt-packet'
import type { AedesClient } from '../../src/broker/embedded/aedesParts.js'
import type { Groups, Member } from './groups.js'

export interface SharedMessage {
  topic: string
  payload: Buffer | string
  qos: 0 | 1 | 2
}

interface Queued extends SharedMessage {
  member: Member
}

interface Queue {
  waiting: Queued[]
  /** Sent and not acknowledged, by packet id, in the order of sending. */
  inflight: Map<number, Queued>
}

export type MemberQueues = ReturnType<typeof createMemberQueues>

/** EMQX's `max_inflight`. */
const window = 32

/**
 * What sessions hold of shared subscriptions, as in EMQX 5: a queue and a window of what is on its way. A kept session keeps both
 * for its return and repeats the second; one that ends hands both over to other members of its groups, unless it was kicked.
 */
export function createMemberQueues(parts: {
  groups: Groups
  /** Undefined while the client is absent. */
  clientOf(clientId: string): AedesClient | undefined
  /** Before every topic of the client. */
  mountOf(client: AedesClient): string
}) {
  const { groups, clientOf, mountOf } = parts
  const queues = new Map<string, Queue>()

  function queueOf(clientId: string): Queue {
    const queue = queues.get(clientId) ?? { waiting: [], inflight: new Map() }
    queues.set(clientId, queue)
    return queue
  }

  function write(client: AedesClient, { topic, payload, qos }: SharedMessage, messageId: number, dup: boolean): void {
    const plain = topic.slice(mountOf(client).length)
    client.conn.write(generate({ cmd: 'publish', topic: plain, payload, qos, messageId, dup, retain: false }))
  }

  /** aedes numbers what it sends to the same client. */
  function nextId(client: AedesClient): number {
    const id = client._nextId
    client._nextId = (id % 65_535) + 1
    return id
  }

  function pump(clientId: string): void {
    const client = clientOf(clientId)
    const queue = queueOf(clientId)
    while (client && queue.inflight.size < window) {
      const message = queue.waiting.shift()
      if (!message) return
      const id = nextId(client)
      if (message.qos > 0) queue.inflight.set(id, message)
      write(client, message, id, false)
    }
  }

  function put(member: Member, message: SharedMessage): void {
    const qos = Math.min(member.qos, message.qos) as 0 | 1 | 2
    queueOf(member.clientId).waiting.push({ ...message, qos, member })
    pump(member.clientId)
  }

  return {
    put,
    acknowledged(clientId: string, messageId: number): void {
      if (queues.get(clientId)?.inflight.delete(messageId)) pump(clientId)
    },
    /** Of a client whose session was kept. */
    resume(client: AedesClient): void {
      for (const [id, message] of queues.get(client.id)?.inflight ?? []) write(client, message, id, true)
      pump(client.id)
    },
    /** The session is over. */
    end(clientId: string, isKicked: boolean): void {
      const { waiting = [], inflight = new Map<number, Queued>() } = queues.get(clientId) ?? {}
      queues.delete(clientId)
      groups.end(clientId)
      if (isKicked) return
      for (const { member, ...message } of [...inflight.values(), ...waiting]) {
        const other = groups.instead(member)
        // Of QoS 2 what was sent may go to nobody else [MQTT-4.8.2-5].
        if (other && message.qos < 2) put(other, message)
      }
    },
    /** In EMQX's words. */
    counts: (clientId: string) => ({
      mqueue_len: queues.get(clientId)?.waiting.length ?? 0,
      inflight_cnt: queues.get(clientId)?.inflight.size ?? 0
    })
  }
}
