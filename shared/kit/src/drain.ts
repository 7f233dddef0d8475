import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Drain {
  isDraining(): boolean
  /** Counts an answer in until its `close`. */
  begin(response: ServerResponse): void
  end(response: ServerResponse): void
  /**
   * For `lameMs` goes on serving while every answer says that its connection ends; then stops accepting, lets running
   * requests finish and closes every connection; after the limit it cuts them.
   */
  close(limitMs: number, lameMs?: number): Promise<void>
}

/** Closes an http server without failing a request that has begun. */
export function createDrain(server: Server): Drain {
  const running = new Set<ServerResponse>()
  const sockets = new Set<Socket>()
  let closing: Promise<void> | undefined

  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })

  async function close(limitMs: number, lameMs: number): Promise<void> {
    for (const response of running) response.shouldKeepAlive = false
    // A request that is sent while we close its idle connection is lost. Whoever sends gets to know before.
    if (lameMs > 0) await sleep(lameMs)
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    // Connections that never carried a request count as busy for node.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
    const limit = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, limitMs - lameMs)
    await closed
    clearTimeout(limit)
  }

  return {
    isDraining: () => closing !== undefined,
    begin(response) {
      running.add(response)
      if (closing) response.shouldKeepAlive = false
    },
    end(response) {
      running.delete(response)
      // An answer whose headers had left before the drain did not say `Connection: close`.
      if (closing && !server.listening) setImmediate(() => server.closeIdleConnections())
    },
    close(limitMs, lameMs = 0) {
      closing ??= close(limitMs, lameMs)
      return closing
    }
  }
}
