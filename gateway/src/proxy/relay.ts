import type { IncomingMessage, ServerResponse } from 'node:http'
import { relayedHeaders } from '../headers.js'
import type { ExchangeEnd } from './exchange.js'
import { flightOf, isGone, settle } from './flight.js'

type RelayEnd = Pick<ExchangeEnd, 'onCutOff' | 'waitFor'>

/**
 * Passes a service's answer on: one `writeHead`, then the body as it comes. `pipe` would do the same with some ten
 * listeners for every answer, most of which are one chunk.
 */
export function relay(answer: IncomingMessage, req: IncomingMessage, res: ServerResponse, end: RelayEnd): void {
  const flight = flightOf(req)
  if (!flight || flight.settled || isGone(req, res)) {
    answer.destroy()
    return
  }
  settle(flight)
  res.writeHead(answer.statusCode ?? 502, answer.statusMessage, relayedHeaders(answer.rawHeaders, flight.requestId))
  const length = Number(answer.headers['content-length'])
  answer.on('data', (chunk: Buffer) => {
    if (chunk.length === length) res.end(chunk)
    else if (!res.write(chunk)) waitForClient(answer, res, end)
  })
  answer.on('end', () => {
    if (!res.writableEnded) res.end()
    // The service has not read all of the upload. Our request is given up, which frees the client's connection: see dropRest.
    if (!flight.bodyless && !req.complete) flight.outgoing?.destroy()
  })
  // A service that dies in the middle must not look like a short answer, nor leave the client waiting.
  answer.on('error', () => {
    if (!isGone(req, res)) end.onCutOff()
    res.destroy()
  })
}

function waitForClient(answer: IncomingMessage, res: ServerResponse, end: RelayEnd): void {
  answer.pause()
  end.waitFor(res)
  res.once('drain', () => answer.resume())
}
