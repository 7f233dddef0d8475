import { setTimeout as delay } from 'node:timers/promises'
import { type Session, until } from '@fleetgate/testkit'
import mqtt from 'mqtt'
import { post } from '../demo/client.js'
import { createMqttUser } from '../demo/machines.js'
import type { Database } from './database.js'
import { alarm, firstRun, flowFaults, makeWorkflow, oven } from './flow.js'
import { type Ground, type Load, repeat, some } from './load.js'
import { type Acknowledged, entityIdOf, keyOf, type Row, rowsOf } from './rows.js'

const devices = ['soak-mast-1', 'soak-mast-2', 'soak-mast-3']
const measured = 'soak-measured'
const set = 'soak-set'
/** What the web sockets listen to. */
export const setKey = `system.integration.${set}`
const samplesAtOnce = 10

/**
 * Values of MQTT devices with QoS 1, values over REST with and without a time of their own, and a workflow that computes from
 * each value of one device and writes what it computed.
 */
export async function startTelemetry(ground: Ground, database: Database): Promise<Load> {
  const { asker, random, account } = ground
  const { session } = account
  const clients = await connectDevices(ground)
  for (const name of [alarm, measured, set]) await makeEntity(session, name)
  await warmUp(session, clients)
  const flowId = await makeWorkflow(session)
  await firstRun(session, clients, flowId)
  const byKey = new Map<string, Acknowledged>()
  let moment = Date.now()
  let isOver = false
  let setValue = 0

  function note(key: string, at: number, value: number): void {
    const known = byKey.get(key) ?? new Map<number, number>()
    byKey.set(key, known.set(at, value))
  }

  /** Counts up, so that no two samples are of one moment. */
  const nextMoment = () => {
    moment = Math.max(moment + 1, Date.now())
    return moment
  }

  async function publish(name: string): Promise<void> {
    const at = nextMoment()
    const value = valueAt(at)
    try {
      await clients.get(name)?.publishAsync(`soak/${name}/state`, JSON.stringify({ at, wind: value }), { qos: 1 })
      note(keyOf(name), at, value)
    } catch {
      // Given up by the client in a reconnect: not acknowledged.
      if (!isOver) await delay(100)
    }
  }

  async function ingest(): Promise<void> {
    const samples = Array.from({ length: samplesAtOnce }, () => {
      const timestamp = nextMoment()
      return { entity_key: `system.integration.${measured}`, value: valueAt(timestamp), timestamp }
    })
    const reply = await asker.ask({ method: 'post', path: '/entity/ingest', body: { samples } })
    if (reply) for (const { entity_key, value, timestamp } of samples) note(entity_key, timestamp, value)
  }

  async function update(): Promise<void> {
    setValue += 1
    const value = setValue
    const body = { exchange: { [setKey]: value } }
    if (await asker.ask({ method: 'post', path: '/entity/property/update', body })) note(setKey, value, value)
  }

  const loops = [
    ...devices.flatMap((name) =>
      [0, 1, 2].map(() =>
        repeat(
          () => publish(name),
          () => random.between(20, 300)
        )
      )
    ),
    repeat(
      () => publish(oven),
      () => random.between(300, 1_000)
    ),
    repeat(ingest, () => random.between(100, 600)),
    repeat(ingest, () => random.between(100, 600)),
    repeat(update, () => random.between(50, 500))
  ]

  async function lostOf(key: string, rows: Row[]): Promise<string[]> {
    const wanted = byKey.get(key) ?? new Map<number, number>()
    const kept = new Map<number, number[]>()
    for (const { at, value } of rows) kept.set(Math.floor(at), [...(kept.get(Math.floor(at)) ?? []), value])
    return [...wanted].flatMap(([at, value]) => {
      const values = kept.get(at) ?? []
      return values.length === 1 && values[0] === value ? [] : [`${key}: ${value} at ${at} is kept as ${values}`]
    })
  }

  async function setFaults(): Promise<string[]> {
    const values = (await rowsOf(session, database, setKey)).map(({ value }) => value)
    const wanted = [...(byKey.get(setKey)?.values() ?? [])]
    const times = (value: number) => values.filter((one) => one === value).length
    return wanted
      .filter((value) => times(value) !== 1)
      .map((value) => `${setKey}: ${value} is kept ${times(value)} times`)
  }

  return {
    counts: () => ({
      'values acknowledged by MQTT': [...devices, oven].reduce(
        (sum, name) => sum + (byKey.get(keyOf(name))?.size ?? 0),
        0
      ),
      'values acknowledged by REST':
        (byKey.get(`system.integration.${measured}`)?.size ?? 0) + (byKey.get(setKey)?.size ?? 0)
    }),
    async stop() {
      isOver = true
      await Promise.all(loops.map((loop) => loop.stop()))
    },
    async faults() {
      const keys = [...devices.map(keyOf), keyOf(oven), `system.integration.${measured}`]
      const lost = keys.map(async (key) => some(await lostOf(key, await rowsOf(session, database, key))))
      return [
        ...(await Promise.all(lost)).flat(),
        ...some(await setFaults()),
        ...(await flowFaults(session, database, { flowId, acknowledged: byKey.get(keyOf(oven)) ?? new Map() })),
        ...[...clients].filter(([, client]) => !client.connected).map(([name]) => `${name} is not connected`)
      ]
    }
  }
}

/** Another one for each moment of some hours. */
function valueAt(moment: number): number {
  return moment % 10_000_000
}

const double = { type: 'PROPERTY', access_mod: 'RW', value_type: 'DOUBLE' }

async function makeEntity(session: Session, identifier: string): Promise<void> {
  await post(session, '/entity', { ...double, identifier, name: identifier })
}

async function connectDevices({ account, mqttUrl, atEnd }: Ground): Promise<Map<string, mqtt.MqttClient>> {
  const { session } = account
  const username = 'soak-devices'
  const password = await createMqttUser(account, username, { topic_perms: [{ name: 'soak/#', perm: 'PUB|SUB' }] })
  await post(session, '/mqtt-device/device-template', {
    ...{ name: 'Soak', topic: 'soak/{device}/state', auto_create: true, timestamp: { pointer: '/at', unit: 'ms' } },
    entities: [{ ...double, access_mod: 'R', identifier: 'wind', name: 'Wind', pointer: '/wind' }]
  })
  const connected = [...devices, oven].map(async (clientId) => {
    const login = { clientId, username, password, keepalive: 10, reconnectPeriod: 300, connectTimeout: 5_000 }
    const client = await mqtt.connectAsync(mqttUrl, login)
    atEnd(() => client.endAsync(true))
    return [clientId, client.on('error', () => {})] as const
  })
  return new Map(await Promise.all(connected))
}

/** A first value of each device makes it. */
async function warmUp(session: Session, clients: Map<string, mqtt.MqttClient>): Promise<void> {
  for (const [name, client] of clients) {
    await client.publishAsync(`soak/${name}/state`, JSON.stringify({ at: Date.now() - 60_000, wind: 0 }), { qos: 1 })
    await until(() => entityIdOf(session, keyOf(name)), { what: `the entity of ${name}`, everyMs: 100 })
  }
}
