/**
 * The product's promise: a QoS 1 message that was acknowledged to its sender is in the uplink stream, whatever died
 * meanwhile.
 */
import { connectBus, type UplinkMessage } from '@fleetgate/contracts'
import { createApi, quietLog, type Stack, startStackFor, until } from '@fleetgate/testkit'
import mqtt from 'mqtt'
import t from 'tap'

const total = 10_000
const inFlight = 200
const user = { access_key: 'machine_1', secret_key: 'Abcd1234!' }
const clientId = 'till-0001'

async function prepare(stack: Stack): Promise<void> {
  const api = createApi(stack.url)
  await api.register({ email: 'admin@example.com', nickname: 'admin', password: 'Abcd1234!' })
  const session = api.as(await api.login('admin@example.com', 'Abcd1234!'))
  const made = await session.post('/v2/default/instances/default/users', user)
  t.equal(made.status, 200, made.text)
}

/** Publishes numbers 0 … total-1, a window at a time; each once acknowledged is in `acknowledged`. */
async function publishAll(client: mqtt.MqttClient, acknowledged: Set<number>): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < total) {
      const number = next++
      while (!(await isTaken(client, number)));
      acknowledged.add(number)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
}

/**
 * Whether the message was acknowledged. MQTT.js keeps one over a reconnect, but gives up those handed to it while it
 * sends the kept ones again, when the connection ends then ("Connection closed"): they are the caller's to send again.
 */
async function isTaken(client: mqtt.MqttClient, number: number): Promise<boolean> {
  try {
    await client.publishAsync(`fleet/${clientId}/up/report`, JSON.stringify({ number }), { qos: 1 })
    return true
  } catch {
    return false
  }
}

t.test('10,000 messages while broker-proxy and NATS die at random: each acknowledged one is stored', async (t) => {
  const stack = await startStackFor(t, { services: ['auth', 'broker-proxy', 'gateway'] })
  await prepare(stack)
  const client = mqtt.connect(stack.mqttUrl, {
    clientId,
    username: user.access_key,
    password: user.secret_key,
    clean: true,
    reconnectPeriod: 200,
    keepalive: 5
  })
  client.on('error', () => {})
  t.teardown(() => client.endAsync(true))

  const acknowledged = new Set<number>()
  let publishing = true
  const done = publishAll(client, acknowledged).finally(() => {
    publishing = false
  })
  const kills = ['broker-proxy', 'nats', 'broker-proxy', 'nats']
  for (const [index, name] of kills.entries()) {
    // At a random moment of each quarter of the work, so that every run tries other places.
    const mark = Math.floor(((index + Math.random()) * total) / kills.length)
    await until(() => acknowledged.size >= mark || !publishing, { what: `message ${mark}`, deadlineMs: 60_000 })
    stack.kill(name, 'SIGKILL')
  }
  await done
  t.equal(acknowledged.size, total, 'all were acknowledged in the end')

  const bus = await connectBus({ name: 'promise-test', url: stack.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const seen = new Map<number, number>()
  await bus.consumeUplink(['report'], { durable: 'promise-test' }, async (batch) => {
    for (const { data } of batch) apply(seen, data)
  })
  await until(() => seen.size >= total, { what: 'every message in the stream', deadlineMs: 20_000 })
  const missing = [...acknowledged].filter((number) => !seen.has(number))
  t.same(missing, [], 'none is missing')
  t.equal(seen.size, total, 'and applied once each, however often it was sent')
})

/** Idempotent: the number names the message, so a repeat changes nothing. */
function apply(seen: Map<number, number>, message: UplinkMessage): void {
  const { number } = JSON.parse(Buffer.from(message.payload).toString()) as { number: number }
  seen.set(number, message.receivedAt)
}
