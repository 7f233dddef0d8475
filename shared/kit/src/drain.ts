import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export interface Drain {
  isDraining(): boolean
  /** Counts an answer in until its `close`. */
  begin(response: ServerResponse): void
  end(response: ServerResponse): void
  /** Stops accepting, lets running requests finish, closes every connection; after the limit it cuts them. */
  close(limitMs: number): Promise<void>
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

  async function close(limitMs: number): Promise<void> {
    for (const response of running) response.shouldKeepAlive = false
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    // Connections that never carried a request count as busy for node.
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
    const limit = setTimeout(() => {
      for (const socket of sockets) socket.destroy()
    }, limitMs)
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
      if (closing) setImmediate(() => server.closeIdleConnections())
    },
    close(limitMs) {
      closing ??= close(limitMs)
      return closing
    }
  }
}
