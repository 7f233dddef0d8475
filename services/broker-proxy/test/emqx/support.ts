import { connect, createServer, type Socket } from 'node:net'
import { freePort, type Parts, startService, type Teardown, until } from '@fleetgate/testkit'
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

/** The service in a process of its own, to be killed. A real EMQX finds it at one port, whichever it has. */
export async function startServiceOnEmqx(t: Teardown, parts: Parts) {
  const standIn = EMQX_TEST_URL ? undefined : await startStandIn(t, emqxKeys)
  const broker = standIn ?? { url: EMQX_TEST_URL ?? '', mqttUrl: EMQX_TEST_MQTT_URL ?? '' }
  const service = await startService(t, { name: 'broker-proxy', parts, env: emqxEnv(broker) })
  if (standIn) standIn.authUrl = service.url
  else await forward(t, service.port)
  return { service, broker, running: { url: service.url, mqttUrl: EMQX_TEST_MACHINES_URL ?? broker.mqttUrl } }
}

async function forward(t: Teardown, port: number): Promise<void> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const there = connect(port, '127.0.0.1')
    for (const [one, other] of [
      [socket, there],
      [there, socket]
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy()).on('close', () => sockets.delete(one))
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(Number(realPort), realHost, resolve))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
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
