import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { AppError, websocketCredentials } from '@fleetgate/kit'
import type { Admission } from './admission.js'
import { addressOf, prepareUpgradeHeaders, protoOf } from './headers.js'
import { type Destination, route, withoutSlash } from './paths.js'
import type { Balanced } from './proxy/balance.js'
import { board, note } from './proxy/flight.js'
import type { Reporter } from './report.js'
import type { Traffic } from './traffic.js'

export interface UpgradeOptions {
  admission: Admission
  upstreams: Balanced
  report: Reporter
  traffic: Traffic
  trustedHops: number
}

export interface Upgrades {
  /** Listener of the server's `upgrade`. */
  handle(server: Server, req: IncomingMessage, socket: Socket, head: Buffer): void
  /** Ends every open websocket. */
  close(): void
}

const websocketPath = '/websocket'

/** Websockets: admitted before the upgrade, then two sockets joined. */
export function createUpgrades({ admission, upstreams, report, traffic, trustedHops }: UpgradeOptions): Upgrades {
  const open = new Set<Socket>()

  async function upgrade(req: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const destination = websocketDestination(req)
    const flight = board(req, destination)
    const { requestId, trace } = flight
    const address = addressOf(req, trustedHops)
    const caller = await admission.admit(websocketCredentials(req), address, flight)
    note(req, caller)
    if (socket.destroyed) return
    prepareUpgradeHeaders(req.headers, { requestId, trace, address, proto: protoOf(req, trustedHops) })
    req.url = destination.url
    track(socket)
    upstreams[destination.rule.service].upgrade(req, socket, head)
  }

  function track(socket: Socket): void {
    open.add(socket)
    traffic.websockets(open.size)
    socket.once('close', () => {
      open.delete(socket)
      traffic.websockets(open.size)
    })
  }

  return {
    handle(server, req, socket, head) {
      if (req.headers.upgrade?.toLowerCase() !== 'websocket') {
        declineUpgrade(server, req, socket, head)
        return
      }
      // Without a listener a reset by the client would end the process.
      socket.on('error', () => socket.destroy())
      // Node keeps the other half open for as long as the client likes, and nothing times it out any more.
      socket.once('finish', () => socket.destroy())
      upgrade(req, socket, head).catch((error: unknown) => report.refuseUpgrade(req, socket, error))
    },
    close() {
      for (const socket of open) socket.destroySoon()
    }
  }
}

function websocketDestination(req: IncomingMessage): Destination {
  const destination = route(req.url ?? '')
  if (typeof destination !== 'string' && withoutSlash(destination.path) === websocketPath) return destination
  throw new AppError('unknown_route', 'there is no websocket at this path')
}

/**
 * Any other upgrade is an offer that a server may ignore (RFC 9110 §7.8), and Java's HTTP client makes one (h2c) with
 * its first request. Node hands those over like websockets, so the request is read again without its offer.
 */
function declineUpgrade(server: Server, req: IncomingMessage, socket: Socket, head: Buffer): void {
  const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}`]
  for (let index = 0; index < req.rawHeaders.length; index += 2) {
    const name = req.rawHeaders[index] as string
    if (!/^(upgrade|connection|http2-settings)$/i.test(name)) lines.push(`${name}: ${req.rawHeaders[index + 1]}`)
  }
  if (/\bclose\b/i.test(req.headers.connection ?? '')) lines.push('Connection: close')
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]))
  server.emit('connection', socket)
}
