import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { awaitsBody } from './arrival.js'
import type { Flight } from './flight.js'

/** One that waits for the answer of a service, whether it has a connection yet or not. */
export interface Waiter {
  readonly room: Set<Waiter>
  readonly req: IncomingMessage
  readonly to: ServerResponse | Socket
  /** `performance.now()` since which it is the service that has to do something. */
  since: number
  /** Of the client's connection, as far as seen. */
  bytes: number
  /** The whole request is here: from now on only the service can do something. */
  isWhole: boolean
}

export interface WaitingRoomOptions {
  /** How many may wait at the same time. */
  most: number
  timeoutMs: number
  /** The service did nothing for `timeoutMs`. */
  expire(waiter: Waiter): void
}

export interface WaitingRoom {
  /** False where it is full. Who has entered leaves when its flight is settled. */
  enter(flight: Flight, req: IncomingMessage, to: ServerResponse | Socket): boolean
  isFull(): boolean
  close(): void
}

/**
 * Who waits for the first byte of an answer of one service. A service that hangs takes connections and says nothing; without
 * a bound every client would wait for it in turn. One timer looks at all of them, which is cheaper than one for each.
 */
export function createWaitingRoom({ most, timeoutMs, expire }: WaitingRoomOptions): WaitingRoom {
  const room = new Set<Waiter>()

  function look(): void {
    const now = performance.now()
    for (const waiter of room) {
      if (!waiter.isWhole && hasMoved(waiter)) waiter.since = now
      else if (now - waiter.since > timeoutMs) expire(waiter)
    }
  }

  const timer = setInterval(look, Math.max(10, Math.min(1000, timeoutMs / 4)))
  timer.unref()

  return {
    enter(flight, req, to) {
      if (room.size >= most) return false
      const isWhole = flight.bodyless || flight.body !== undefined
      const waiter: Waiter = { room, req, to, since: performance.now(), bytes: req.socket.bytesRead, isWhole }
      flight.waiting = waiter
      room.add(waiter)
      return true
    },
    isFull: () => room.size >= most,
    close: () => clearInterval(timer)
  }
}

/** An upload goes on: bytes were taken, or it is the client who has to send some. */
function hasMoved(waiter: Waiter): boolean {
  const { req, bytes } = waiter
  waiter.isWhole = req.complete
  waiter.bytes = req.socket.bytesRead
  return waiter.isWhole || waiter.bytes !== bytes || awaitsBody(req)
}
