import mqtt from 'mqtt'
import type { Account } from '../demo/account.js'
import { get, post } from '../demo/client.js'
import { createMqttUser } from '../demo/machines.js'
import { createLoss, inLanes } from '../fleet/lanes.js'

export interface Devices {
  count: number
  /** Of the device of this index; answers the key of its first entity. */
  keyOf(index: number): string
  /** One message with a value for each entity; resolves with the acknowledgement. Without a time the product takes that of arrival. */
  publish(index: number, value: number, at?: number): Promise<void>
  /** Samples that the product says it has taken of these devices so far. */
  taken(): Promise<number>
  /** Rejects when a device loses its connection. */
  lost: Promise<never>
  close(): Promise<void>
}

/** What one message has a value for. */
export const entities = ['temperature', 'humidity', 'pressure', 'battery']

const connectingAtOnce = 20

/** MQTT devices of one template, which makes them with their first messages; each on a connection of its own. */
export async function connectDevices(account: Account, mqttUrl: string, count: number): Promise<Devices> {
  const name = `bench-${Date.now()}`
  const { session } = account
  const password = await createMqttUser(account, name, { topic_perms: [{ name: `${name}/#`, perm: 'PUB|SUB' }] })
  const made = await post<{ data: { id: string } }>(session, '/mqtt-device/device-template', templateOf(name))
  const loss = createLoss()
  const nameOf = (index: number) => `${name}-${index + 1}`
  const clients: mqtt.MqttClient[] = []
  let isClosed = false

  async function connect(index: number): Promise<void> {
    const login = { clientId: nameOf(index), username: name, password }
    const client = await mqtt.connectAsync(mqttUrl, { ...login, reconnectPeriod: 0 }, false)
    client.on('error', (error) => loss.tell(error.message))
    client.on('close', () => isClosed || loss.tell('closed'))
    clients[index] = client
  }

  const close = async () => {
    isClosed = true
    await Promise.all(clients.map((client) => client.endAsync(true)))
  }
  try {
    await inLanes(indexes(count), connect, connectingAtOnce)
  } catch (error) {
    await close()
    throw error
  }
  return {
    count,
    keyOf: (index) => `mqtt-device.device.${nameOf(index)}.${entities[0]}`,
    async publish(index, value, at) {
      const values = Object.fromEntries(entities.map((entity, place) => [entity, value + place / 4]))
      await clients[index]?.publishAsync(`${name}/${nameOf(index)}/state`, JSON.stringify({ at, ...values }), {
        qos: 1
      })
    },
    async taken() {
      const path = `/mqtt-device/device-template/${made.data.id}`
      return (await get<{ data: { sample_count: number } }>(session, path)).data.sample_count
    },
    lost: loss.happened,
    close
  }
}

export function indexes(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}

function templateOf(name: string) {
  const property = { type: 'PROPERTY', access_mod: 'R', value_type: 'DOUBLE' }
  return {
    name,
    topic: `${name}/{device}/state`,
    auto_create: true,
    timestamp: { pointer: '/at', unit: 'ms' },
    entities: entities.map((entity) => ({ ...property, identifier: entity, name: entity, pointer: `/${entity}` }))
  }
}
