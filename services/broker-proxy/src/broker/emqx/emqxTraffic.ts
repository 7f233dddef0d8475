import type { Traffic } from '../brokerFacts.js'

type Names = readonly (readonly [index: number, name: string])[]

/** EMQX's counters by MQTT packet type; connections and the like only ever go one way. */
const packetsIn: Names = [
  [1, 'packets.connect.received'],
  [3, 'packets.publish.received'],
  [4, 'packets.puback.received'],
  [5, 'packets.pubrec.received'],
  [6, 'packets.pubrel.received'],
  [7, 'packets.pubcomp.received'],
  [8, 'packets.subscribe.received'],
  [10, 'packets.unsubscribe.received'],
  [12, 'packets.pingreq.received'],
  [14, 'packets.disconnect.received'],
  [15, 'packets.auth.received']
]
const packetsOut: Names = [
  [2, 'packets.connack.sent'],
  [3, 'packets.publish.sent'],
  [4, 'packets.puback.sent'],
  [5, 'packets.pubrec.sent'],
  [6, 'packets.pubrel.sent'],
  [7, 'packets.pubcomp.sent'],
  [9, 'packets.suback.sent'],
  [11, 'packets.unsuback.sent'],
  [13, 'packets.pingresp.sent'],
  [14, 'packets.disconnect.sent'],
  [15, 'packets.auth.sent']
]
const missed: Names = [
  [4, 'packets.puback.missed'],
  [5, 'packets.pubrec.missed'],
  [6, 'packets.pubrel.missed'],
  [7, 'packets.pubcomp.missed']
]
const byQos = (way: 'received' | 'sent'): Names => [0, 1, 2].map((qos) => [qos, `messages.qos${qos}.${way}`] as const)

/** What EMQX has counted since its start, in our words. */
export function toTraffic(metrics: Readonly<Record<string, number>>): Traffic {
  const of = (name: string) => metrics[name] ?? 0
  const counts = (names: Names) => {
    const all = new Array<number>(16).fill(0)
    for (const [index, name] of names) all[index] = of(name)
    return all
  }
  return {
    bytesIn: of('bytes.received'),
    bytesOut: of('bytes.sent'),
    packetsIn: counts(packetsIn),
    packetsOut: counts(packetsOut),
    messagesIn: counts(byQos('received')).slice(0, 3),
    messagesOut: counts(byQos('sent')).slice(0, 3),
    missed: counts(missed),
    dropped: of('messages.dropped'),
    unreleased: of('messages.dropped.await_pubrel_timeout'),
    forwarded: of('messages.forward')
  }
}
