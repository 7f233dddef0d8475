import type { IncomingMessage, ServerResponse } from 'node:http'
import { relayedHeaders } from '../headers.js'
import { flightOf, isGone } from './flight.js'

/**
 * Passes a service's answer on: one `writeHead`, then the body as it comes. `pipe` would do the same with some ten
 * listeners for every answer, most of which are one chunk.
 */
export function relay(answer: IncomingMessage, req: IncomingMessage, res: ServerResponse, onCutOff: () => void): void {
  const flight = flightOf(req)
  if (!flight || flight.settled || isGone(req, res)) {
    answer.destroy()
    return
  }
  flight.settled = true
  res.writeHead(answer.statusCode ?? 502, answer.statusMessage, relayedHeaders(answer.rawHeaders, flight.requestId))
  const length = Number(answer.headers['content-length'])
  answer.on('data', (chunk: Buffer) => {
    if (chunk.length === length) res.end(chunk)
    else if (!res.write(chunk)) waitForClient(answer, res)
  })
  answer.on('end', () => {
    if (!res.writableEnded) res.end()
    // The service has not read all of the upload. Our request is given up, which frees the client's connection: see dropRest.
    if (!flight.bodyless && !req.complete) flight.outgoing?.destroy()
  })
  // A service that dies in the middle must not look like a short answer, nor leave the client waiting.
  answer.on('error', () => {
    if (!isGone(req, res)) onCutOff()
    res.destroy()
  })
}

function waitForClient(answer: IncomingMessage, res: ServerResponse): void {
  answer.pause()
  res.once('drain', () => answer.resume())
}
