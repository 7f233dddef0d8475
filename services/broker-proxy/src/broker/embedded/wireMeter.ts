import type { Traffic } from '../brokerFacts.js'
import type { AedesClient, ParsedPacket } from './aedesParts.js'
import { addTraffic, bump, createTraffic } from './traffic.js'

/** Counts what really crosses the socket of one connection. */
export interface WireMeter {
  /** Outgoing QoS 1 and 2 waiting for PUBACK or PUBREC, and for PUBCOMP. */
  readonly awaitingAck: number
  readonly awaitingComp: number
  /** PUBLISH packets sent. */
  readonly delivered: number
  /** From the log-in on everything counts for the tenant, what came before it too. */
  join(traffic: Traffic): void
}

const types = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14
} as const
const typeOf: Partial<Record<string, number>> = types

/**
 * Incoming packets are told by the parser. For outgoing ones aedes has no event of every kind, but its writer
 * (mqtt-packet) corks the socket once before each packet: the first byte written after that is the packet's header.
 */
export function meterWire(client: AedesClient): WireMeter {
  let traffic = createTraffic()
  const awaiting = { puback: 0, pubrec: 0, pubcomp: 0 }
  let delivered = 0

  function settle(kind: keyof typeof awaiting): void {
    if (awaiting[kind] > 0) awaiting[kind] -= 1
    else bump(traffic.missed, types[kind])
  }

  function received({ cmd = '', qos = 0, length, messageId }: ParsedPacket): void {
    traffic.bytesIn += headerBytes(length) + length
    bump(traffic.packetsIn, typeOf[cmd] ?? 0)
    if (cmd === 'publish') bump(traffic.messagesIn, qos)
    else if (cmd === 'puback' || cmd === 'pubrec' || cmd === 'pubcomp') settle(cmd)
    else if (cmd === 'pubrel' && client.clean && !client._inboundInflight.has(messageId ?? 0)) {
      bump(traffic.missed, types.pubrel)
    }
  }

  function sent(header: number): void {
    const type = header >> 4
    bump(traffic.packetsOut, type)
    if (type === types.pubrel) awaiting.pubcomp += 1
    if (type !== types.publish) return
    const qos = (header >> 1) & 3
    delivered += 1
    bump(traffic.messagesOut, qos)
    if (qos === 1) awaiting.puback += 1
    if (qos === 2) awaiting.pubrec += 1
  }

  client._parser.prependListener('packet', received)
  watchWrites(client, sent, (bytes) => {
    traffic.bytesOut += bytes
  })

  return {
    get awaitingAck() {
      return awaiting.puback + awaiting.pubrec
    },
    get awaitingComp() {
      return awaiting.pubcomp
    },
    get delivered() {
      return delivered
    },
    join(given) {
      addTraffic(given, traffic)
      traffic = given
    }
  }
}

function watchWrites(
  { conn }: AedesClient,
  onPacket: (header: number) => void,
  onBytes: (bytes: number) => void
): void {
  const cork = conn.cork.bind(conn)
  const write = conn.write.bind(conn) as (...given: unknown[]) => boolean
  let isStart = false
  conn.cork = () => {
    isStart = true
    cork()
  }
  conn.write = (...given: unknown[]) => {
    const [chunk] = given
    if (isStart && chunk instanceof Uint8Array && chunk.length > 0) {
      isStart = false
      onPacket(chunk[0] ?? 0)
    }
    onBytes(typeof chunk === 'string' ? Buffer.byteLength(chunk) : (chunk as Uint8Array).length)
    return write(...given)
  }
}

/** Type byte and remaining length, seven bits to a byte. */
function headerBytes(length: number): number {
  if (length < 128) return 2
  if (length < 16_384) return 3
  return length < 2_097_152 ? 4 : 5
}
