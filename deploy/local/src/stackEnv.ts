import { mkdirSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { natsBinary } from './natsBinary.js'
import { freePort, isPortFree, portFrom } from './ports.js'
import { secretsKeyFile } from './secretsKey.js'
import { selfSignedFiles } from './selfSigned.js'
import { replicaName, replicasOf, type StackService, stackServices, usesEmqx, variableOf } from './services.js'

/** Where everything of a stack listens. */
export interface Ports {
  host: string
  mqtt: number
  /** One for each replica. */
  of: Record<StackService, readonly [number, ...number[]]>
}

export interface Places {
  dataDir: string
  natsUrl: string
  mongoUri: string
  ports: Ports
}

/** Settings of the runtime itself, which mean something else to a service or nothing. */
const ownVariables = ['PORT', 'HOST', 'MQTT_PORT', 'DATA_DIR']

export interface WantedPorts {
  port?: number
  mqttPort?: number
  replicas?: number
}

/** Those that tell machines and devices where the broker is. */
const tellsMachines: StackService[] = ['scheduler', 'devices']

/** How long a process of several goes on serving after it was told to end: the gateway looks twice a second. */
const drainMs = 1500

/** Ports that the environment sets (`PORT`, `MQTT_PORT`, `DEVICES_PORT`, …), free ones for the rest. */
export async function choosePorts(given: WantedPorts, env: NodeJS.ProcessEnv): Promise<Ports> {
  const host = env.HOST || '127.0.0.1'
  const entries = await Promise.all(
    stackServices.map(async (name) => {
      const wanted = name === 'gateway' ? given.port : portFrom(env, variableOf(name, 'PORT'))
      const further = Array.from({ length: replicasOf(name, given.replicas ?? 1, env) - 1 }, () => freePort())
      return [name, [wanted ?? (await freePort()), ...(await Promise.all(further))]] as const
    })
  )
  return { host, mqtt: given.mqttPort ?? (await freePort()), of: Object.fromEntries(entries) as Ports['of'] }
}

/** Fails with the name of the variable to change, before anything is started. */
export async function checkPorts(ports: Ports, env: NodeJS.ProcessEnv): Promise<void> {
  const variables = new Map<number, string>()
  for (const [variable, port, host] of wantedPorts(ports, env)) {
    const other = variables.get(port)
    if (other) throw new Error(`${other} and ${variable} are both ${port}: set one of them to another port`)
    variables.set(port, variable)
    if (await isPortFree(port, host)) continue
    throw new Error(
      `port ${port} of ${host} is in use by another program or not allowed: set ${variable} to another port`
    )
  }
}

type WantedPort = [variable: string, port: number, host: string]

function wantedPorts(ports: Ports, env: NodeJS.ProcessEnv): WantedPort[] {
  const named = (variables: string[], host: string) =>
    variables.flatMap((variable): WantedPort[] => {
      const port = portFrom(env, variable)
      return port === undefined ? [] : [[variable, port, host]]
    })
  const mqttHost = env.MQTT_HOST || '127.0.0.1'
  const isEmbedded = !usesEmqx(env)
  return [
    ...stackServices.map(
      (name): WantedPort =>
        name === 'gateway'
          ? ['PORT', ports.of[name][0], ports.host]
          : [variableOf(name, 'PORT'), ports.of[name][0], '127.0.0.1']
    ),
    ...(env.NATS_URL ? [] : named(['NATS_PORT'], '127.0.0.1')),
    ...(isEmbedded ? [['MQTT_PORT', ports.mqtt, mqttHost] satisfies WantedPort] : []),
    ...(isEmbedded ? named(['MQTTS_PORT', 'MQTT_WS_PORT', 'MQTT_WSS_PORT'], mqttHost) : [])
  ]
}

/** `http://…` of a service inside this machine, one for each replica. */
export function urlsOf(ports: Ports, service: StackService): string[] {
  return ports.of[service].map((port) => `http://127.0.0.1:${port}`)
}

/** Where machines find the broker. */
export function mqttUrlOf(ports: Ports, env: NodeJS.ProcessEnv): string {
  return env.MQTT_URL || `mqtt://127.0.0.1:${ports.mqtt}`
}

/** The environment of one replica's process, counted from 1. */
export function serviceEnv(
  service: StackService,
  replica: number,
  places: Places,
  env: NodeJS.ProcessEnv
): NodeJS.ProcessEnv {
  const inherited = Object.fromEntries(Object.entries(env).filter(([key]) => !ownVariables.includes(key)))
  const { dataDir, natsUrl, mongoUri, ports } = places
  const isGateway = service === 'gateway'
  return {
    LOG_LEVEL: 'info',
    ...(ports.of[service].length > 1 && { DRAIN_MS: String(drainMs) }),
    MQTT_HOST: '127.0.0.1',
    // A key that the environment brings comes first.
    ...(!env.SECRETS_KEY && !env.SECRETS_KEY_FILE && { SECRETS_KEY_FILE: secretsKeyFile(dataDir) }),
    ...(service === 'broker-proxy' && tlsFiles(dataDir, env)),
    // What the cluster profile nats brings to its hosts: the same program that runs here.
    ...(service === 'cluster-manager' && natsServer(env)),
    ...inherited,
    HOST: isGateway ? ports.host : '127.0.0.1',
    PORT: String(ports.of[service][replica - 1]),
    MQTT_PORT: String(ports.mqtt),
    NATS_URL: natsUrl,
    MONGODB_URI: mongoUri,
    DATA_DIR: serviceFolder(dataDir, replicaName(service, replica)),
    ...(service === 'broker-proxy' && nameAtEmqx(replica, env)),
    ...(isGateway && gatewayTargets(ports)),
    ...(tellsMachines.includes(service) && !env.MACHINE_MQTT_URL && { MACHINE_MQTT_URL: mqttUrlOf(ports, env) })
  }
}

/** What the first replica is called without us: by its setting, or by this machine's name. */
function nameAtEmqx(replica: number, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (replica === 1 || !usesEmqx(env)) return {}
  const first = env.EMQX_REPLICA || hostname().replace(/[^A-Za-z0-9_.-]/g, '-')
  return { EMQX_REPLICA: `${first.slice(0, 60)}-${replica}` }
}

/** Only where it is asked for: a certificate that nobody has signed is for trying things out. */
function tlsFiles(dataDir: string, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (env.MQTT_TLS_SELF_SIGNED !== 'true') return {}
  const { certFile, keyFile } = selfSignedFiles(dataDir)
  return { MQTT_TLS_CERT_FILE: certFile, MQTT_TLS_KEY_FILE: keyFile }
}

/** Absent where hosts are to fetch a release, and where there is none: a stack on another NATS needs no program of its own. */
function natsServer(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (env.NATS_SERVER_URL || env.NATS_SERVER_VERSION) return {}
  try {
    return { NATS_SERVER_BINARY: natsBinary() }
  } catch {
    return {}
  }
}

function gatewayTargets(ports: Ports): NodeJS.ProcessEnv {
  const behind = stackServices.filter((name) => name !== 'gateway')
  return Object.fromEntries(behind.map((name) => [variableOf(name, 'URL'), urlsOf(ports, name).join(',')]))
}

/** A folder of each service's own: caches, and the embedded broker's sessions, which must last. */
function serviceFolder(dataDir: string, service: string): string {
  const folder = join(dataDir, 'services', service)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return folder
}
