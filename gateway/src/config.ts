import { baseConfig, loadConfig, type Static, Type } from '@fleetgate/kit'

/** Services are reached by plain http inside one network; TLS ends before the gateway. */
const oneUrl = 'http://[^/?#@, ]+/?'
const ServiceUrl = Type.String({
  pattern: `^${oneUrl}(, ?${oneUrl})*$`,
  description: 'http://host:port, of each replica, separated by commas'
})

export const Config = Type.Object({
  ...baseConfig,
  PORT: Type.Integer({ minimum: 0, maximum: 65535, default: 8080 }),
  AUTH_URL: ServiceUrl,
  DEVICES_URL: ServiceUrl,
  SCHEDULER_URL: ServiceUrl,
  BROKER_PROXY_URL: ServiceUrl,
  CLUSTER_MANAGER_URL: ServiceUrl,
  /** Requests that may wait for an answer of one replica at the same time; further ones are refused (503). */
  UPSTREAM_MAX_WAITING: Type.Integer({ minimum: 1, maximum: 100_000, default: 1000 }),
  /** Within this time a client must have sent the headers of a request. */
  CLIENT_HEADERS_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 600_000, default: 20_000 }),
  /** A body that comes more slowly, on average over CLIENT_WINDOW_MS, is given up (408). */
  CLIENT_MIN_BYTES_PER_SECOND: Type.Integer({ minimum: 0, default: 500 }),
  CLIENT_WINDOW_MS: Type.Integer({ minimum: 100, maximum: 600_000, default: 30_000 }),
  /** The whole of a body, unless it is that of a file (/v1/files). */
  CLIENT_BODY_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 3_600_000, default: 300_000 }),
  /** A client that takes nothing of its answer for so long is cut off. */
  CLIENT_READ_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 3_600_000, default: 60_000 }),
  /** Silence of a service after which a request is given up. */
  UPSTREAM_TIMEOUT_MS: Type.Integer({ minimum: 10, maximum: 3_600_000, default: 60_000 }),
  UPSTREAM_CONNECT_TIMEOUT_MS: Type.Integer({ minimum: 10, maximum: 60_000, default: 3000 }),
  /** Connections to one service at the same time; further requests wait. */
  UPSTREAM_MAX_SOCKETS: Type.Integer({ minimum: 1, maximum: 65535, default: 256 }),
  /** 0 means no limit. */
  RATE_LIMIT_PER_SECOND: Type.Number({ minimum: 0, default: 0 }),
  /** 0 means twice the rate, at least 1. */
  RATE_LIMIT_BURST: Type.Integer({ minimum: 0, default: 0 }),
  /** Proxies of one's own in front of the gateway, each of which appends to x-forwarded-for. */
  TRUSTED_PROXY_HOPS: Type.Integer({ minimum: 0, maximum: 10, default: 0 }),
  /** Serves /metrics, and nothing else, on a port of its own that no ingress leads to; 0: none. */
  METRICS_PORT: Type.Integer({ minimum: 0, maximum: 65535, default: 0 }),
  /** Shows /metrics to every peer instead of those of this machine. */
  METRICS_PUBLIC: Type.Boolean({ default: false })
})

export type GatewayConfig = Static<typeof Config>

export function readConfig(env: NodeJS.ProcessEnv): GatewayConfig {
  return loadConfig(Config, env)
}
