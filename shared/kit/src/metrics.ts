import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'

export { Counter, Gauge, Histogram } from 'prom-client'

export interface Metrics {
  /** Register a service's own figures here: `new Gauge({ …, registers: [metrics.registry] })`. */
  readonly registry: Registry
  observeRequest(method: string, route: string, status: number, seconds: number): void
}

const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** One registry per app, so that several apps may live in one process. */
export function createMetrics(service: string): Metrics {
  const registry = new Registry()
  registry.setDefaultLabels({ service })
  collectDefaultMetrics({ register: registry })
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time to answer a request',
    labelNames: ['method', 'route', 'status'] as const,
    buckets,
    registers: [registry]
  })
  return {
    registry,
    observeRequest(method, route, status, seconds) {
      duration.observe({ method, route, status }, seconds)
    }
  }
}
