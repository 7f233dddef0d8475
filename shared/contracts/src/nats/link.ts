import { type ConnectionOptions, connect, type Msg, type MsgHdrs, type NatsConnection } from 'nats'
import type { BusOptions } from '../bus.js'

/** Rejection of a request whose connection went away before the answer came. */
export class ConnectionLost extends Error {
  constructor() {
    super('the connection to NATS was lost')
  }
}

/** The connection and what the rest of the bus must know of its state. */
export interface Link {
  readonly connection: NatsConnection
  isUp(): boolean
  /** Resolves when connected, when the connection was closed, or when the signal aborts. */
  whenUp(signal?: AbortSignal): Promise<void>
  /** A NATS request that rejects at once when the connection is lost, instead of at its time-out. */
  request(subject: string, payload: Uint8Array | string, options: { timeout: number; headers: MsgHdrs }): Promise<Msg>
  /** Calls back after each reconnect and when the connection was closed; the returned function ends that. */
  onReconnect(listener: () => void): () => void
}

/** Connects, waiting for NATS as long as it takes, and stays connected for ever. */
export async function openLink({ name, url, log }: BusOptions): Promise<Link> {
  const waiting = setInterval(() => log.warn({ url: withoutPassword(url) }, 'waiting for NATS'), 5_000)
  const connection = await connect(connectionOptions(name, url)).finally(() => clearInterval(waiting))
  outlastRefusals(connection)
  const lost = new Set<(error: Error) => void>()
  const reconnected = new Set<() => void>()
  let isUp = true

  void (async () => {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') {
        // A server that refuses us is met again several times a second.
        if (isUp) log.warn({}, 'disconnected from NATS')
        isUp = false
        for (const reject of [...lost]) reject(new ConnectionLost())
      } else if (status.type === 'reconnect') {
        isUp = true
        log.info({}, 'connected to NATS again')
        for (const listener of [...reconnected]) listener()
      }
    }
    isUp = false
    for (const listener of [...reconnected]) listener()
  })()

  function whenUp(signal?: AbortSignal): Promise<void> {
    if (isUp || connection.isClosed() || signal?.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        reconnected.delete(done)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      reconnected.add(done)
      signal?.addEventListener('abort', done)
    })
  }

  return {
    connection,
    isUp: () => isUp && !connection.isClosed(),
    whenUp,
    request: (subject, payload, options) =>
      new Promise((resolve, reject) => {
        lost.add(reject)
        connection
          .request(subject, payload, options)
          .then(resolve, reject)
          .finally(() => lost.delete(reject))
      }),
    onReconnect(listener) {
      reconnected.add(listener)
      return () => reconnected.delete(listener)
    }
  }
}

/**
 * A wrong password at the start is a wrong setting, and `connect` says so. Later on it is a server that was changed before or
 * after us: its client would close for ever at the second refusal in a row. It reads this setting from where it keeps it.
 */
function outlastRefusals(connection: NatsConnection): void {
  const { options } = connection as unknown as { options: ConnectionOptions }
  options.ignoreAuthErrorAbort = true
}

/** `url` may list several servers, separated by commas, and carry a user and password or a token. */
function connectionOptions(name: string, url: string): ConnectionOptions {
  const urls = url.split(',').map((one) => new URL(one.trim()))
  const [{ username, password }] = urls as [URL]
  const user = decodeURIComponent(username)
  const credentials = password ? { user, pass: decodeURIComponent(password) } : user ? { token: user } : {}
  return {
    servers: urls.map(({ protocol, host }) => `${protocol}//${host}`),
    name,
    ...credentials,
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => 100 + Math.random() * 100,
    pingInterval: 10_000,
    maxPingOut: 2,
    // A stack trace per request costs more than the request.
    noAsyncTraces: true
  }
}

function withoutPassword(url: string): string {
  return url.replaceAll(/\/\/[^@/,]*@/g, '//')
}
