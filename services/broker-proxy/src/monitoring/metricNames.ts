import type { Traffic } from '../broker/brokerFacts.js'

type Read = (traffic: Traffic, retained: number) => number | undefined

const sum = (counts: readonly number[]) => counts.reduce((all, one) => all + one, 0)

/** An acknowledgement goes both ways, and may answer what nobody knows. */
function acknowledgement(name: string, type: number): [string, Read][] {
  return [
    [`packets/${name}/received`, ({ packetsIn }) => packetsIn[type]],
    [`packets/${name}/sent`, ({ packetsOut }) => packetsOut[type]],
    [`packets/${name}/missed`, ({ missed }) => missed[type]]
  ]
}

function byQos(qos: number): [string, Read][] {
  return [
    [`messages/qos${qos}/received`, ({ messagesIn }) => messagesIn[qos]],
    [`messages/qos${qos}/sent`, ({ messagesOut }) => messagesOut[qos]]
  ]
}

/** The names of EMQ 2.1, read from counts by MQTT packet type and QoS. */
const readers: readonly [string, Read][] = [
  ['bytes/received', ({ bytesIn }) => bytesIn],
  ['bytes/sent', ({ bytesOut }) => bytesOut],
  ['packets/received', ({ packetsIn }) => sum(packetsIn)],
  ['packets/sent', ({ packetsOut }) => sum(packetsOut)],
  ['packets/connect', ({ packetsIn }) => packetsIn[1]],
  ['packets/connack', ({ packetsOut }) => packetsOut[2]],
  ['packets/publish/received', ({ packetsIn }) => packetsIn[3]],
  ['packets/publish/sent', ({ packetsOut }) => packetsOut[3]],
  ...acknowledgement('puback', 4),
  ...acknowledgement('pubrec', 5),
  ...acknowledgement('pubrel', 6),
  ...acknowledgement('pubcomp', 7),
  ['packets/subscribe', ({ packetsIn }) => packetsIn[8]],
  ['packets/suback', ({ packetsOut }) => packetsOut[9]],
  ['packets/unsubscribe', ({ packetsIn }) => packetsIn[10]],
  ['packets/unsuback', ({ packetsOut }) => packetsOut[11]],
  ['packets/pingreq', ({ packetsIn }) => packetsIn[12]],
  ['packets/pingresp', ({ packetsOut }) => packetsOut[13]],
  ['packets/disconnect', ({ packetsIn }) => packetsIn[14]],
  ['messages/received', ({ messagesIn }) => sum(messagesIn)],
  ['messages/sent', ({ messagesOut }) => sum(messagesOut)],
  ...byQos(0),
  ...byQos(1),
  ...byQos(2),
  // At the embedded broker a client that leaves too many QoS 2 messages unreleased loses its connection, not a message.
  ['messages/qos2/dropped', ({ unreleased }) => unreleased],
  ['messages/retained', (_traffic, retained) => retained],
  ['messages/dropped', ({ dropped }) => dropped],
  // The embedded broker has one node.
  ['messages/forward', ({ forwarded }) => forwarded]
]

export const metricNames: readonly string[] = readers.map(([name]) => name)

export function metricsOf(traffic: Traffic, retained: number): Record<string, number> {
  return Object.fromEntries(readers.map(([name, read]) => [name, read(traffic, retained) ?? 0]))
}
