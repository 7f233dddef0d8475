import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Dispatcher } from 'undici'
import { relayedHeaders } from '../headers.js'
import { type Flight, isGone, settle } from './flight.js'

export interface ExchangeEnd {
  /** There is no answer. */
  onError(cause: Error, req: IncomingMessage, res: ServerResponse): void
  /** The service died in the middle of its answer. */
  onCutOff(): void
  /** The client has to take what is there before there is more. */
  waitFor(res: ServerResponse): void
  /** The service says that it closes the connection: it is ending. */
  onEnding(): void
}

/** undici's types do not name the header list, whose names are as the service wrote them. */
type Controller = Dispatcher.DispatchController & { rawHeaders: readonly Buffer[] }

/**
 * One request without a body, from its pooled connection back to the client. A class, because there is one for each
 * request: its methods are made once.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  #controller: Controller | undefined
  #isAnswered = false
  #length = Number.NaN

  constructor(
    readonly req: IncomingMessage,
    readonly res: ServerResponse,
    readonly flight: Flight,
    readonly end: ExchangeEnd
  ) {}

  /** Gives the request up: nobody waits for its answer. */
  destroy(): void {
    this.#controller?.abort(new Error('the client has left'))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller as Controller
    this.flight.outgoing = this
    // The client may have left while the request waited for a connection.
    if (this.flight.settled || isGone(this.req, this.res)) this.destroy()
  }

  onResponseStart(_: unknown, status: number, headers: IncomingHttpHeaders, message?: string): void {
    const { flight, res } = this
    if (status < 200) return
    if (flight.settled || isGone(this.req, res)) {
      this.destroy()
      return
    }
    this.#isAnswered = true
    settle(flight)
    this.#length = Number(headers['content-length'])
    if (headers.connection === 'close') this.end.onEnding()
    res.writeHead(status, message, relayedHeaders(this.#controller?.rawHeaders ?? [], flight.requestId))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // Most answers are one chunk: written with the head in one piece.
    if (chunk.length === this.#length) this.res.end(chunk)
    else if (!this.res.write(chunk)) {
      controller.pause()
      this.end.waitFor(this.res)
      this.res.once('drain', () => controller.resume())
    }
  }

  onResponseEnd(): void {
    if (!this.res.writableEnded) this.res.end()
  }

  onResponseError(_: unknown, cause: Error): void {
    const { req, res } = this
    if (!this.#isAnswered) {
      this.end.onError(cause, req, res)
      return
    }
    // A service that dies in the middle must not look like a short answer, nor leave the client waiting.
    if (!isGone(req, res)) this.end.onCutOff()
    res.destroy()
  }
}
