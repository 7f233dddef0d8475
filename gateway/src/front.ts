import { type ServiceName, serviceNames } from '@fleetgate/contracts'
import { createRateLimit, type Guard, type Logger, type Metrics, type RateLimitOptions } from '@fleetgate/kit'
import { createAdmission } from './admission.js'
import { type ClientLimits, type Clients, createClients } from './clients.js'
import { createGate, type Gate } from './gate.js'
import type { Timing } from './proxy/agent.js'
import { type Balanced, createBalance, replicasOf } from './proxy/balance.js'
import { createReporter, type Reporter } from './report.js'
import { createTraffic } from './traffic.js'
import { createUpgrades, type Upgrades } from './upgrade.js'

export interface FrontOptions {
  log: Logger
  guard: Pick<Guard, 'token' | 'verify'>
  /** Base URL of each service; of its replicas, separated by commas. */
  services: Record<ServiceName, string>
  timing: Timing
  /** Connections to one service at the same time. */
  maxSockets: number
  /** Requests that may wait for an answer of one replica at the same time. */
  maxWaiting: number
  clients: ClientLimits
  rateLimit?: RateLimitOptions | undefined
  /** Proxies of one's own before the gateway. */
  trustedHops: number
}

export interface Front {
  gate: Gate
  upgrades: Upgrades
  report: Reporter
  clients: Clients
  /** Drops the connections to the services. */
  close(): void
}

/** Everything between a client's request and the services: wires the parts, no I/O. */
export function createFront(options: FrontOptions, metrics: Metrics): Front {
  const { log, guard, services, timing, maxSockets, maxWaiting, trustedHops } = options
  const traffic = createTraffic(metrics)
  const report = createReporter({ log, traffic })
  const clients = createClients(options.clients, report)
  const rateLimit = options.rateLimit && createRateLimit(options.rateLimit)
  const admission = createAdmission({ guard, rateLimit, now: Date.now })
  const upstreamOf = (service: ServiceName) =>
    createBalance({
      ...timing,
      service,
      urls: replicasOf(services[service]),
      maxSockets,
      maxWaiting,
      waitFor: clients.waitFor,
      fail: report.upstreamFailed,
      onRepeat: () => traffic.repeated(service),
      onCutOff: () => traffic.upstreamError(service, 'cut_off'),
      onOut(url, isOut, out) {
        traffic.replicasOut(service, out)
        log.info({ upstream: service, url, out }, isOut ? 'replica left out' : 'replica takes part again')
      }
    })
  const entries = serviceNames.map((service) => [service, upstreamOf(service)] as const)
  const upstreams = Object.fromEntries(entries) as Balanced
  const parts = { admission, upstreams, report, traffic, trustedHops }
  return {
    gate: createGate(parts),
    upgrades: createUpgrades(parts),
    report,
    clients,
    close() {
      clients.close()
      for (const [, upstream] of entries) upstream.close()
    }
  }
}
