import { connectBus } from '@fleetgate/contracts'
import { createGuard, createLog, createShutdown } from '@fleetgate/kit'
import { createGateway } from './app.js'
import { readConfig } from './config.js'
import { listenForScrapes } from './scrapes.js'

const config = readConfig(process.env)
const log = createLog('gateway', config.LOG_LEVEL)
const shutdown = createShutdown(log)

const bus = await connectBus({ name: 'gateway', url: config.NATS_URL, log })
shutdown.add('bus', () => bus.close())
const guard = await createGuard({ bus, log })
shutdown.add('guard', () => guard.close())

const rate = config.RATE_LIMIT_PER_SECOND
const burst = config.RATE_LIMIT_BURST || Math.max(1, Math.ceil(rate * 2))
const gateway = createGateway({
  log,
  guard,
  isNatsReady: () => bus.isReady(),
  services: {
    auth: config.AUTH_URL,
    devices: config.DEVICES_URL,
    scheduler: config.SCHEDULER_URL,
    'broker-proxy': config.BROKER_PROXY_URL,
    'cluster-manager': config.CLUSTER_MANAGER_URL
  },
  timing: { timeoutMs: config.UPSTREAM_TIMEOUT_MS, connectTimeoutMs: config.UPSTREAM_CONNECT_TIMEOUT_MS },
  maxSockets: config.UPSTREAM_MAX_SOCKETS,
  maxWaiting: config.UPSTREAM_MAX_WAITING,
  clients: {
    headersMs: config.CLIENT_HEADERS_TIMEOUT_MS,
    bytesPerSecond: config.CLIENT_MIN_BYTES_PER_SECOND,
    windowMs: config.CLIENT_WINDOW_MS,
    bodyMs: config.CLIENT_BODY_TIMEOUT_MS,
    readMs: config.CLIENT_READ_TIMEOUT_MS
  },
  rateLimit: rate > 0 ? { perSecond: rate, burst } : undefined,
  trustedHops: config.TRUSTED_PROXY_HOPS,
  metricsPublic: config.METRICS_PUBLIC
})
if (config.METRICS_PORT > 0) {
  const figures = await listenForScrapes(gateway.metrics, config.METRICS_PORT, config.HOST)
  shutdown.add('figures', () => figures.close())
}
shutdown.add('http', () => gateway.close(config.DRAIN_MS))
const { url } = await gateway.listen(config.PORT, config.HOST)
log.info({ url }, 'listening')
