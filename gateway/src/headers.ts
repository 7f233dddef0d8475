import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { parseTraceparent, type Trace, traceparentOf } from '@fleetgate/contracts'

/** RFC 9110 §7.6.1: headers of one connection only; they are neither forwarded nor relayed. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings'
])

/** What a client may say about who it is and how it came; the gateway alone knows. */
const spoofable = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-prefix',
  'x-forwarded-server',
  'x-real-ip',
  'x-original-url',
  'x-rewrite-url'
]

export interface Origin {
  requestId: string
  trace: Trace
  address: string
  proto: string
}

/** Rewrites the request's headers in place into those its service sees. `expect` is answered here, not there. */
export function prepareHeaders(headers: IncomingHttpHeaders, origin: Origin): void {
  const connection = headers.connection
  // Our own client writes `keep-alive` too, so the usual value can stay; a delete would slow the object down.
  if (connection !== undefined && connection !== 'keep-alive') dropConnectionHeaders(headers, connection)
  for (const name of unforwarded) if (headers[name] !== undefined) delete headers[name]
  headers['x-request-id'] = origin.requestId
  // What vendors add belongs to the trace that it came with.
  if (headers.tracestate !== undefined && !parseTraceparent(headers.traceparent)) delete headers.tracestate
  headers.traceparent = traceparentOf(origin.trace)
  headers['x-forwarded-for'] = origin.address
  headers['x-forwarded-proto'] = origin.proto
  headers['x-forwarded-host'] = headers.host ?? ''
}

/** The same for a websocket, whose `connection` and `upgrade` are the point. */
export function prepareUpgradeHeaders(headers: IncomingHttpHeaders, origin: Origin): void {
  prepareHeaders(headers, origin)
  headers.connection = 'Upgrade'
  headers.upgrade = 'websocket'
}

// `transfer-encoding: chunked` stays: it tells our own client how to frame a body of unknown length.
const unforwarded = [
  'expect',
  ...[...hopByHop].filter((name) => name !== 'connection' && name !== 'transfer-encoding'),
  ...spoofable
]

// Framing and routing are ours: a client must not be able to take these off a request.
const fixed = new Set(['connection', 'content-length', 'transfer-encoding', 'host'])

function dropConnectionHeaders(headers: IncomingHttpHeaders, connection: string): void {
  for (const token of connection.split(',')) {
    const name = token.trim().toLowerCase()
    if (!fixed.has(name)) delete headers[name]
  }
  headers.connection = 'keep-alive'
}

/** Raw name/value list of a service's answer without connection headers, with our request id. */
export function relayedHeaders(raw: readonly (string | Buffer)[], requestId: string): string[] {
  const kept: string[] = []
  for (let index = 0; index < raw.length; index += 2) {
    const name = text(raw[index])
    const key = name.toLowerCase()
    if (!hopByHop.has(key) && key !== 'x-request-id') kept.push(name, text(raw[index + 1]))
  }
  kept.push('x-request-id', requestId)
  return kept
}

function text(field: string | Buffer = ''): string {
  return typeof field === 'string' ? field : field.toString('latin1')
}

/** True when nothing follows the headers, so the request can be sent in one piece and sent again. */
export function isBodyless(headers: IncomingHttpHeaders): boolean {
  const length = headers['content-length']
  return headers['transfer-encoding'] === undefined && (length === undefined || length === '0')
}

/**
 * The caller's address: the peer's, or, behind `hops` trusted proxies of one's own, what the outermost of them wrote
 * into x-forwarded-for. Anything left of that is the client's own invention.
 */
export function addressOf(req: IncomingMessage, hops: number): string {
  const peer = plainAddress(req.socket.remoteAddress ?? '')
  if (hops === 0) return peer
  const header = req.headers['x-forwarded-for']
  if (typeof header !== 'string') return peer
  const chain = header.split(',')
  return chain[chain.length - hops]?.trim() || peer
}

/** https when the outermost trusted proxy says so; the gateway itself speaks http. */
export function protoOf(req: IncomingMessage, hops: number): string {
  return hops > 0 && req.headers['x-forwarded-proto'] === 'https' ? 'https' : 'http'
}

/** IPv4 callers of a dual-stack socket under their usual name. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address
}

export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}

/** The client's own id where it is a harmless word, else nothing. */
export function givenRequestId(req: IncomingMessage): string | undefined {
  const id = req.headers['x-request-id']
  return typeof id === 'string' && /^[A-Za-z0-9._:-]{1,64}$/.test(id) ? id : undefined
}
