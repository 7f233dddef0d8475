import { totalmem } from 'node:os'
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

export { Counter, Gauge, Histogram } from 'prom-client'

export interface Metrics {
  /** Register a service's own figures here: `new Gauge({ …, registers: [metrics.registry] })`. */
  readonly registry: Registry
  observeRequest(method: string, route: string, status: number, seconds: number): void
}

const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export interface Build {
  version: string
  revision: string
}

/** What an image says of itself; a checkout says nothing. */
function buildOf({ FLEETGATE_VERSION, FLEETGATE_REVISION }: NodeJS.ProcessEnv): Build {
  return { version: FLEETGATE_VERSION || 'unknown', revision: FLEETGATE_REVISION || 'unknown' }
}

/** Without a limit Node answers 0, or a number far beyond any memory. */
function memoryLimit(): number {
  return Math.min(process.constrainedMemory() || totalmem(), totalmem())
}

/** One registry per app, so that several apps may live in one process. */
export function createMetrics(service: string, build: Build = buildOf(process.env)): Metrics {
  const registry = new Registry()
  registry.setDefaultLabels({ service })
  collectDefaultMetrics({ register: registry })
  new Gauge({
    name: 'build_info',
    help: 'Always 1: version and source revision of this process',
    labelNames: ['version', 'revision'] as const,
    registers: [registry]
  }).set({ ...build }, 1)
  new Gauge({
    name: 'process_memory_limit_bytes',
    help: 'Memory that this process may have: the limit of its container, else what the machine has',
    registers: [registry]
  }).set(memoryLimit())
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
