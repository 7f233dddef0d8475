import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError, createDrain, createHttpServer, createMetrics, type Guard, type Metrics } from '@fleetgate/kit'
import express, { type Express, type Request, type Response } from 'express'
import { consoleRoutes } from './console/routes.js'
import { docsRoutes } from './docs/routes.js'
import { createFront, type FrontOptions } from './front.js'
import { healthRoutes } from './health.js'

export interface GatewayOptions extends FrontOptions {
  guard: Pick<Guard, 'token' | 'verify' | 'isReady'>
  isNatsReady: () => boolean
  metricsPublic: boolean
}

export interface Gateway {
  readonly metrics: Metrics
  listen(port: number, host: string): Promise<{ port: number; url: string }>
  /**
   * Goes on serving for `drainMs` while those in front turn away, then takes no new connections, finishes what is under
   * way, ends websockets; cuts what is left after the limit.
   */
  close(drainMs?: number, limitMs?: number): Promise<void>
}

/** The gateway's http server. Requests for services pass before Express is entered; it serves the gateway's own pages. */
export function createGateway(options: GatewayOptions): Gateway {
  const metrics = createMetrics('gateway')
  const front = createFront(options, metrics)
  const own = express()
  const serve = (req: IncomingMessage, res: ServerResponse) => {
    drain.begin(res)
    res.on('close', onClose)
    front.clients.begin(req, res)
    front.gate(req, res, () => serveOwn(req, res))
  }
  const serveOwn = (req: IncomingMessage, res: ServerResponse) =>
    own(req as Request, res as Response, (error: unknown) =>
      front.report.refuseUnrouted(req, res, error ?? new AppError('unknown_route', 'no such path'))
    )
  const { headersMs } = options.clients
  const server = createHttpServer(own, serve, { connectionsCheckingInterval: Math.min(5000, headersMs) })
  const drain = createDrain(server)
  function onClose(this: ServerResponse): void {
    drain.end(this)
    front.clients.end(this.req)
  }
  addOwnRoutes(own, options, metrics, drain.isDraining)
  server.headersTimeout = headersMs
  // A whole upload may take as long as it goes on coming: see clients.ts.
  server.requestTimeout = 0
  server.on('checkContinue', serve)
  server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) =>
    front.upgrades.handle(server, req, socket, head)
  )

  return {
    metrics,
    listen: (port, host) => listen(server, port, host),
    async close(drainMs = 0, limitMs = 8000) {
      const closed = drain.close(limitMs, drainMs)
      if (drainMs > 0) await sleep(drainMs)
      front.upgrades.close()
      await closed
      front.close()
    }
  }
}

function addOwnRoutes(own: Express, options: GatewayOptions, metrics: Metrics, isDraining: () => boolean): void {
  const { guard, isNatsReady, services, metricsPublic } = options
  own.disable('x-powered-by')
  own.enable('case sensitive routing')
  own.use(healthRoutes({ isNatsReady, areKeysLoaded: guard.isReady, isDraining, services, metrics, metricsPublic }))
  own.use(docsRoutes(services))
  own.use(consoleRoutes())
}

async function listen(server: Server, port: number, host: string): Promise<{ port: number; url: string }> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const bound = (server.address() as AddressInfo).port
  return { port: bound, url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}` }
}
