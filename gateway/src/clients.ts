import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError } from '@fleetgate/kit'
import { isBodyless } from './headers.js'
import { isUpload } from './paths.js'
import { awaitsBody } from './proxy/arrival.js'
import { flightOf } from './proxy/flight.js'
import type { Reporter } from './report.js'

export interface ClientLimits {
  /** Within this time the headers of a request must be here. */
  headersMs: number
  /** A body must come with so many bytes per second, on average over each `windowMs`. */
  bytesPerSecond: number
  windowMs: number
  /** The whole body must be here by then; one of a file may take as long as it goes on coming. */
  bodyMs: number
  /** An answer of which a client takes nothing for so long is cut. */
  readMs: number
}

/**
 * How patient the gateway is with clients. What counts is the time that is spent on waiting for them: a service that reads
 * slowly is not their fault. One timer looks at all of them; requests without a body cost nothing.
 */
export interface Clients {
  /** A request has begun; its body may still be on its way. */
  begin(req: IncomingMessage, res: ServerResponse): void
  /** Its answer has ended; the body may go on. */
  end(req: IncomingMessage): void
  /** More of an answer can be written only when the client has taken what is there. */
  waitFor(res: ServerResponse): void
  close(): void
}

interface Body {
  res: ServerResponse
  /** Ms that were spent on waiting for the client: in all, and in this window. */
  waitedMs: number
  windowMs: number
  /** Bytes of the connection when this window began. */
  from: number
}

export function createClients(limits: ClientLimits, report: Pick<Reporter, 'refuse'>): Clients {
  const bodies = new Map<IncomingMessage, Body>()
  const readers = new Map<ServerResponse, number>()
  const lookEveryMs = Math.max(10, Math.min(1000, limits.windowMs / 10, limits.readMs / 4))
  let lookedAt = performance.now()

  function look(): void {
    const now = performance.now()
    // Time in which this process itself stood still is nobody's fault.
    const passed = Math.min(now - lookedAt, 2 * lookEveryMs)
    for (const [req, body] of bodies) lookAtBody(req, body, passed)
    for (const [res, since] of readers) {
      if (res.destroyed) readers.delete(res)
      else if (now - since > limits.readMs) res.destroy()
    }
    lookedAt = now
  }

  function lookAtBody(req: IncomingMessage, body: Body, ms: number): void {
    if (req.complete || req.destroyed) {
      bodies.delete(req)
      return
    }
    if (!awaitsBody(req)) return
    body.waitedMs += ms
    body.windowMs += ms
    const isLate = body.waitedMs > limits.bodyMs && !isUpload(flightOf(req)?.path ?? '')
    if (isLate || isSlow(req, body)) giveUp(req, body.res)
  }

  /** Judged once in a window; then the next one begins. */
  function isSlow({ socket }: IncomingMessage, body: Body): boolean {
    if (body.windowMs < limits.windowMs) return false
    const came = socket.bytesRead - body.from
    const due = (limits.bytesPerSecond * body.windowMs) / 1000
    body.windowMs = 0
    body.from = socket.bytesRead
    return came < due
  }

  function giveUp(req: IncomingMessage, res: ServerResponse): void {
    bodies.delete(req)
    const outgoing = flightOf(req)?.outgoing
    if (res.headersSent) req.socket.destroy()
    else {
      // What is still to come of the body cannot be told from a next request.
      res.shouldKeepAlive = false
      report.refuse(req, res, new AppError('timeout', 'the body came too slowly', { wireStatus: 408, field: 'body' }))
    }
    outgoing?.destroy()
  }

  const timer = setInterval(look, lookEveryMs)
  timer.unref()

  return {
    begin(req, res) {
      if (!isBodyless(req.headers)) bodies.set(req, { res, waitedMs: 0, windowMs: 0, from: req.socket.bytesRead })
    },
    end(req) {
      if (req.complete) bodies.delete(req)
    },
    waitFor(res) {
      readers.set(res, performance.now())
      res.once('drain', () => readers.delete(res))
    },
    close: () => clearInterval(timer)
  }
}
