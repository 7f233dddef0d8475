import { join } from 'node:path'
import { connectBus, listPublicKeys } from '@fleetgate/contracts'
import { createLog, loadConfig } from '@fleetgate/kit'
import {
  createApi,
  mqttClient,
  type Parts,
  quietLog,
  type Teardown,
  type TestCaller,
  type testGuardKeys
} from '@fleetgate/testkit'
import type { IClientOptions, MqttClient } from 'mqtt'
import { Config } from '../src/config.js'
import { startBrokerProxy } from '../src/start.js'

export const secret = 'Abcd1234!'

export interface Running {
  url: string
  mqttUrl: string
  /** Of further listeners, by protocol. */
  mqttPorts: ReadonlyMap<string, number>
  stop(): Promise<void>
}

/** The whole service in this process, on real parts. */
export async function startProxy(t: Teardown, parts: Parts, keys: Keys, env: NodeJS.ProcessEnv = {}): Promise<Running> {
  const config = loadConfig(Config, { ...serviceEnv(parts), ...env })
  const closing: (() => unknown)[] = []
  const { port, mqttPort, mqttPorts } = await startBrokerProxy({
    config,
    log: createLog('broker-proxy', config.LOG_LEVEL),
    add: (_name, close) => void closing.push(close),
    keys: async () => keys.keys
  })
  async function stop(): Promise<void> {
    for (let close = closing.pop(); close; close = closing.pop()) await close()
  }
  t.teardown(stop)
  return { url: `http://127.0.0.1:${port}`, mqttUrl: `mqtt://127.0.0.1:${mqttPort}`, mqttPorts, stop }
}

function serviceEnv(parts: Parts): NodeJS.ProcessEnv {
  return {
    PORT: '0',
    MQTT_PORT: '0',
    NATS_URL: parts.natsUrl,
    MONGODB_URI: parts.mongoUri,
    SECRETS_KEY_FILE: parts.keyFile,
    DATA_DIR: join(parts.dir, 'broker-proxy'),
    CHECK_REPLIES: 'true',
    LOG_LEVEL: process.env.LOG_LEVEL ?? 'silent'
  }
}

export type Keys = ReturnType<typeof testGuardKeys>

export function callApi(running: { url: string }, keys: Keys, caller?: TestCaller) {
  const session = createApi(running.url).as(keys.token(caller))
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever the dialect answers
  type Body = any
  return {
    get: (path: string) => session.get<Body>(path),
    post: (path: string, body?: unknown) => session.post<Body>(path, body),
    put: (path: string, body?: unknown) => session.put<Body>(path, body),
    delete: (path: string) => session.delete<Body>(path),
    send: (method: string, path: string, body: string) =>
      session.send<Body>(method, path, body, { 'content-type': 'application/json' })
  }
}

export interface UserWish {
  tenantId?: string
  name: string
  fields?: Record<string, unknown>
}

/** Creates an MQTT user over the API. */
export async function addUser(
  running: { url: string },
  keys: Keys,
  { tenantId = 't1', name, fields = {} }: UserWish
): Promise<void> {
  const path = `/v2/${tenantId}/instances/default/users`
  const reply = await callApi(running, keys, { tenantId }).post(path, {
    access_key: name,
    secret_key: secret,
    ...fields
  })
  if (reply.status !== 200) throw new Error(`user not created: ${JSON.stringify(reply.body)}`)
}

export function logIn(
  t: Teardown,
  running: { mqttUrl: string },
  username: string,
  clientId: string,
  options: IClientOptions = {}
) {
  return mqttClient(t, running.mqttUrl, { username, password: secret, clientId, protocolVersion: 4, ...options })
}

/** Remembers every message, by topic. */
export function record(client: MqttClient): { topic: string; payload: Buffer; retain: boolean }[] {
  const seen: { topic: string; payload: Buffer; retain: boolean }[] = []
  client.on('message', (topic, payload, { retain }) => seen.push({ topic, payload, retain }))
  return seen
}

/** A bus of the test's own; it also answers for auth where a real process asks for its keys. */
export async function openBus(t: Teardown, parts: Parts, keys?: Keys) {
  const bus = await connectBus({ name: 'test', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  if (keys) await bus.serve(listPublicKeys, async () => ({ keys: keys.keys }))
  return bus
}
