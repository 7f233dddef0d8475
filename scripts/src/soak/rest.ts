import { connectBus } from '@fleetgate/contracts'
import type { Stack } from '@fleetgate/local'
import { quietLog, type Session } from '@fleetgate/testkit'
import mqtt from 'mqtt'
import { createMqttUser } from '../demo/machines.js'
import type { Database } from './database.js'
import { type Ground, some } from './load.js'

/** A simple request of each service. */
const questions = [
  '/user',
  '/dashboard/dashboards',
  '/v1/jobs?pageNo=1&pageSize=1',
  '/v1/files',
  '/v1/pubkey',
  '/api/v2/management/nodes'
]

/** What of the processes, the streams and the documents is not at rest. */
export async function unrest(stack: Stack, ground: Ground, database: Database): Promise<string[]> {
  const parts = [
    unanswered(ground.account.session),
    notReady(stack),
    cutOff(ground),
    waitingMessages(ground.natsUrl),
    waitingDocuments(database)
  ]
  return (await Promise.all(parts)).flat()
}

async function unanswered(session: Session): Promise<string[]> {
  const asked = questions.map(async (path) => {
    const { status, text } = await session.get(path)
    return status === 200 ? [] : [`GET ${path}: HTTP ${status} ${text.slice(0, 200)}`]
  })
  return (await Promise.all(asked)).flat()
}

async function notReady(stack: Stack): Promise<string[]> {
  const gone = stack.processes().filter(({ pid }) => pid === undefined)
  const text = await (await fetch(`${stack.url}/metrics`)).text()
  const out = text.split('\n').filter((line) => /^gateway_upstream_replicas_out\{.*\} [1-9]/.test(line))
  return [...gone.map(({ name }) => `${name} does not run`), ...out.map((line) => `the gateway leaves out: ${line}`)]
}

async function cutOff({ account, mqttUrl }: Ground): Promise<string[]> {
  const password = await createMqttUser(account, 'soak-late')
  const login = { clientId: 'soak-late', username: 'soak-late', password, reconnectPeriod: 0, connectTimeout: 5_000 }
  try {
    const client = await mqtt.connectAsync(mqttUrl, login, false)
    await client.endAsync()
    return []
  } catch (error) {
    return [`a new MQTT connection: ${(error as Error).message}`]
  }
}

/** Durable consumers with messages that nobody took, or took and did not end. */
async function waitingMessages(natsUrl: string): Promise<string[]> {
  const bus = await connectBus({ name: 'soak', url: natsUrl, log: quietLog })
  try {
    const faults: string[] = []
    for await (const stream of bus.manager.streams.list()) {
      for await (const { config, num_pending, num_ack_pending } of bus.manager.consumers.list(stream.config.name)) {
        const waiting = num_pending + num_ack_pending
        if (config.durable_name && waiting > 0)
          faults.push(`${stream.config.name}/${config.durable_name}: ${num_pending} waiting, ${num_ack_pending} taken`)
      }
    }
    return faults
  } finally {
    await bus.close()
  }
}

const leaseGraceMs = 60_000

/** Outboxes with entries, and open documents that nobody drives. */
async function waitingDocuments(database: Database): Promise<string[]> {
  const faults: string[] = []
  for (const collection of await database.all()) {
    const name = collection.namespace
    const unsent = await collection
      .find({ 'outbox.id': { $gt: '' } })
      .limit(5)
      .toArray()
    faults.push(...some(unsent.map(({ _id }) => `${name}: the outbox of ${_id} is not empty`)))
    const late = { open: true, 'lease.until': { $lt: new Date(Date.now() - leaseGraceMs) } }
    const left = await collection.find(late).limit(5).toArray()
    faults.push(...left.map(({ _id }) => `${name}: nobody drives ${_id}`))
    const held = await collection
      .find({ slot: { $exists: true }, 'lease.until': { $lt: new Date(Date.now() - leaseGraceMs) } })
      .limit(5)
      .toArray()
    faults.push(...held.map(({ _id }) => `${name}: nobody drives ${_id}, which has a place`))
  }
  return faults
}
