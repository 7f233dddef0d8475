import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { AppError, type ServiceName } from '@fleetgate/contracts'
import { type Dispatcher, Pool } from 'undici'
import { isRepeatable } from '../paths.js'
import { createAgent, type Timing } from './agent.js'
import { Exchange } from './exchange.js'
import { type Flight, flightOf, isGone, settle } from './flight.js'
import { createProxy, type ProxyServer, targetOf } from './proxies.js'
import { relay } from './relay.js'
import { createWaitingRoom, type Waiter } from './waiting.js'

export interface Upstream {
  /** Forwards a prepared request; the answer is relayed, or `fail` is called once. */
  forward(req: IncomingMessage, res: ServerResponse): void
  upgrade(req: IncomingMessage, socket: Socket, head: Buffer): void
  /** True where as many wait for it as may. */
  isFull(): boolean
  /** The second try of a request without a body, on a connection of its own. */
  again(req: IncomingMessage, res: ServerResponse): void
  close(): void
}

export interface UpstreamOptions extends Timing {
  service: ServiceName
  url: string
  maxSockets: number
  /** Requests that may wait for an answer at the same time. */
  maxWaiting: number
  /** Answers a request or an upgrade that cannot be completed, in its dialect. */
  fail(req: IncomingMessage, res: ServerResponse | Socket, error: AppError): void
  onRepeat(): void
  /** The service died in the middle of an answer. */
  onCutOff(): void
  /** The client has to take what is there before there is more of an answer. */
  waitFor(res: ServerResponse): void
  /** It is dead, or told us that it is ending. */
  onEnding(): void
  /** Another replica for a second try, where there are several. */
  elsewhere(): Pick<Upstream, 'again'> | undefined
}

const timedOut = 'EUPSTREAMTIMEOUT'
const silent = new Set([timedOut, 'UND_ERR_BODY_TIMEOUT'])
const connectionLost = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])
const unsendable = new Set(['ERR_UNESCAPED_CHARACTERS', 'UND_ERR_INVALID_ARG'])

/**
 * The ways to one service. What has a body, a retry and a websocket go through http-proxy-middleware, the latter two on
 * connections of their own. Requests without a body, most of all, go through a pool that needs less of the processor; so do
 * those whose body is here.
 */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { service, fail } = options
  const target = targetOf(options.url)
  const pool = createPool(options)
  const uploads = createAgent(options, { keepAlive: true, maxSockets: options.maxSockets })
  const single = createAgent(options, { keepAlive: false })
  const streaming = createProxy({ target, agent: uploads, bodyless: false, wire })
  const again = createProxy({ target, agent: single, bodyless: true, wire })
  const { onCutOff, onEnding, waitFor } = options
  const end = { onError, onCutOff, onEnding, waitFor }
  const room = createWaitingRoom({ most: options.maxWaiting, timeoutMs: options.timeoutMs, expire })

  function refuse(req: IncomingMessage, res: ServerResponse, cause: unknown): void {
    const flight = flightOf(req)
    if (!flight || flight.settled) return
    settle(flight)
    if (isGone(req, res)) return
    if (res.headersSent) res.destroy()
    else fail(req, res, toAppError(service, cause))
  }

  function onError(cause: Error, req: IncomingMessage, to: ServerResponse | Socket): void {
    if (isUnconnected(cause)) options.onEnding()
    if (!('writeHead' in to)) refuseUpgrade(req, to, cause)
    else if (mayRepeat(cause, req, to, options.elsewhere() !== undefined)) repeat(req, to)
    else refuse(req, to, cause)
  }

  function refuseUpgrade(req: IncomingMessage, socket: Socket, cause: Error): void {
    // Once joined, the socket speaks websocket: an http answer would be garbage in it.
    if (flightOf(req)?.settled) socket.destroy()
    else fail(req, socket, toAppError(service, cause))
    settled(req)
  }

  function expire({ req, to }: Waiter): void {
    // An upgrade has a connection of its own from the start, whose time-out is enough.
    if (!('writeHead' in to)) return
    refuse(req, to, tooLate())
    flightOf(req)?.outgoing?.destroy()
  }

  /** False where it was refused, because too many wait already. */
  function enter(flight: Flight, req: IncomingMessage, to: ServerResponse | Socket): boolean {
    if (room.enter(flight, req, to)) return true
    fail(req, to, new AppError('unavailable', `too many requests wait for ${service}`, { retryAfter: 1 }))
    return false
  }

  function repeat(req: IncomingMessage, res: ServerResponse): void {
    const flight = flightOf(req)
    if (flight) flight.retried = true
    options.onRepeat()
    ;(options.elsewhere() ?? { again: again.web.bind(again) }).again(req, res)
  }

  function onAnswer(answer: IncomingMessage, req: IncomingMessage, res: ServerResponse): void {
    // Ours alone: on a connection of its own the answer says `close` because we did.
    if (!flightOf(req)?.retried && answer.headers.connection === 'close') options.onEnding()
    relay(answer, req, res, end)
  }

  function wire(proxy: ProxyServer): void {
    proxy.on('proxyReq', watchSilence)
    proxy.on('proxyReqWs', watchUpgrade)
    proxy.on('proxyRes', onAnswer)
    proxy.on('error', onError)
    // The client went away: http-proxy ends our request itself.
    proxy.on('econnreset', (_error, req) => settled(req))
  }

  return {
    forward(req, res) {
      const flight = flightOf(req)
      if (!flight || !enter(flight, req, res)) return
      try {
        if (flight.bodyless || flight.body) send(pool, new Exchange(req, res, flight, end))
        else streaming.web(req, res)
      } catch (error) {
        refuse(req, res, error)
      }
    },
    upgrade(req, socket, head) {
      const flight = flightOf(req)
      if (flight && enter(flight, req, socket)) again.ws(req, socket, head)
    },
    isFull: room.isFull,
    again: (req, res) => again.web(req, res),
    close() {
      room.close()
      void pool.destroy()
      uploads.destroy()
      single.destroy()
    }
  }
}

