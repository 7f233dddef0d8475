import type { IncomingMessage, ServerResponse } from 'node:http'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import {
  type AppError,
  type Dialect,
  dialectOf,
  dialects,
  errorReply,
  type Logger,
  loggedPath,
  newRequestId,
  toAppError,
  traceFields,
  type WireReply
} from '@fleetgate/kit'
import { givenRequestId } from './headers.js'
import { awaitsContinue, type Flight, flightOf, settle } from './proxy/flight.js'
import type { Traffic } from './traffic.js'

/** What the gateway itself says: errors to clients in the dialect of their path, lines to the log, figures. */
export interface Reporter {
  /** Answers a routed request with an error. */
  refuse(req: IncomingMessage, res: ServerResponse, error: unknown): void
  /** The same for a path that belongs to no service. */
  refuseUnrouted(req: IncomingMessage, res: ServerResponse, error: unknown): void
  /** The same for an upgrade, before it has happened. */
  refuseUpgrade(req: IncomingMessage, socket: Socket, error: unknown): void
  /** A service failed to answer; for `createUpstream`. */
  upstreamFailed(req: IncomingMessage, to: ServerResponse | Socket, error: AppError): void
  /** Listener of a response's `close`: what became of the request. */
  ended(this: ServerResponse): void
}

const clientLeft = 499

export function createReporter({ log, traffic }: { log: Logger; traffic: Traffic }): Reporter {
  const verbose = log.isLevelEnabled('debug')

  function refuse(req: IncomingMessage, res: ServerResponse, error: unknown): void {
    const flight = flightOf(req)
    if (flight) {
      settle(flight)
      send(req, res, dialects[flight.rule.dialect], asAppError(error, log), flight.requestId)
    } else refuseUnrouted(req, res, error)
  }

  function refuseUnrouted(req: IncomingMessage, res: ServerResponse, error: unknown): void {
    const requestId = givenRequestId(req) ?? newRequestId()
    const known = asAppError(error, log)
    const path = req.url?.split('?')[0] ?? ''
    // Also one that leads nowhere begins as its sender means it.
    send(req, res, dialectOf(path), known, requestId)
    log.info(
      { requestId, method: req.method, path: loggedPath(path).slice(0, 200), status: res.statusCode },
      'request of no service'
    )
  }

  function refuseUpgrade(req: IncomingMessage, socket: Socket, error: unknown): void {
    const flight = flightOf(req)
    const requestId = flight?.requestId ?? newRequestId()
    const reply = errorReply(dialects[flight?.rule.dialect ?? 'beaver'], asAppError(error, log), requestId)
    if (!socket.destroyed) socket.end(rawReply(reply, requestId))
    log.info({ requestId, status: reply.status }, 'upgrade refused')
  }

  return {
    refuse,
    refuseUnrouted,
    refuseUpgrade,
    upstreamFailed(req, to, error) {
      const flight = flightOf(req)
      if (flight) traffic.upstreamError(flight.rule.service, error.code)
      const { requestId, trace, rule } = flight ?? {}
      log.warn({ requestId, ...traceFields(trace), upstream: rule?.service, err: error.cause }, error.message)
      if ('writeHead' in to) refuse(req, to, error)
      else refuseUpgrade(req, to, error)
    },
    ended() {
      const flight = flightOf(this.req)
      if (!flight) return
      if (!this.writableFinished) {
        // The client left: whatever the service still does for it is in vain.
        settle(flight)
        flight.outgoing?.destroy()
      }
      const status = this.headersSent ? this.statusCode : clientLeft
      const seconds = (performance.now() - flight.startedAt) / 1000
      traffic.ended(flight.rule, flight.method, status, seconds)
      const isRead = flight.method === 'GET' || flight.method === 'HEAD'
      if (status >= 400 || !isRead) log.info(line(flight, status, seconds), 'request')
      else if (verbose) log.debug(line(flight, status, seconds), 'request')
    }
  }
}

function line({ requestId, trace, method, path, rule, userId }: Flight, status: number, seconds: number): object {
  const ms = Math.round(seconds * 1000)
  const shown = loggedPath(path)
  return { requestId, ...traceFields(trace), method, path: shown, upstream: rule.service, userId, status, ms }
}

/** What is no AppError is a fault of ours: its text is for the log alone. */
function asAppError(error: unknown, log: Logger): AppError {
  const known = toAppError(error)
  if (known.code === 'internal') log.error({ err: error }, 'request failed')
  return known
}

function send(req: IncomingMessage, res: ServerResponse, dialect: Dialect, error: AppError, requestId: string): void {
  if (res.headersSent) {
    // Half an answer cannot be taken back; cutting it off tells the client that it is not whole.
    res.destroy()
    return
  }
  const { status, headers, body } = errorReply(dialect, error, requestId)
  const all: Record<string, string | number> = { ...headers, 'x-request-id': requestId }
  all['content-length'] = Buffer.byteLength(body)
  // It still holds its body back, so the connection cannot serve another request.
  if (awaitsContinue(req)) all.connection = 'close'
  res.writeHead(status, all)
  res.end(req.method === 'HEAD' ? undefined : body)
}

function rawReply({ status, headers, body }: WireReply, requestId: string): string {
  const all = { ...headers, 'x-request-id': requestId, 'content-length': Buffer.byteLength(body), connection: 'close' }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`
}
