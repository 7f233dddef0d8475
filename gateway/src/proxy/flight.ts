import type { IncomingMessage, ServerResponse } from 'node:http'
import { continueTrace, type PrefixRule, type Trace } from '@fleetgate/contracts'
import { type Caller, newRequestId } from '@fleetgate/kit'
import { givenRequestId, isBodyless } from '../headers.js'
import type { Destination } from '../paths.js'
import type { Waiter } from './waiting.js'

/** What the gateway knows of one request on its way; it travels on the request object itself. */
export interface Flight {
  readonly requestId: string
  /** The caller's trace, or a new one. */
  readonly trace: Trace
  readonly rule: PrefixRule
  readonly method: string
  readonly path: string
  /** `performance.now()` at arrival. */
  readonly startedAt: number
  readonly bodyless: boolean
  /** The whole body where it had to be read here, because it is signed. */
  body: Buffer | undefined
  userId: string
  /** True once the request was sent a second time. */
  retried: boolean
  /** True once an answer or an error was decided: see `settle`. */
  settled: boolean
  /** Its place among those that wait for the service. */
  waiting: Waiter | undefined
  /** Our request to the service, once it has a connection. */
  outgoing: { destroy(): void } | undefined
}

const key = Symbol('flight')

interface Carrier {
  [key]?: Flight
}

/** Takes note of a request that has been routed. */
export function board(req: IncomingMessage, { rule, path }: Destination): Flight {
  const requestId = givenRequestId(req) ?? newRequestId()
  const flight: Flight = {
    requestId,
    trace: continueTrace(req.headers.traceparent, requestId),
    rule,
    method: req.method ?? '',
    path,
    startedAt: performance.now(),
    bodyless: isBodyless(req.headers),
    body: undefined,
    userId: '',
    retried: false,
    settled: false,
    waiting: undefined,
    outgoing: undefined
  }
  ;(req as Carrier)[key] = flight
  return flight
}

/** An answer or an error was decided, or nobody is left to hear one: the service is not waited for any more. */
export function settle(flight: Flight): void {
  flight.settled = true
  flight.waiting?.room.delete(flight.waiting)
  flight.waiting = undefined
}

/** Names the caller in the request's log line. */
export function note(req: IncomingMessage, { userId }: Caller): void {
  const flight = flightOf(req)
  if (flight) flight.userId = userId
}

export function flightOf(req: IncomingMessage): Flight | undefined {
  return (req as Carrier)[key]
}

/** True when nobody is left to read an answer. */
export function isGone(req: IncomingMessage, res: ServerResponse): boolean {
  return res.destroyed || req.socket.destroyed
}

/** Node leaves the go-ahead to us: see the `checkContinue` listener. */
export function awaitsContinue(req: IncomingMessage): boolean {
  return req.headers.expect !== undefined && req.httpVersionMinor === 1
}
