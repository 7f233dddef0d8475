import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError, type Caller, dialects, takenBody } from '@fleetgate/kit'
import type { Admission } from './admission.js'
import { addressOf, prepareHeaders, protoOf } from './headers.js'
import { type Destination, isForCredentials, isPublic, route } from './paths.js'
import { whenArrived } from './proxy/arrival.js'
import type { Balanced } from './proxy/balance.js'
import { awaitsContinue, board, type Flight, flightOf, isGone, note } from './proxy/flight.js'
import type { Reporter } from './report.js'

export interface GateOptions {
  admission: Admission
  upstreams: Balanced
  report: Reporter
  /** Proxies of one's own in front of the gateway. */
  trustedHops: number
}

export type Gate = (req: IncomingMessage, res: ServerResponse, next: () => void) => void

/**
 * The way of every proxied request: route, admit, forward. Paths of no service go on to the gateway's own routes.
 * Nothing here reads a body, unless it is signed; it flows through when the service takes it.
 */
export function createGate({ admission, upstreams, report, trustedHops }: GateOptions): Gate {
  function forward(req: IncomingMessage, res: ServerResponse, { rule, url }: Destination, address: string): void {
    const flight = flightOf(req)
    if (!flight || isGone(req, res)) return
    const { requestId, trace } = flight
    prepareHeaders(req.headers, { requestId, trace, address, proto: protoOf(req, trustedHops) })
    req.url = url
    upstreams[rule.service].forward(req, res)
  }

  /**
   * A stranger gets a connection to the service only for a body that is here: else a few hundred of them, who send theirs byte
   * by byte, would have them all.
   */
  function forwardOpen(req: IncomingMessage, res: ServerResponse, destination: Destination, address: string): void {
    whenArrived(req, (isWhole) => {
      if (isWhole || !isForCredentials(destination.path)) return forward(req, res, destination, address)
      report.refuse(req, res, new AppError('body_too_large', 'the body is too large for this path', { field: 'body' }))
      req.resume()
    })
  }

  function proceed(req: IncomingMessage, res: ServerResponse, destination: Destination, visitor: Visitor): void {
    const { address, isOpen } = visitor
    if (isGone(req, res)) return
    // A client that asked first gets its go-ahead only now that it is known to be welcome.
    goAhead(req, res)
    if (isOpen && !flightOf(req)?.bodyless) forwardOpen(req, res, destination, address)
    else forward(req, res, destination, address)
  }

  /** A promise only where the caller is not known at once. */
  function admit(req: IncomingMessage, res: ServerResponse, to: Destination, visitor: Visitor): void | Promise<void> {
    const { address, isOpen, flight } = visitor
    refuseOddFraming(req)
    if (isOpen) {
      admission.admitPublic(address)
      return
    }
    const credentials = dialects[to.rule.dialect].credentials(req)
    if (credentials && 'signed' in credentials) goAhead(req, res)
    const caller = admission.admit(credentials, address, flight)
    if (caller instanceof Promise) return caller.then((known) => welcome(req, known))
    note(req, caller)
  }

  async function welcome(req: IncomingMessage, caller: Caller): Promise<void> {
    note(req, caller)
    const flight = flightOf(req)
    if (flight && !flight.bodyless) flight.body = await takenBody(req)
  }

  return (req, res, next) => {
    const destination = route(req.url ?? '')
    if (destination === 'unknown') return next()
    if (destination === 'ambiguous') return report.refuseUnrouted(req, res, ambiguous())
    const flight = board(req, destination)
    res.on('close', report.ended)
    const isOpen = isPublic(req.method ?? '', destination.path)
    const visitor = { address: addressOf(req, trustedHops), isOpen, flight }
    try {
      const waiting = admit(req, res, destination, visitor)
      if (!waiting) return proceed(req, res, destination, visitor)
      waiting.then(() => proceed(req, res, destination, visitor)).catch((error) => report.refuse(req, res, error))
    } catch (error) {
      report.refuse(req, res, error)
    }
  }
}

/** Who is welcome may depend on the body itself: what is signed has to come first, `signedBodyLimit` bytes of it at most. */
function goAhead(req: IncomingMessage, res: ServerResponse): void {
  if (!awaitsContinue(req)) return
  res.writeContinue()
  delete req.headers.expect
}

interface Visitor {
  address: string
  /** The path needs no token. */
  isOpen: boolean
  flight: Flight
}

function ambiguous(): AppError {
  return new AppError('invalid_input', 'the path must not hold dot segments or a fragment', { field: 'path' })
}

/** Only `chunked` can be forwarded faithfully; a service that saw another coding would read another body than we sent. */
function refuseOddFraming({ headers }: IncomingMessage): void {
  const coding = headers['transfer-encoding']
  if (coding === undefined || coding.toLowerCase() === 'chunked') return
  throw new AppError('malformed_body', 'this transfer-encoding is not supported', { field: 'transfer-encoding' })
}
