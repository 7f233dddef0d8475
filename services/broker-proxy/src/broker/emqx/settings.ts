import { hostname } from 'node:os'
import { AppError } from '@fleetgate/contracts'
import { oneOf, type Static, Type } from '@fleetgate/kit'

/** How topics of several tenants stand beside each other in EMQX: see the README. */
export const mountpoints = ['none', 'tenant'] as const

/** Only read when BROKER=emqx. */
export const emqxConfig = {
  /** Base of the REST API, `http://host:18083` with or without `/api/v5`. */
  EMQX_URL: Type.Optional(Type.String()),
  EMQX_API_KEY: Type.Optional(Type.String()),
  EMQX_API_SECRET: Type.Optional(Type.String()),
  /** The listener for this service, `mqtt://host:11883`. */
  EMQX_MQTT_URL: Type.Optional(Type.String()),
  EMQX_MQTT_USERNAME: Type.Optional(Type.String()),
  EMQX_MQTT_PASSWORD: Type.Optional(Type.String()),
  /** What EMQX sends us in the header `x-fleetgate-secret`. */
  EMQX_AUTH_SECRET: Type.Optional(Type.String()),
  EMQX_MOUNTPOINT: oneOf(mountpoints, { default: 'none' }),
  /** Without mountpoint: the one tenant that may use topics outside of `fleet/`. */
  EMQX_TENANT: Type.Optional(Type.String()),
  /** Names this replica at the broker, over restarts; no two replicas may have the same. */
  EMQX_REPLICA: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$' })),
  /** MQTT connections for commands, and as many for what machines send. */
  EMQX_CONNECTIONS: Type.Integer({ minimum: 1, maximum: 32, default: 4 }),
  EMQX_RECONCILE_S: Type.Integer({ minimum: 1, maximum: 3600, default: 60 }),
  EMQX_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 60_000, default: 10_000 })
}
const Config = Type.Object(emqxConfig)

export interface EmqxSettings {
  url: string
  apiKey: string
  apiSecret: string
  mqttUrl: string
  username: string | undefined
  password: string | undefined
  authSecret: string
  mountpoint: (typeof mountpoints)[number]
  tenant: string | undefined
  replica: string
  connections: number
  reconcileMs: number
  timeoutMs: number
}

const required = ['EMQX_URL', 'EMQX_API_KEY', 'EMQX_API_SECRET', 'EMQX_MQTT_URL', 'EMQX_AUTH_SECRET'] as const
const minSecretLength = 16

/** Throws `invalid_input` naming every key that is missing or wrong; never their values. */
export function emqxSettings(config: Static<typeof Config>): EmqxSettings {
  const problems = required.filter((key) => !config[key]).map((key) => `${key} is required`)
  problems.push(...urlProblems('EMQX_URL', config.EMQX_URL, ['http:', 'https:']))
  problems.push(...urlProblems('EMQX_MQTT_URL', config.EMQX_MQTT_URL, ['mqtt:', 'mqtts:', 'ws:', 'wss:']))
  const secret = config.EMQX_AUTH_SECRET ?? ''
  if (secret !== '' && secret.length < minSecretLength) {
    problems.push(`EMQX_AUTH_SECRET must have ${minSecretLength} characters or more`)
  }
  if (problems.length > 0) {
    throw new AppError('invalid_input', `bad configuration for BROKER=emqx: ${problems.join('; ')}`)
  }
  return {
    url: apiBase(config.EMQX_URL ?? ''),
    apiKey: config.EMQX_API_KEY ?? '',
    apiSecret: config.EMQX_API_SECRET ?? '',
    mqttUrl: config.EMQX_MQTT_URL ?? '',
    username: config.EMQX_MQTT_USERNAME,
    password: config.EMQX_MQTT_PASSWORD,
    authSecret: secret,
    mountpoint: config.EMQX_MOUNTPOINT,
    tenant: config.EMQX_TENANT,
    replica:
      config.EMQX_REPLICA ??
      hostname()
        .replace(/[^A-Za-z0-9_.-]/g, '-')
        .slice(0, 64),
    connections: config.EMQX_CONNECTIONS,
    reconcileMs: config.EMQX_RECONCILE_S * 1000,
    timeoutMs: config.EMQX_TIMEOUT_MS
  }
}

function urlProblems(key: string, value: string | undefined, protocols: string[]): string[] {
  if (!value) return []
  const isGood = URL.canParse(value) && protocols.includes(new URL(value).protocol)
  return isGood ? [] : [`${key} must be a URL that begins with ${protocols.map((one) => `${one}//`).join(' or ')}`]
}

function apiBase(url: string): string {
  const base = url.replace(/\/+$/, '')
  return base.endsWith('/api/v5') ? base : `${base}/api/v5`
}
