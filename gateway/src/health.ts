import type { ServiceName } from '@fleetgate/contracts'
import type { Metrics } from '@fleetgate/kit'
import { type RequestHandler, Router } from 'express'
import { isLoopback } from './headers.js'
import { anyReplica } from './proxy/balance.js'

export interface HealthOptions {
  isNatsReady: () => boolean
  areKeysLoaded: () => boolean
  isDraining: () => boolean
  services: Record<ServiceName, string>
  metrics: Metrics
  metricsPublic: boolean
}

const probeMs = 1000
/** Anybody may ask, so the services are not asked anew for each. */
const keepMs = 2000

/** /healthz, /readyz and /metrics of the gateway itself. */
export function healthRoutes(options: HealthOptions): Router {
  const probe = createProbe(options.services)
  const router = Router({ caseSensitive: true })
  router.get('/healthz', (_req, res) => void res.json({ status: 'ok' }))
  router.get('/readyz', async (_req, res) => {
    const checks = { nats: options.isNatsReady(), keys: options.areKeysLoaded(), running: !options.isDraining() }
    const isReady = Object.values(checks).every(Boolean)
    // A dead service is its own paths' trouble; taking the door away would break all the others too.
    res.status(isReady ? 200 : 503).json({ status: isReady ? 'ready' : 'not ready', checks, services: await probe() })
  })
  router.get('/metrics', localOnly(options.metricsPublic), async (_req, res) => {
    res.type(options.metrics.registry.contentType).send(await options.metrics.registry.metrics())
  })
  return router
}

/** A request that came through a proxy is not of this machine, whatever its peer is. */
function localOnly(everybody: boolean): RequestHandler {
  return (req, _res, next) => {
    const peer = (req.socket.remoteAddress ?? '').replace('::ffff:', '')
    const isLocal = isLoopback(peer) && req.headers['x-forwarded-for'] === undefined && !req.headers.forwarded
    next(everybody || isLocal ? undefined : 'router')
  }
}

type Reachable = Record<string, boolean>

function createProbe(services: Record<string, string>): () => Promise<Reachable> {
  let known: { at: number; answer: Promise<Reachable> } | undefined
  async function ask(): Promise<Reachable> {
    const entries = Object.entries(services).map(
      async ([name, url]) => [name, await anyReplica(url, isReachable)] as const
    )
    return Object.fromEntries(await Promise.all(entries))
  }
  return () => {
    const at = performance.now()
    if (!known || at - known.at > keepMs) known = { at, answer: ask() }
    return known.answer
  }
}

async function isReachable(url: string): Promise<boolean> {
  try {
    const answer = await fetch(new URL('/healthz', url), { signal: AbortSignal.timeout(probeMs) })
    await answer.body?.cancel()
    return answer.ok
  } catch {
    return false
  }
}
