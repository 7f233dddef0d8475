import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { Aedes, Client } from 'aedes'
import type { IdOwner } from './unqueued.js'

/**
 * The parts of aedes 1.2.0 that its types leave out and that we lean on; the version is pinned and the driver's tests
 * fail when one of them changes.
 */
export interface ParsedPacket {
  cmd?: string
  qos?: number
  messageId?: number
  length: number
  subscriptions?: { topic: string }[]
  unsubscriptions?: string[]
}

export interface PacketParser {
  packet: ParsedPacket
  parse(bytes: Buffer): number
  /** What has come and is not parsed, and where in it the parser is. */
  _list: { slice(begin: number, end: number): Buffer }
  _pos: number
  /** The text at this place, two bytes of length first, or null where the packet is broken. */
  _parseString(): string | null
  prependListener(event: 'packet', listener: (packet: ParsedPacket) => void): this
  listeners(event: 'error'): unknown[]
  removeAllListeners(event: 'error'): this
  on(event: 'error', listener: (error: Error) => void): this
}

export interface AedesClient extends Client, IdOwner {
  conn: Socket
  _parser: PacketParser
  subscriptions: Record<string, { qos: number }>
  /** Packet ids of QoS 2 messages received and not released. */
  _inboundInflight: Set<number>
  will: unknown
  /** To a subscription of QoS 0, and of 1 or 2. */
  deliver0: DeliverPacket
  deliverQoS: DeliverPacket
  /** Ours: QoS 2 packet ids that were stored with their message and not yet passed on. */
  fresh?: Set<number>
}

export type DeliverPacket = (packet: QueuedPacket, done: () => void) => void

/** A packet as aedes hands it round; broker id and counter are its identity there. */
export interface QueuedPacket extends StoredPacket {
  cmd: 'publish' | 'pubrel'
  brokerId: string | undefined
  brokerCounter: number
  dup: boolean
}

export interface StoredPacket {
  brokerId?: string | undefined
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  retain: boolean
  messageId?: number | undefined
}

interface ById {
  id: string
}

export interface Persistence {
  setup(broker: unknown): Promise<void>
  storeRetained(packet: StoredPacket): Promise<void>
  createRetainedStream(filter: string): Readable
  createRetainedStreamCombi(filters: string[]): Readable
  addSubscriptions(client: ById, subscriptions: { topic: string; qos: number; refused?: boolean }[]): Promise<void>
  removeSubscriptions(client: ById, filters: string[]): Promise<void>
  subscriptionsByClient(client: ById): Promise<{ topic: string; qos: number }[]>
  subscriptionsByTopic(topic: string): Promise<never[]>
  cleanSubscriptions(client: ById): Promise<void>
  countOffline(): Promise<{ clientsCount: number; subsCount: number }>
  outgoingEnqueue(target: { clientId: string }, packet: StoredPacket): Promise<void>
  outgoingEnqueueCombi(targets: { clientId: string }[], packet: StoredPacket): Promise<void>
  outgoingUpdate(client: ById & Partial<IdOwner>, packet: QueuedPacket): Promise<void>
  outgoingClearMessageId(client: ById, packet: QueuedPacket): Promise<StoredPacket | undefined>
  outgoingStream(client: ById): Readable
  incomingStorePacket(client: ById, packet: StoredPacket): Promise<void>
  incomingGetPacket(client: ById & { fresh?: Set<number> }, packet: StoredPacket): Promise<StoredPacket>
  incomingDelPacket(client: ById, packet: StoredPacket): Promise<void>
  cleanIncoming(client: ById): Promise<void>
  putWill(
    client: ById,
    will: { topic: string; payload: Buffer | string; qos: 0 | 1 | 2; retain?: boolean }
  ): Promise<void>
  delWill(client: ById): Promise<void>
  getWill(client: ById): Promise<undefined>
  streamWill(): Readable
  getClientList(topic: string): Readable
  destroy(): Promise<void>
}

export interface Emitter {
  _matcher: { match(topic: string): unknown[] }
  _do(packet: StoredPacket, done: unknown): unknown
}

export interface AedesInside {
  mq: Emitter
  clients: Record<string, Client>
  connectedClients: number
  on(event: 'error', listener: (error: Error) => void): void
}

export function insideOf(broker: Aedes): AedesInside {
  return broker as unknown as AedesInside
}
