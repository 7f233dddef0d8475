import { isUtf8 } from 'node:buffer'
import type { AedesClient, PacketParser, ParsedPacket, StoredPacket } from './aedesParts.js'

const maxBytesBeforeLogIn = 16_384
/** Each is looked at by all rules and permissions before anybody else's turn comes; one packet has room for 300,000. */
const maxFilters = 10_000

export interface PacketGuard {
  /** From now on filters are rewritten and stand below the tenant's mount point. */
  mount(prefix: string, rewrite: (filter: string) => string): void
}

/**
 * Watches what a client sends, before aedes sees it: bounds the packet size (the parser itself would gather 256 MB),
 * refuses texts that are no UTF-8, and puts filters below the tenant's mount point. aedes has no hook for
 * UNSUBSCRIBE and stores all filters of a SUBSCRIBE with the first one it authorises, so this is the one place where no
 * filter gets past.
 */
export function guardPackets(client: AedesClient, maxPacketBytes: number): PacketGuard {
  return new Guard(client, maxPacketBytes)
}

/** Each connection has one: a class, as closures of each would take half a KB more. */
class Guard implements PacketGuard {
  private early: ParsedPacket[] | undefined
  private place: Place | undefined

  constructor(
    private readonly client: AedesClient,
    private readonly maxPacketBytes: number
  ) {
    const parser = client._parser
    const { parse } = parser
    parser.parse = (bytes) => {
      const rest = parse.call(parser, bytes)
      this.checkLength(parser.packet.length)
      return rest
    }
    parser._parseString = wellFormed
    parser.prependListener('packet', (packet) => this.take(packet))
  }

  mount(prefix: string, rewrite: Place['rewrite']): void {
    const place = { prefix, rewrite }
    this.place = place
    for (const packet of this.early ?? []) mountFilters(packet, place)
    this.early = undefined
  }

  private checkLength(bytes: number): void {
    if (bytes > (this.place === undefined ? maxBytesBeforeLogIn : this.maxPacketBytes)) {
      this.client.emit('error', new Error('packet too large'))
    }
  }

  private take(packet: ParsedPacket): void {
    const filters = packet.subscriptions ?? packet.unsubscriptions
    if (!filters) return
    if (filters.length > maxFilters) {
      filters.length = 0
      this.client.emit('error', new Error('too many filters'))
    } else if (this.place) mountFilters(packet, this.place)
    else this.early = [...(this.early ?? []), packet]
  }
}

/**
 * The parser would put U+FFFD in place of what is no UTF-8, so that a message went to a topic that nobody had named. `null` is
 * its word for a broken packet: the connection ends (MQTT-1.5.3-1; for U+0000 MQTT-1.5.3-2). One function serves all
 * connections.
 */
function wellFormed(this: PacketParser): string | null {
  const begin = this._pos
  const text = (Object.getPrototypeOf(this) as PacketParser)._parseString.call(this)
  if (text === null || text.includes('\0')) return null
  // U+FFFD itself may be sent.
  const isSound = !text.includes('\ufffd') || isUtf8(this._list.slice(begin + 2, this._pos))
  return isSound ? text : null
}

interface Place {
  prefix: string
  rewrite: (filter: string) => string
}

function mountFilters(packet: ParsedPacket, place: Place): void {
  for (const subscription of packet.subscriptions ?? []) subscription.topic = mountedFilter(place, subscription.topic)
  packet.unsubscriptions = packet.unsubscriptions?.map((filter) => mountedFilter(place, filter))
}

/** An empty filter stays empty: aedes refuses it. */
function mountedFilter({ prefix, rewrite }: Place, filter: string): string {
  return filter === '' ? '' : prefix + rewrite(filter)
}

const nothing = Buffer.alloc(0)

/** Makes a packet that has been dealt with one that nobody gets; its acknowledgement is still sent. */
export function empty(packet: Pick<StoredPacket, 'topic' | 'payload' | 'retain'>): void {
  packet.topic = '$fleetgate/taken'
  packet.payload = nothing
  packet.retain = false
}
