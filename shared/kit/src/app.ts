import type { Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AppError, type DialectName, newRequestId } from '@fleetgate/contracts'
import express, { type Express, type RequestHandler } from 'express'
import { type AuditOptions, audited, checkActions } from './audited.js'
import type { Dialect, JsonSchema } from './dialects/dialect.js'
import { dialectOf } from './dialects/index.js'
import { createDrain } from './drain.js'
import { sendError } from './errors.js'
import type { Guard } from './guard.js'
import { createHandler } from './handler.js'
import { type Checks, createHealth } from './health.js'
import { createMetrics, type Metrics } from './metrics.js'
import { toOpenApi } from './openapi.js'
import { type AppLog, createRequestLog } from './requestLog.js'
import type { Route } from './route.js'
import { createHttpServer, type KitRequest } from './server.js'

export interface Api {
  dialect: Dialect
  /** Mounted in order: of two that match a path, the first answers. */
  routes: readonly Route[]
}

export interface AppOptions {
  service: string
  log: AppLog
  /** May be left out where every route is public. */
  guard?: Guard | undefined
  apis: readonly Api[]
  /** What /readyz asks, by name. The guard's keys are asked for anyway. */
  checks?: Checks
  checkReplies?: boolean
  /** Keeps a record of every change that somebody makes over these routes. */
  audit?: AuditOptions | undefined
  /** Runs before the routes. What runs after them is added with `app.express.use`. */
  middleware?: readonly RequestHandler[]
  metrics?: Metrics
  /** Whose X-Forwarded-For is believed (Express's `trust proxy`); default private networks: the gateway's side. */
  trustProxy?: boolean | number | string | string[]
  /** How long `close` waits for running requests, default 8 s. */
  closeLimitMs?: number
}

export interface App {
  readonly express: Express
  /** For `upgrade` listeners. Whoever upgrades a connection also ends it at shutdown. */
  readonly server: Server
  readonly metrics: Metrics
  openapi(dialect: DialectName): JsonSchema | undefined
  listen(port?: number, host?: string): Promise<Listening>
  /** Goes on serving for `drainMs` (0) while those in front turn away, then finishes what runs. */
  close(drainMs?: number): Promise<void>
}

export interface Listening {
  port: number
  url: string
  close(drainMs?: number): Promise<void>
}

const privateNetworks = ['loopback', 'linklocal', 'uniquelocal']

/** The http side of a process: routes, health, metrics, log lines, errors in the dialect of the path. No I/O. */
export function createApp(options: AppOptions): App {
  const { service, log, closeLimitMs = 8000 } = options
  const app = createExpress(options)
  const metrics = options.metrics ?? createMetrics(service)
  const documents = printDocuments(options)
  const finished = createRequestLog(log, metrics)
  const server = createHttpServer(app, (request, response) => {
    drain.begin(response)
    response.on('close', onClose)
    if (answerHealth(request, response)) return
    startRequest(request, response)
    app(request, response, (error?: unknown) => answerUnmatched(request, response, error))
  })
  const drain = createDrain(server)
  const checks = { ...options.checks, ...(options.guard && { keys: options.guard.isReady }) }
  const answerHealth = createHealth({ checks, metrics, isDraining: drain.isDraining, documents: byPath(documents) })

  function onClose(this: ServerResponse): void {
    drain.end(this)
    // Health probes have no request id and are not worth a line.
    if ((this.req as unknown as KitRequest).requestId !== '') finished(this)
  }

  const close = (drainMs?: number) => drain.close(closeLimitMs, drainMs)
  return {
    express: app,
    server,
    metrics,
    openapi: (name) => documents.get(name)?.(),
    listen: (port = 0, host = '127.0.0.1') => listen(server, port, host, close),
    close
  }
}

function createExpress({ apis, guard, audit, checkReplies = false, middleware = [], ...options }: AppOptions): Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.enable('case sensitive routing')
  app.set('trust proxy', options.trustProxy ?? privateNetworks)
  for (const handler of middleware) app.use(handler)
  if (audit) {
    checkActions(
      apis.flatMap(({ routes }) => routes),
      audit.actions
    )
  }
  for (const { dialect, routes } of apis) {
    for (const route of audit ? audited(routes, audit) : routes) {
      const handler = createHandler({ route, dialect, guard, checkReplies })
      app[route.method](pathsOf(route), handler as unknown as RequestHandler)
    }
  }
  for (const { dialect, routes } of apis) if (dialect.tellsMethods) refuseOtherMethods(app, dialect, routes)
  return app
}

const pathsOf = ({ path, aliases = [] }: Route) => [path, ...aliases]

/** Behind all routes: what comes here has found its path and not its method. */
function refuseOtherMethods(app: Express, dialect: Dialect, routes: readonly Route[]): void {
  const known = new Map<string, string[]>()
  for (const route of routes) {
    const methods = route.method === 'get' ? ['GET', 'HEAD'] : [route.method.toUpperCase()]
    for (const path of pathsOf(route)) known.set(path, [...(known.get(path) ?? []), ...methods])
  }
  for (const [path, methods] of known) {
    app.all(path, (request, response, next) => {
      if (request.method === 'OPTIONS') return next()
      const { requestId } = request as unknown as KitRequest
      response.setHeader('Allow', methods.join(', '))
      sendError(response, dialect, new AppError('unsupported', `${request.method} is not known here`), requestId)
    })
  }
}

function printDocuments({ service, apis }: AppOptions): Map<DialectName, () => JsonSchema> {
  const documents = new Map<DialectName, () => JsonSchema>()
  for (const { dialect } of apis) {
    let printed: JsonSchema | undefined
    documents.set(dialect.name, () => {
      const routes = apis.filter((api) => api.dialect === dialect).flatMap((api) => api.routes)
      printed ??= toOpenApi({ service, dialect, routes })
      return printed
    })
  }
  return documents
}

function byPath(documents: ReadonlyMap<DialectName, () => JsonSchema>): Map<string, () => JsonSchema> {
  return new Map([...documents].map(([name, print]) => [`/openapi/${name}.json`, print]))
}

const safeRequestId = /^[A-Za-z0-9_.:-]{1,64}$/

function startRequest(request: KitRequest, response: ServerResponse): void {
  const given = request.headers['x-request-id']
  request.requestId = typeof given === 'string' && safeRequestId.test(given) ? given : newRequestId()
  response.setHeader('X-Request-Id', request.requestId)
}

/** No route took it, or the path could not even be read. */
function answerUnmatched(request: KitRequest, response: ServerResponse, error: unknown): void {
  const path = (request.originalUrl ?? request.url).split('?')[0] ?? '/'
  const reason = error ?? new AppError('unknown_route', `no such operation: ${request.method} ${path.slice(0, 200)}`)
  sendError(response, dialectOf(path), reason, request.requestId)
}

async function listen(server: Server, port: number, host: string, close: Listening['close']): Promise<Listening> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const { port: bound } = server.address() as AddressInfo
  const shown = host.includes(':') ? `[${host}]` : host
  return { port: bound, url: `http://${shown}:${bound}`, close }
}
