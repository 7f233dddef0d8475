import { matches } from '../topics.js'
import type { AedesClient, DeliverPacket } from './aedesParts.js'
import type { Slowness } from './slowConsumers.js'

/**
 * What a connection gets, decided before aedes writes it. For each subscription that matches aedes calls one of two
 * functions and drops, as a duplicate, whatever has a lower number than the last message: one that was overtaken is lost then, and
 * of overlapping subscriptions the first one's QoS wins instead of the highest. So both are decided here, and
 * aedes sees no number. A kept session gets QoS 1 and 2 from its queue alone, in the queue's order.
 *
 * Answers how the queue is sent.
 */
export function shapeDeliveries(client: AedesClient, slowness: Slowness): DeliverPacket {
  const { deliver0, deliverQoS } = client
  let last = ''

  /** Both calls for one message come in the same turn, one behind the other. */
  function isRepeated({ brokerId, brokerCounter }: { brokerId: string | undefined; brokerCounter: number }): boolean {
    const name = `${brokerId}:${brokerCounter}`
    if (name === last) return true
    last = name
    return false
  }

  const shaped =
    (deliver: DeliverPacket, isQoS0: boolean): DeliverPacket =>
    (packet, done) => {
      // Retained messages for a new subscription, and what is sent to this connection alone, have no other copy.
      if (!packet.brokerId || packet.brokerId === directId) return deliver(packet, done)
      const isOfGroup = packet.brokerId === groupId
      if (packet.qos > 0 && !client.clean && !isQoS0 && !isOfGroup) return void setImmediate(done)
      if (!isOfGroup && hasMany(client)) {
        if (packet.qos > 0 && isQoS0 && grantedQoS(client, packet.topic) > 0) return void setImmediate(done)
        if (isRepeated(packet)) return void setImmediate(done)
      }
      if (slowness.isTooSlowFor(isQoS0 ? 0 : packet.qos)) return void setImmediate(done)
      packet.brokerId = undefined
      deliver(packet, slowness.patient(done))
    }

  client.deliver0 = shaped(deliver0, true)
  client.deliverQoS = shaped(deliverQoS, false)
  return deliverQoS
}

/** The broker id of what is sent to one connection alone. */
export const directId = 'direct'
/** That of a message of a `$share` group, of which this connection gets the only copy. */
export const groupId = 'group'

function hasMany({ subscriptions }: AedesClient): boolean {
  let count = 0
  for (const _ in subscriptions) if (++count > 1) return true
  return false
}

/** The highest QoS of the subscriptions that match; -1 where none does. */
export function grantedQoS({ subscriptions }: AedesClient, topic: string): number {
  let highest = subscriptions[topic]?.qos ?? -1
  for (const filter in subscriptions) {
    const qos = subscriptions[filter]?.qos ?? -1
    if (qos > highest && matches(filter, topic)) highest = qos
  }
  return highest
}
