import { type PrefixRule, type ServiceName, serviceNames } from '@fleetgate/contracts'
import { Counter, Gauge, Histogram, type Metrics } from '@fleetgate/kit'

export interface Traffic {
  /** One request of a routed path has ended; 499 stands for a client that left before the answer. */
  ended(rule: PrefixRule, method: string, status: number, seconds: number): void
  /** A service that did not answer as it should: `timeout`, `unavailable`, `cut_off`. */
  upstreamError(service: ServiceName, kind: string): void
  repeated(service: ServiceName): void
  websockets(open: number): void
  /** So many replicas of a service get no requests. */
  replicasOut(service: ServiceName, out: number): void
}

const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/**
 * Figures of what passes through. Requests are counted in plain maps and handed to prom-client when it is scraped: its
 * own counters hash their labels on every call, which costs more than routing the request.
 */
export function createTraffic({ registry }: Metrics): Traffic {
  const registers = [registry]
  const counts = new Map<PrefixRule, Map<string, number>>()
  const latencies = new Map<PrefixRule, { observe(seconds: number): void }>()
  const latency = new Histogram({
    name: 'gateway_request_duration_seconds',
    help: 'Time from the arrival of a request to the end of its answer',
    labelNames: ['upstream', 'prefix'] as const,
    buckets,
    registers
  })
  const errors = new Counter({
    name: 'gateway_upstream_errors_total',
    help: 'Requests that a service did not answer',
    labelNames: ['upstream', 'kind'] as const,
    registers
  })
  const repeats = new Counter({
    name: 'gateway_upstream_retries_total',
    help: 'Requests sent again because a pooled connection was dead',
    labelNames: ['upstream'] as const,
    registers
  })
  const sockets = new Gauge({ name: 'gateway_websockets_open', help: 'Websockets that are open', registers })
  const out = new Gauge({
    name: 'gateway_upstream_replicas_out',
    help: 'Replicas that get no requests because they are ending or dead',
    labelNames: ['upstream'] as const,
    registers
  })
  for (const upstream of serviceNames) out.set({ upstream }, 0)
  countRequests(registers, counts)

  return {
    ended(rule, method, status, seconds) {
      const key = `${knownMethods.has(method) ? method : 'OTHER'} ${status}`
      const byKey = counts.get(rule) ?? new Map<string, number>()
      byKey.set(key, (byKey.get(key) ?? 0) + 1)
      counts.set(rule, byKey)
      const bound = latencies.get(rule) ?? latency.labels({ upstream: rule.service, prefix: rule.prefix })
      latencies.set(rule, bound)
      bound.observe(seconds)
    },
    upstreamError: (service, kind) => errors.inc({ upstream: service, kind }),
    repeated: (service) => repeats.inc({ upstream: service }),
    websockets: (open) => sockets.set(open),
    replicasOut: (upstream, count) => out.set({ upstream }, count)
  }
}

function countRequests(registers: Metrics['registry'][], counts: Map<PrefixRule, Map<string, number>>): void {
  new Counter({
    name: 'gateway_requests_total',
    help: 'Requests by service, route prefix, method and status',
    labelNames: ['upstream', 'prefix', 'method', 'status'] as const,
    registers,
    collect() {
      this.reset()
      for (const [rule, byKey] of counts) {
        for (const [key, count] of byKey) {
          const [method = '', status = ''] = key.split(' ')
          this.inc({ upstream: rule.service, prefix: rule.prefix, method, status }, count)
        }
      }
    }
  })
}
