import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { Aedes, Client } from 'aedes'

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
  prependListener(event: 'packet', listener: (packet: ParsedPacket) => void): this
}

export interface AedesClient extends Client {
  conn: Socket
  _parser: PacketParser
  subscriptions: Record<string, { qos: number }>
  /** Packet ids of QoS 2 messages received and not released. */
  _inboundInflight: Set<number>
}

export interface StoredPacket {
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  retain: boolean
  messageId?: number
}

export interface Persistence {
  storeRetained(packet: StoredPacket): Promise<void>
  createRetainedStreamCombi(filters: string[]): Readable
  outgoingEnqueue(target: { clientId: string }, packet: StoredPacket): Promise<void>
  outgoingEnqueueCombi(targets: { clientId: string }[], packet: StoredPacket): Promise<void>
  outgoingClearMessageId(client: { id: string }, packet: StoredPacket): Promise<StoredPacket | undefined>
  outgoingStream(client: { id: string }): Readable
  addSubscriptions(client: { id: string }, subscriptions: { topic: string; qos: number }[]): Promise<void>
  removeSubscriptions(client: { id: string }, filters: string[]): Promise<void>
  cleanSubscriptions(client: { id: string }): Promise<void>
}

export interface Emitter {
  _matcher: { match(topic: string): unknown[] }
  _do(packet: StoredPacket, done: unknown): unknown
}

export interface AedesInside {
  persistence: Persistence
  mq: Emitter
  clients: Record<string, Client>
  connectedClients: number
  on(event: 'error', listener: (error: Error) => void): void
}

export function insideOf(broker: Aedes): AedesInside {
  return broker as unknown as AedesInside
}
