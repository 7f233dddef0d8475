import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { acknowledge, message, rawClient } from './rawClient.js'
import { addUser, callApi, secret, startProxy } from './support.js'

/** What the embedded broker bears of one client in a second, and how long it waits for one. */
const keys = testGuardKeys()
const parts = await startParts(t)

/** A broker with these limits, and clients of it. */
async function start(env: NodeJS.ProcessEnv) {
  const proxy = await startProxy(t, parts, keys, { DATA_DIR: `${parts.dir}/${Object.keys(env)[0]}`, ...env })
  const api = callApi(proxy, keys)
  const port = Number(new URL(proxy.mqttUrl).port)
  const join = (clientId: string, connect = {}) =>
    rawClient({
      port,
      clientId,
      username: 'admin001',
      password: secret,
      answer: acknowledge,
      connect: { clean: true, ...connect }
    })
  return { proxy, api, join }
}

const first = await start({ MQTT_MESSAGES_PER_SECOND: '20' })
await addUser(first.proxy, keys, { name: 'admin001', fields: { admin: true } })

type Joined = Awaited<ReturnType<typeof first.join>>

/** Milliseconds until all are acknowledged, sent at once. */
async function timeFor(sender: Joined, payloads: string[]): Promise<number> {
  const begun = Date.now()
  for (const [index, payload] of payloads.entries())
    sender.send(message('paced', payload, { qos: 1, messageId: index + 1 }))
  await sender.next('puback', payloads.length)
  return Date.now() - begun
}

const isHeard = ({ packets }: Joined) => packets.filter(({ cmd }) => cmd === 'puback').length

t.test('a client publishes so many messages a second, the rest waits, and nobody else does', async (t) => {
  const [hasty, other] = [await first.join('hasty-1'), await first.join('calm-1')]
  const slow = timeFor(
    hasty,
    Array.from({ length: 60 }, () => 'x')
  )
  await timeFor(other, ['x'])
  const before = isHeard(hasty)
  t.ok(before < 60, `${before} of 60 are through when the other one is`)
  // One second's worth at once, then as it comes.
  const took = await slow
  t.ok(took >= 1900, `${took} ms`)
  t.equal(isHeard(hasty), 60)
  t.notOk(hasty.isClosed, 'it is not disconnected')
})

t.test('and so many bytes', async (t) => {
  const { join } = await start({ MQTT_BYTES_PER_SECOND: '10000' })
  const hasty = await join('hasty-2')
  const took = await timeFor(
    hasty,
    Array.from({ length: 6 }, () => 'x'.repeat(5000))
  )
  t.ok(took >= 1900, `${took} ms for 30,000 bytes`)
  t.equal(isHeard(hasty), 6)
  t.notOk(hasty.isClosed)
})

t.test('a receiver whose socket takes nothing is closed after its time', async (t) => {
  const { join, api, proxy } = await start({ MQTT_SLOW_TIMEOUT_S: '1' })
  const [frozen, lively] = [await join('frozen-1'), await join('lively-1')]
  for (const client of [frozen, lively]) {
    client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'much', qos: 0 }] })
    await client.next('suback', 1)
  }
  const isThere = async (id: string) => (await api.get(`/api/v2/clients/${id}`)).body.result.objects.length === 1
  frozen.socket.pause()
  const sender = await join('sender-1')
  // More than the buffers of sockets hold, and less than what ends a connection by itself.
  for (let n = 1; n <= 200; n++) {
    sender.send(message('much', 'x'.repeat(100_000), { qos: 1, messageId: n }))
    await sender.next('puback', n)
  }
  await until(async () => !(await isThere('frozen-1')), { what: 'the end of the frozen one' })
  t.ok(await isThere('lively-1'))
  const figures = await (await fetch(`${proxy.url}/metrics`)).text()
  t.match(figures, /^mqtt_slow_closed_total(\{.*\})? 0$/m, 'not for what waits for it')
})
