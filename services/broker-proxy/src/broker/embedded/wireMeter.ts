import { Duplex } from 'node:stream'
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
  const meter = new Meter(client)
  client._parser.prependListener('packet', (packet) => meter.received(packet))
  Object.assign(client.conn, { [meterKey]: meter, cork: corkMetered, write: writeMetered })
  return meter
}

/** Each connection has one: a class, as closures of each would take 1 KB more. */
class Meter implements WireMeter {
  delivered = 0
  awaitingComp = 0
  private puback = 0
  private pubrec = 0
  private isStart = false
  private traffic = createTraffic()

  constructor(private readonly client: AedesClient) {}

  get awaitingAck(): number {
    return this.puback + this.pubrec
  }

  join(given: Traffic): void {
    addTraffic(given, this.traffic)
    this.traffic = given
  }

  received({ cmd = '', qos = 0, length, messageId }: ParsedPacket): void {
    const { traffic, client } = this
    traffic.bytesIn += headerBytes(length) + length
    bump(traffic.packetsIn, typeOf[cmd] ?? 0)
    if (cmd === 'publish') bump(traffic.messagesIn, qos)
    else if (cmd === 'puback' || cmd === 'pubrec' || cmd === 'pubcomp') {
      this.settle(cmd)
      client.unqueued?.settled(cmd, messageId ?? 0)
    }
    if (cmd === 'pubrel' && client.clean && !client._inboundInflight.has(messageId ?? 0)) {
      bump(traffic.missed, types.pubrel)
    }
  }

  corked(): void {
    this.isStart = true
  }

  written(chunk: Uint8Array | string): void {
    if (this.isStart && typeof chunk !== 'string' && chunk.length > 0) {
      this.isStart = false
      this.sent(chunk[0] ?? 0)
    }
    this.traffic.bytesOut += typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.length
  }

  private settle(kind: 'puback' | 'pubrec' | 'pubcomp'): void {
    const field = kind === 'pubcomp' ? 'awaitingComp' : kind
    if (this[field] > 0) this[field] -= 1
    else bump(this.traffic.missed, types[kind])
  }

  private sent(header: number): void {
    const type = header >> 4
    bump(this.traffic.packetsOut, type)
    if (type === types.pubrel) this.awaitingComp += 1
    if (type !== types.publish) return
    const qos = (header >> 1) & 3
    this.delivered += 1
    bump(this.traffic.messagesOut, qos)
    if (qos === 1) this.puback += 1
    if (qos === 2) this.pubrec += 1
  }
}

const meterKey = Symbol('meter')

interface Metered extends Duplex {
  [meterKey]: Meter
}

/** All sockets share these two, which find their meter on the socket. */
function corkMetered(this: Metered): void {
  this[meterKey].corked()
  Duplex.prototype.cork.call(this)
}

function writeMetered(this: Metered, ...given: Parameters<Duplex['write']>): boolean {
  this[meterKey].written(given[0] as Uint8Array | string)
  return Duplex.prototype.write.apply(this, given)
}

/** Type byte and remaining length, seven bits to a byte. */
function headerBytes(length: number): number {
  if (length < 128) return 2
  if (length < 16_384) return 3
  return length < 2_097_152 ? 4 : 5
}
