import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer } from 'node:tls'
import type { Log } from '@fleetgate/contracts'
import type { AddressRanges } from '@fleetgate/kit'
import { type RenewableServer, readCertificates, renewCertificates, type TlsFiles } from './certificates.js'
import { readProxyHeader } from './proxyHeader.js'
import { serveWebSockets } from './webSockets.js'

export interface ListenerOptions {
  host: string
  /** 0 takes a free one; absent: no such listener. */
  ports: Partial<Record<Protocol, number | undefined>>
  tls?: TlsFiles | undefined
  /** From these addresses a PROXY header comes first, at `mqtt:tcp`. */
  proxies?: AddressRanges | undefined
}

export type Protocol = 'mqtt:tcp' | 'mqtt:ssl' | 'mqtt:ws' | 'mqtt:wss'

export interface Listeners {
  readonly ports: ReadonlyMap<Protocol, number>
  close(): Promise<void>
}

export interface ListenerParts {
  options: ListenerOptions
  handshakeMs: number
  /** Before a byte is read; false closes the connection. */
  admit(socket: Socket): boolean
  accept(stream: Duplex, protocol: Protocol): void
  log: Log
}

/** TCP's own question after a silence: a client with keepalive 0 that lost its power is found only so. */
const tcp = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }
const backlog = 4096

/** Opens all that are asked for, or none: rejects where a port is taken or a file cannot be read. */
export async function openListeners(parts: ListenerParts): Promise<Listeners> {
  const { host, ports: wanted } = parts.options
  const ports = new Map<Protocol, number>()
  const servers: Server[] = []

  let stopRenewing = () => {}

  async function close(): Promise<void> {
    stopRenewing()
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }

  try {
    for (const [protocol, port] of Object.entries(wanted) as [Protocol, number | undefined][]) {
      if (port === undefined) continue
      const server = createOf(protocol, parts)
      server.prependListener('connection', (socket: Socket) => {
        if (!comesByProxy(protocol, socket, parts.options) && !parts.admit(socket)) socket.destroy()
      })
      ports.set(protocol, await listen(server, host, port))
      servers.push(server)
    }
  } catch (error) {
    await close()
    throw error
  }
  const secure = servers.filter((server): server is Server & RenewableServer => 'setSecureContext' in server)
  if (parts.options.tls && secure.length > 0) stopRenewing = renewCertificates(secure, parts.options.tls, parts.log)
  return { ports, close }
}

function comesByProxy(protocol: Protocol, { remoteAddress }: Socket, { proxies }: ListenerOptions): boolean {
  return protocol === 'mqtt:tcp' && proxies?.has(remoteAddress ?? '') === true
}

function createOf(protocol: Protocol, parts: ListenerParts): Server {
  const { options, handshakeMs, accept } = parts
  const take = (stream: Duplex) => accept(stream, protocol)
  if (protocol === 'mqtt:tcp') {
    return createServer(tcp, (socket) => {
      if (comesByProxy(protocol, socket, options)) takeProxied(socket, parts, take)
      else take(socket)
    })
  }
  const timeouts = { headersTimeout: handshakeMs, requestTimeout: handshakeMs }
  if (protocol === 'mqtt:ws') return webSockets(createHttpServer({ ...tcp, ...timeouts }), take)
  const secure = { ...tcp, ...certificates(options), handshakeTimeout: handshakeMs }
  if (protocol === 'mqtt:wss') return webSockets(createHttpsServer({ ...secure, ...timeouts }), take)
  const server = createTlsServer(secure, take)
  // A handshake that fails is the client's affair.
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return server
}

/** Limits count for whom the proxy speaks, not for the proxy. */
function takeProxied(socket: Socket, { handshakeMs, admit, log }: ListenerParts, take: (socket: Socket) => void): void {
  readProxyHeader(socket, handshakeMs).then(
    () => {
      if (admit(socket)) take(socket)
      else socket.destroy()
    },
    (err) => {
      log.debug({ err }, 'connection of a proxy without its header')
      socket.destroy()
    }
  )
}

function webSockets(server: HttpServer, take: (stream: Duplex) => void): Server {
  serveWebSockets(server, take)
  return server
}

function certificates({ tls }: ListenerOptions) {
  if (!tls) throw new Error('a TLS listener needs a certificate')
  return { ...readCertificates(tls), ...(tls.clientCaFile && { requestCert: true, rejectUnauthorized: true }) }
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog }, () => {
      server.off('error', reject)
      const address = server.address()
      resolve(typeof address === 'object' && address ? address.port : port)
    })
  })
}
