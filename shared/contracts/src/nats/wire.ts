import { headers, type MsgHdrs } from 'nats'
import { fromToken, toToken } from '../ids.js'
import {
  type CommandContract,
  type EventContract,
  type RpcContract,
  type SignalContract,
  type UplinkChannel,
  type UplinkMessage,
  uplinkChannels
} from '../messages.js'
import { type Origin, originOr } from '../origin.js'
import { type Check, compile, type Static, type TSchema } from '../schema.js'

/** Everything that stands in front of a contract's own subject. */
export const subjectRoots = {
  event: 'fleetgate.event',
  command: 'fleetgate.command',
  uplink: 'fleetgate.uplink',
  rpc: 'fleetgate.rpc',
  signal: 'fleetgate.signal'
} as const

export function eventSubject(contract: Pick<EventContract, 'subject'>): string {
  return `${subjectRoots.event}.${contract.subject}`
}

export function commandSubject(contract: Pick<CommandContract, 'subject'>): string {
  return `${subjectRoots.command}.${contract.subject}`
}

export function rpcSubject(contract: Pick<RpcContract, 'operation'>): string {
  return `${subjectRoots.rpc}.${contract.operation}`
}

export function signalSubject(contract: Pick<SignalContract, 'subject'>, tenantId: string): string {
  return `${subjectRoots.signal}.${contract.subject}.${tenantId}`
}

export function uplinkSubject(message: Pick<UplinkMessage, 'tenantId' | 'clientId' | 'channel'>): string {
  return `${subjectRoots.uplink}.${message.tenantId}.${toToken(message.clientId)}.${message.channel}`
}

/** The subjects of one channel, of every client of every tenant. */
export function uplinkFilter(channel: UplinkChannel): string {
  return `${subjectRoots.uplink}.*.*.${channel}`
}

/** NATS headers of ours. `messageId` is the stream's own name for it: a repeat within its window is dropped. */
export const headerNames = {
  messageId: 'Nats-Msg-Id',
  requestId: 'Fg-Req',
  traceparent: 'traceparent',
  topic: 'Fg-Topic',
  username: 'Fg-User',
  receivedAt: 'Fg-At'
} as const

export interface HeaderFields extends Origin {
  messageId?: string
}

/** Without an origin of its own a message has that of the work at hand. */
export function newHeaders(fields: HeaderFields): MsgHdrs {
  const made = headers()
  const { requestId, traceparent } = originOr(fields)
  if (fields.messageId) made.set(headerNames.messageId, fields.messageId)
  if (requestId) made.set(headerNames.requestId, requestId)
  if (traceparent) made.set(headerNames.traceparent, traceparent)
  return made
}

/** What `newHeaders` wrote, as it stands. */
export function readOrigin(found: MsgHdrs | undefined): Origin {
  const requestId = found?.get(headerNames.requestId)
  const traceparent = found?.get(headerNames.traceparent)
  return { ...(requestId && { requestId }), ...(traceparent && { traceparent }) }
}

/** Topics and user names may hold any character; a header value may hold no line break and no blank at its ends. */
export function addUplinkHeaders(made: MsgHdrs, message: UplinkMessage): void {
  made.set(headerNames.topic, encodeURI(message.topic))
  made.set(headerNames.username, encodeURI(message.username))
  made.set(headerNames.receivedAt, String(message.receivedAt))
}

/** Reads an uplink message back; throws where subject or headers are not of our making. */
export function readUplink(subject: string, found: MsgHdrs | undefined, payload: Uint8Array): UplinkMessage {
  const [tenantId, token, name, ...rest] = subject.slice(subjectRoots.uplink.length + 1).split('.')
  const channel = uplinkChannels.find((known) => known === name)
  const receivedAt = Number(found?.get(headerNames.receivedAt) || Number.NaN)
  if (!tenantId || !token || !channel || !found || rest.length > 0 || !Number.isFinite(receivedAt)) {
    throw new Error(`not an uplink message: ${subject}`)
  }
  return {
    tenantId,
    clientId: fromToken(token),
    username: decodeURI(found.get(headerNames.username)),
    channel,
    topic: decodeURI(found.get(headerNames.topic)),
    receivedAt,
    payload
  }
}

const checks = new WeakMap<TSchema, Check<unknown>>()

/** The compiled check of a schema, made once per schema. */
export function checkOf<S extends TSchema>(schema: S): Check<Static<S>> {
  const found = checks.get(schema) as Check<Static<S>> | undefined
  if (found) return found
  const made = compile(schema)
  checks.set(schema, made)
  return made
}

/** Validates and writes a payload; throws AppError('invalid_input') for one that breaks its contract. */
export function encodePayload<S extends TSchema>(schema: S, data: Static<S>): string {
  return JSON.stringify(checkOf(schema)(data))
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** Reads and validates a payload; throws for broken JSON and for one that breaks its contract. */
export function decodePayload<S extends TSchema>(schema: S, bytes: Uint8Array): Static<S> {
  return checkOf(schema)(JSON.parse(utf8.decode(bytes)))
}
