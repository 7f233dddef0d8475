import { createHmac } from 'node:crypto'
import {
  type Agent,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  request,
  type Server
} from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { AppError, type ServiceName, serviceNames } from '@fleetgate/contracts'
import { badSignature, type Caller, createGuard, createLog, toCallerData } from '@fleetgate/kit'
import { quietLog, testGuardKeys, until } from '@fleetgate/testkit'
import { createGateway, type GatewayOptions } from '../src/app.js'
import type { ClientLimits } from '../src/clients.js'

export interface Teardown {
  teardown(close: () => unknown): void
}

export interface Seen {
  service: ServiceName
  method: string
  url: string
  headers: IncomingHttpHeaders
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
  json(): Record<string, unknown>
}

export interface Ask {
  method?: string
  headers?: Record<string, string | string[]>
  body?: string | Buffer
  agent?: Agent
}

const keys = testGuardKeys()
export const token = keys.token
export const signedIn = { authorization: `Bearer ${keys.token()}` }

const basicCaller: Caller = {
  userId: '7',
  tenantId: 't1',
  email: 'ann@example.com',
  nickname: 'ann',
  isSuperAdmin: false,
  codes: new Set(['broker.view']),
  version: 1
}

export const accessKey = { accessKey: 'AKEXAMPLE00000000001', secret: 'secret of the access key' }

export function testGuard() {
  return createGuard({
    log: quietLog,
    keys: async () => keys.keys,
    verifyBasic: async ({ username, password }) => {
      if (username === 'ann@example.com' && password === 'right') return toCallerData(basicCaller)
      throw new AppError('bad_credentials', 'wrong password')
    },
    verifySignature: async ({ texts, signature }) => {
      const isGood = texts.some(
        (text) => createHmac('sha256', accessKey.secret).update(text).digest('hex') === signature
      )
      if (!isGood) throw badSignature('wrong signature')
      return { tokenId: 'k1', caller: toCallerData(basicCaller), codes: ['broker.view'], expiresAt: 1e15 }
    }
  })
}

/** A small server in place of a service. Its connections die with it. */
export async function startBackend(t: Teardown, listener: RequestListener, port = 0) {
  const server: Server = createServer(listener)
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const bound = (server.address() as AddressInfo).port
  const stop = async () => {
    if (!server.listening) return
    const closed = new Promise((resolve) => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  t.teardown(stop)
  return { server, sockets, port: bound, url: `http://127.0.0.1:${bound}`, stop }
}

/** The gateway before five backends that say who they are and remember what they were asked. */
export async function startFleet(t: Teardown, options: Partial<GatewayOptions> = {}) {
  const seen: Seen[] = []
  const services = {} as Record<ServiceName, string>
  for (const service of serviceNames) {
    const backend = await startBackend(t, (req, res) => {
      seen.push({ service, method: req.method ?? '', url: req.url ?? '', headers: req.headers })
      req.resume()
      req.on('end', () =>
        res.setHeader('content-type', 'application/json').end(JSON.stringify({ service, url: req.url }))
      )
    })
    services[service] = backend.url
  }
  const gateway = await startGateway(t, { services, ...options })
  return { ...gateway, seen }
}

/** Limits that no test meets by accident. */
export const patient: ClientLimits = {
  headersMs: 60_000,
  bytesPerSecond: 500,
  windowMs: 60_000,
  bodyMs: 600_000,
  readMs: 60_000
}

export type Gateway = Awaited<ReturnType<typeof startGateway>>

export async function startGateway(t: Teardown, options: Partial<GatewayOptions>) {
  const guard = await testGuard()
  const nowhere = Object.fromEntries(serviceNames.map((name) => [name, 'http://127.0.0.1:1'])) as Record<
    ServiceName,
    string
  >
  const gateway = createGateway({
    log: createLog('gateway', 'silent'),
    guard,
    isNatsReady: () => true,
    maxSockets: 256,
    maxWaiting: 1000,
    clients: patient,
    trustedHops: 0,
    metricsPublic: false,
    timing: { timeoutMs: 5000, connectTimeoutMs: 1000 },
    ...options,
    services: { ...nowhere, ...options.services }
  })
  const { port, url } = await gateway.listen(0, '127.0.0.1')
  t.teardown(async () => {
    await gateway.close(0, 100)
    await guard.close()
  })
  return { gateway, guard, port, url, ask: (path: string, ask?: Ask) => askAt(port, path, ask) }
}

/** The gateway before one backend in place of the scheduler. */
export async function startBefore(
  t: Teardown,
  listener: RequestListener,
  timing = { timeoutMs: 5000, connectTimeoutMs: 1000 },
  options: Partial<GatewayOptions> = {}
) {
  const backend = await startBackend(t, listener)
  const gateway = await startGateway(t, {
    timing,
    ...options,
    services: { scheduler: backend.url } as Record<ServiceName, string>
  })
  return { backend, ...gateway }
}

/** One request whose path goes out exactly as written; fetch would tidy it up. */
export function askAt(
  port: number,
  path: string,
  { method = 'GET', headers = {}, body, agent }: Ask = {}
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers, agent }, (incoming) => {
      read(incoming).then((text) => resolve(toAnswer(incoming, text)), reject)
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

export async function read(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

function toAnswer(incoming: IncomingMessage, body: string): Answer {
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body, json: () => JSON.parse(body) }
}

/** Bytes as written over a bare connection; answers all that came back once `enough` is satisfied or it was closed. */
export async function speak(port: number, text: string | Buffer, enough: (heard: string) => boolean): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let heard = ''
  let closed = false
  socket.on('data', (chunk) => {
    heard += chunk.toString('latin1')
  })
  socket.on('close', () => {
    closed = true
  })
  socket.on('error', () => {})
  socket.write(text)
  await until(() => closed || enough(heard), { what: 'an answer on the bare connection' })
  socket.destroy()
  return heard
}
