import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { freePort, type Parts, type RunningService, startService, type Teardown, until } from '@fleetgate/testkit'
import { createApi } from '../../src/broker/emqx/api.js'
import { createRest } from '../../src/broker/emqx/rest.js'
import { type Keys, type Running, startProxy } from '../support.js'
import { type StandIn, startStandIn } from './standIn.js'

/** `EMQX_TEST_…` name a real EMQX in place of the stand-in: see the README. */
const { EMQX_TEST_URL, EMQX_TEST_MQTT_URL, EMQX_TEST_MACHINES_URL } = process.env

const { EMQX_TEST_PORT: realPort = '18099', EMQX_TEST_HOST: realHost = '0.0.0.0' } = process.env

export const emqxKeys = {
  apiKey: process.env.EMQX_TEST_API_KEY ?? 'fleetgate',
  apiSecret: process.env.EMQX_TEST_API_SECRET ?? 'an-api-secret',
  authSecret: process.env.EMQX_TEST_AUTH_SECRET ?? 'a-shared-secret-of-the-test'
}

interface Place {
  parts: Parts
  keys: Keys
  env?: NodeJS.ProcessEnv
  /** Of the stand-in. */
  version?: number
}

interface OnEmqx extends Running {
  /** Where the service finds EMQX. */
  broker: { url: string; mqttUrl: string }
}

export function emqxEnv(broker: { url: string; mqttUrl: string }, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    BROKER: 'emqx',
    EMQX_URL: broker.url,
    EMQX_API_KEY: emqxKeys.apiKey,
    EMQX_API_SECRET: emqxKeys.apiSecret,
    EMQX_MQTT_URL: broker.mqttUrl,
    EMQX_MQTT_USERNAME: 'fleetgate-service',
    EMQX_MQTT_PASSWORD: 'password-of-the-service',
    EMQX_AUTH_SECRET: emqxKeys.authSecret,
    EMQX_REPLICA: 'test',
    EMQX_CONNECTIONS: '2',
    EMQX_RECONCILE_S: '1',
    EMQX_TIMEOUT_MS: '2000',
    EMQX_TENANT: 't1',
    ...more
  }
}

/** The whole service in this process, on the stand-in; machines connect to the stand-in. */
export async function startOnStandIn(
  t: Teardown,
  { parts, keys, env = {}, version }: Place
): Promise<OnEmqx & { standIn: StandIn }> {
  const isMounted = env.EMQX_MOUNTPOINT === 'tenant'
  const standIn = await startStandIn(t, { ...emqxKeys, isMounted, ...(version && { version }) })
  const port = await freePort()
  standIn.authUrl = `http://127.0.0.1:${port}`
  const running = await startProxy(t, parts, keys, { ...emqxEnv(standIn, env), PORT: String(port) })
  await untilListening(standIn.url)
  return { ...running, mqttUrl: standIn.mqttUrl, broker: standIn, standIn }
}

/** The same on the real EMQX where one is named. */
export async function startOnEmqx(t: Teardown, { parts, keys, env = {} }: Place): Promise<OnEmqx> {
  if (!EMQX_TEST_URL) return startOnStandIn(t, { parts, keys, env })
  const mqttUrl = EMQX_TEST_MQTT_URL ?? 'mqtt://127.0.0.1:11883'
  const broker = { url: EMQX_TEST_URL, mqttUrl }
  const there = { HOST: realHost, PORT: realPort }
  const running = await startProxy(t, parts, keys, { ...emqxEnv(broker, env), ...there })
  await untilListening(EMQX_TEST_URL)
  return { ...running, mqttUrl: EMQX_TEST_MACHINES_URL ?? mqttUrl, broker }
}

/** The service in a process of its own, to be killed. */
export async function startServiceOnEmqx(t: Teardown, parts: Parts) {
  const { services, ...found } = await startReplicasOnEmqx(t, { parts, names: ['test'] })
  return { service: services[0] as RunningService, ...found }
}

/** Replicas in processes of their own; EMQX finds them at one port, whichever they have. */
export async function startReplicasOnEmqx(
  t: Teardown,
  { parts, names, env = {} }: { parts: Parts; names: readonly string[]; env?: NodeJS.ProcessEnv }
) {
  const standIn = EMQX_TEST_URL ? undefined : await startStandIn(t, emqxKeys)
  const broker = standIn ?? { url: EMQX_TEST_URL ?? '', mqttUrl: EMQX_TEST_MQTT_URL ?? '' }
  const start = (name: string) =>
    startService(t, {
      name: 'broker-proxy',
      parts,
      env: { ...emqxEnv(broker, { EMQX_REPLICA: name, ...env }), DATA_DIR: join(parts.dir, name) }
    })
  const services = await Promise.all(names.map(start))
  const ports = services.map(({ port }) => port)
  const here = standIn ? { port: 0, host: '127.0.0.1' } : { port: Number(realPort), host: realHost }
  const port = await forward(t, here, ports)
  if (standIn) standIn.authUrl = `http://127.0.0.1:${port}`
  return {
    services,
    broker,
    running: { url: services[0]?.url ?? '', mqttUrl: EMQX_TEST_MACHINES_URL ?? broker.mqttUrl }
  }
}

/** One port for several: a connection goes to the first that takes it, as with the address of a service in a cluster. */
async function forward(t: Teardown, here: { port: number; host: string }, ports: readonly number[]): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer(async (socket) => {
    const there = await firstOf(ports)
    if (!there) return void socket.destroy()
    for (const [one, other] of [
      [socket, there],
      [there, socket]
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy()).on('close', () => sockets.delete(one))
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(here.port, here.host, resolve))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

async function firstOf(ports: readonly number[]): Promise<Socket | undefined> {
  for (const port of ports) {
    const socket = connect(port, '127.0.0.1')
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    if (isOpen) return socket
  }
  return undefined
}

/** Until the service has subscribed: before that nobody is let in. */
export async function untilListening(url: string, replica = 'test'): Promise<void> {
  const api = createApi(createRest({ url: `${url}/api/v5`, ...emqxKeys, timeoutMs: 2000 }))
  const filters = async (name: string) => (await api.subscriptions(`$fleetgate:${replica}:${name}`)).length
  const isThere = async (name: string) => (await api.client(`$fleetgate:${replica}:${name}`)) !== undefined
  await until(
    async () =>
      (await isThere('down-0')) &&
      (await isThere('down-1')) &&
      (await Promise.all(['up-0', 'up-1', 'watch'].map(filters))).every((count) => count === 2) &&
      (await filters('told')) === 4,
    { what: 'the connections of the service', everyMs: 50, deadlineMs: 90_000 }
  )
}