function createPool({ url, maxSockets, timeoutMs, connectTimeoutMs }: UpstreamOptions): Pool {
  return new Pool(new URL(url).origin, {
    connections: maxSockets,
    // The waiting room sees to that, from the moment when the request came.
    headersTimeout: 0,
    bodyTimeout: timeoutMs,
    connect: { timeout: connectTimeoutMs }
  })
}

function send(pool: Pool, exchange: Exchange): void {
  const { method = '', url: path = '', headers } = exchange.req
  const { body } = exchange.flight
  if (body) frame(headers, body)
  pool.dispatch({ method: method as Dispatcher.HttpMethod, path, headers, ...(body && { body }) }, exchange)
}

function frame(headers: IncomingHttpHeaders, body: Buffer): void {
  delete headers['transfer-encoding']
  headers['content-length'] = String(body.length)
}

function watchSilence(outgoing: ClientRequest, req: IncomingMessage, res: ServerResponse): void {
  const flight = flightOf(req)
  if (flight) flight.outgoing = outgoing
  outgoing.on('timeout', giveUp)
  if (flight && !flight.bodyless) outgoing.once('close', () => dropRest(req, outgoing))
  // The client may have left, or been told that it took too long, while the request waited for a socket.
  if (flight?.settled || isGone(req, res)) outgoing.destroy()
}

/** What the client still sends after our request has ended is read and dropped, or its connection would stand still. */
function dropRest(req: IncomingMessage, outgoing: ClientRequest): void {
  req.unpipe(outgoing)
  req.resume()
}

function giveUp(this: ClientRequest): void {
  this.destroy(tooLate())
}

function tooLate(): Error {
  return Object.assign(new Error('no answer in time'), { code: timedOut })
}

function watchUpgrade(outgoing: ClientRequest, req: IncomingMessage, socket: Socket): void {
  outgoing.on('timeout', giveUp)
  const abort = () => outgoing.destroy()
  socket.once('close', abort)
  // Who half-closes before there is a websocket has left.
  socket.once('end', abort)
  // This runs before http-proxy writes a refusal's headers to the socket and its unframed body after them.
  outgoing.on('response', (answer) => {
    settled(req)
    delete answer.headers['transfer-encoding']
    delete answer.headers['keep-alive']
    answer.headers.connection = 'close'
  })
  outgoing.on('upgrade', (_answer, serviceSocket: Socket) => {
    settled(req)
    socket.off('close', abort)
    socket.off('end', abort)
    socket.once('close', () => serviceSocket.destroy())
    serviceSocket.once('close', () => socket.destroy())
  })
}

function settled(req: IncomingMessage): void {
  const flight = flightOf(req)
  if (flight) settle(flight)
}

/**
 * A pooled connection that its service closed meanwhile: reads are sent once more on a new one. Where no connection came
 * about nothing was sent, so any request without a body may go to another replica.
 */
function mayRepeat(cause: Error, req: IncomingMessage, res: ServerResponse, hasOther: boolean): boolean {
  const flight = flightOf(req)
  if (!flight || flight.retried || flight.settled || !flight.bodyless) return false
  if (res.headersSent || isGone(req, res)) return false
  const { code = '' } = cause as NodeJS.ErrnoException
  if (hasOther && isUnconnected(cause)) return true
  return isRepeatable(flight.method, flight.path) && connectionLost.has(code)
}

/** True where there never was a connection: the same codes on one that was there leave open what has been sent. */
function isUnconnected(cause: Error): boolean {
  const { code, syscall = '' } = cause as NodeJS.ErrnoException
  const isOfConnecting = syscall === 'connect' || syscall === 'getaddrinfo'
  // Node gathers the failures of a name with several addresses.
  return isOfConnecting || code === 'UND_ERR_CONNECT_TIMEOUT' || cause instanceof AggregateError
}

function toAppError(service: ServiceName, cause: unknown): AppError {
  if (cause instanceof AppError) return cause
  const { code = '' } = cause as NodeJS.ErrnoException
  if (silent.has(code)) return new AppError('timeout', `${service} did not answer in time`, {}, { cause })
  if (unsendable.has(code))
    return new AppError('invalid_input', 'the path or a header holds characters that are not allowed')
  return new AppError('unavailable', `${service} is not available`, {}, { cause })
}
