import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import {
  AppError,
  type Bus,
  type Caller,
  dialects,
  errorReply,
  type Guard,
  type Log,
  newRequestId,
  toAppError,
  websocketCredentials
} from '@fleetgate/kit'
import { type WebSocket, WebSocketServer } from 'ws'
import type { EntityStore } from '../entities/entityStore.js'
import type { Grants } from '../grants/grants.js'
import type { ReachOf } from '../grants/reach.js'
import { type Connection, createConnection } from './connection.js'
import { createFeeds } from './feeds.js'

export interface LiveOptions {
  server: Server
  guard: Guard
  bus: Pick<Bus, 'listen'>
  entities: Pick<EntityStore, 'findByKeys'>
  reachOf: ReachOf
  grants: Pick<Grants, 'scopeOf'>
  log: Log
  now: () => number
  maxSockets: number
  pingMs: number
}

export interface Live {
  /** Open websockets. */
  count(): number
  close(): Promise<void>
}

const paths = new Set(['/websocket', '/api/v1/websocket'])
const maxFrame = 512 * 1024
/** A dead token and lost rights have to count within a second. */
const checkMs = 400
const goingAway = 1001
const grantTypes = ['INTEGRATION', 'DEVICE', 'ENTITY', 'WORKFLOW'] as const

/** Live push: websockets that hear of new values. Takes the upgrades of the server. */
export function createLive(options: LiveOptions): Live {
  const { server, guard, entities, reachOf, grants, log, now, maxSockets } = options
  const sockets = new WebSocketServer({ noServer: true, maxPayload: maxFrame, perMessageDeflate: false })
  const feeds = createFeeds(options.bus)
  const open = new Set<Connection>()

  async function visible(keys: string[], caller: Caller): Promise<string[]> {
    return (await entities.findByKeys(caller.tenantId, keys, await reachOf(caller))).map(({ key }) => key)
  }

  async function rightsOf(caller: Caller): Promise<readonly unknown[]> {
    return Promise.all(grantTypes.map(async (type) => (await grants.scopeOf(caller, type)).ids))
  }

  async function admit(
    request: IncomingMessage
  ): Promise<{ caller: Caller; identify: () => Caller | Promise<Caller> }> {
    const path = (request.url ?? '').split('?')[0] ?? ''
    if (!paths.has(path)) throw new AppError('unknown_route', 'there is no websocket at this path')
    if (open.size >= maxSockets) throw new AppError('unavailable', 'too many websockets are open')
    const credentials = websocketCredentials(request)
    const verify = () => guard.verify(credentials, '')
    const caller = await verify()
    if (!credentials || !('bearer' in credentials)) return { caller, identify: verify }
    return { caller, identify: () => tokenOr(credentials.bearer, verify) }
  }

  /** With what is at hand; where that is not enough auth is asked. */
  function tokenOr(bearer: string, verify: () => Promise<Caller>): Caller | Promise<Caller> {
    try {
      return guard.token(bearer)
    } catch {
      return verify()
    }
  }

  function accept(socket: WebSocket, who: Awaited<ReturnType<typeof admit>>): void {
    const connection = createConnection({ socket, ...who, feeds, visible, rightsOf, log, now })
    open.add(connection)
    socket.on('close', () => open.delete(connection))
  }

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Without a listener a reset by the client would end the process.
    socket.on('error', () => socket.destroy())
    admit(request)
      .then((who) => {
        if (!socket.destroyed) sockets.handleUpgrade(request, socket, head, (made) => accept(made, who))
      })
      .catch((error) => socket.end(refusal(error)))
  }

  server.on('upgrade', upgrade)
  const checking = setInterval(() => {
    for (const connection of open) void connection.check()
  }, checkMs)
  const pinging = setInterval(() => {
    for (const connection of open) connection.ping()
  }, options.pingMs)

  return {
    count: () => open.size,
    async close() {
      server.off('upgrade', upgrade)
      clearInterval(checking)
      clearInterval(pinging)
      const closed = [...sockets.clients].map((socket) => new Promise((resolve) => socket.once('close', resolve)))
      for (const connection of open) connection.end(goingAway, 'the service stops')
      await Promise.all(closed)
      await feeds.close()
    }
  }
}

function refusal(error: unknown): string {
  const { status, headers, body } = errorReply(dialects.beaver, toAppError(error), newRequestId())
  const all = { ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n${body}`
}
