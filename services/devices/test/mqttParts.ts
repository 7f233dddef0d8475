import { createApi, freePort, type Parts, startService, type TestGuardKeys } from '@fleetgate/testkit'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import type { Test } from './support.js'

const secret = 'Abcd1234!'

export interface Broker {
  mqttUrl: string
  kill(): Promise<void>
  restart(): Promise<void>
  /** A connected client of an MQTT user with these rights. */
  connect(username: string, options?: IClientOptions): Promise<MqttClient>
}

/** broker-proxy in a process of its own, with an MQTT user `farm-{name}` for each name. */
export async function startBroker(
  t: Test,
  parts: Parts,
  keys: TestGuardKeys,
  users: Record<string, { name: string; perm: string }[]>
): Promise<Broker> {
  const port = await freePort()
  const service = await startService(t, { name: 'broker-proxy', parts, env: { MQTT_PORT: String(port) } })
  const session = createApi(service.url).as(keys.token())
  for (const [name, topic_perms] of Object.entries(users)) {
    const user = { access_key: `farm-${name}`, secret_key: secret, topic_perms }
    const made = await session.post('/v2/t1/instances/default/users', user)
    if (made.status !== 200) throw new Error(made.text)
  }
  const mqttUrl = `mqtt://127.0.0.1:${port}`
  return {
    mqttUrl,
    kill: () => service.kill(),
    restart: () => service.restart(),
    async connect(username, options = {}) {
      const login = {
        username: `farm-${username}`,
        password: secret,
        clientId: `client-${username}`,
        protocolVersion: 4 as const
      }
      const client = await mqtt.connectAsync(mqttUrl, { ...login, reconnectPeriod: 200, ...options })
      client.on('error', () => {})
      t.teardown(() => client.endAsync(true))
      return client
    }
  }
}
