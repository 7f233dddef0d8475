import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import type { IPublishPacket } from 'mqtt-packet'
import t from 'tap'
import { acknowledge, message, type RawClient, rawClient } from './rawClient.js'
import { addUser, secret, startProxy } from './support.js'

/** What clients of MQTT 3.1.1 expect of a broker: the behaviours that the Eclipse Paho interoperability suite asks for. */
const keys = testGuardKeys()
const parts = await startParts(t)
const proxy = await startProxy(t, parts, keys)
const port = Number(new URL(proxy.mqttUrl).port)
await addUser(proxy, keys, { name: 'admin001', fields: { admin: true } })
await addUser(proxy, keys, { name: 'limited1', fields: { topic_perms: [{ name: 'open/#', perm: 'PUB|SUB' }] } })

const join = (clientId: string, options: Partial<Parameters<typeof rawClient>[0]> = {}) =>
  rawClient({
    port,
    clientId,
    username: 'admin001',
    password: secret,
    answer: acknowledge,
    connect: { clean: true },
    ...options
  })
const kept = { connect: { clean: false } }
async function subscribe(
  client: RawClient,
  subscriptions: [topic: string, qos: 0 | 1 | 2][],
  messageId = 1
): Promise<number[]> {
  client.send({ cmd: 'subscribe', messageId, subscriptions: subscriptions.map(([topic, qos]) => ({ topic, qos })) })
  return ((await client.next('suback', messageId)) as unknown as { granted: number[] }).granted
}
async function settled(client: RawClient): Promise<IPublishPacket[]> {
  client.send({ cmd: 'pingreq' })
  await client.next('pingresp')
  return client.packets.filter(({ cmd }) => cmd === 'publish') as IPublishPacket[]
}
async function publish(
  client: RawClient,
  topic: string,
  text: string,
  fields: { qos: 0 | 1 | 2; messageId?: number; retain?: boolean }
) {
  client.send(message(topic, text, fields))
  if (fields.qos === 1) await client.next('puback', fields.messageId)
  if (fields.qos < 2) return
  await client.next('pubrec', fields.messageId)
  client.send({ cmd: 'pubrel', messageId: fields.messageId })
  await client.next('pubcomp', fields.messageId)
}
const shown = (packets: IPublishPacket[]) => packets.map(({ topic, payload, qos }) => [topic, payload.toString(), qos])

t.test('a message comes with the lower of its QoS and the granted one, wildcards included', async (t) => {
  for (const granted of [0, 1, 2] as const) {
    const client = await join(`qos-${granted}`)
    t.same(await subscribe(client, [[`qos/${granted}/+`, granted]]), [granted])
    const sender = await join('qos-sender')
    for (const qos of [0, 1, 2] as const)
      await publish(sender, `qos/${granted}/x`, String(qos), { qos, messageId: qos + 10 })
    await until(async () => (await settled(client)).length === 3, { what: 'three messages' })
    t.same(
      (await settled(client)).map(({ qos, payload }) => [payload.toString(), qos]).sort(),
      [0, 1, 2].map((qos) => [String(qos), Math.min(qos, granted)])
    )
  }
})

t.test('retained messages come to new subscriptions, and go with an empty one', async (t) => {
  const sender = await join('retain-1')
  for (const qos of [0, 1, 2] as const)
    await publish(sender, `retain/${qos}`, `kept ${qos}`, { qos, messageId: 10 + qos, retain: true })
  const reader = await join('retain-2')
  await subscribe(reader, [['retain/+', 2]])
  await until(async () => (await settled(reader)).length === 3, { what: 'what is retained' })
  t.ok((await settled(reader)).every(({ retain }) => retain))
  await publish(sender, 'retain/1', 'live', { qos: 1, messageId: 20, retain: true })
  await until(async () => (await settled(reader)).length === 4, { what: 'the new one' })
  t.notOk((await settled(reader)).at(-1)?.retain, 'it is news to who has subscribed')
  for (const qos of [0, 1, 2] as const)
    await publish(sender, `retain/${qos}`, '', { qos: 1, messageId: 30 + qos, retain: true })
  const late = await join('retain-3')
  await subscribe(late, [['retain/#', 2]])
  t.same(await settled(late), [])
})

t.test('messages of QoS 1 and 2 wait for an absent session, those of QoS 0 do not', async (t) => {
  const first = await join('offline-1', kept)
  await subscribe(first, [['offline/+', 2]])
  first.send({ cmd: 'disconnect' })
  await until(() => first.isClosed, { what: 'the end' })
  const sender = await join('offline-2')
  for (const qos of [0, 1, 2] as const) await publish(sender, 'offline/a', String(qos), { qos, messageId: 10 + qos })
  const back = await join('offline-1', kept)
  t.ok(back.sessionPresent)
  await until(async () => (await settled(back)).length === 2, { what: 'two messages' })
  t.same(shown(await settled(back)), [
    ['offline/a', '1', 1],
    ['offline/a', '2', 2]
  ])
})

t.test('overlapping subscriptions give one message, with the highest QoS', async (t) => {
  for (const options of [{}, kept]) {
    const name = `over-${options === kept}`
    const client = await join(name, { connect: { clean: options !== kept } })
    await subscribe(client, [
      [`${name}/#`, 0],
      [`${name}/+`, 2],
      [`${name}/a`, 1]
    ])
    const sender = await join('over-sender')
    await publish(sender, `${name}/a`, 'once', { qos: 2, messageId: 7 })
    await publish(sender, `${name}/b/c`, 'other', { qos: 1, messageId: 8 })
    await until(async () => (await settled(client)).length >= 2, { what: 'both messages' })
    // Between messages of different QoS there is no order.
    t.same(shown(await settled(client)).sort(), [
      [`${name}/a`, 'once', 2],
      [`${name}/b/c`, 'other', 0]
    ])
  }
})

t.test('a will is published when the connection ends without a word, and not after a DISCONNECT', async (t) => {
  const watcher = await join('will-1')
  await subscribe(watcher, [['will/#', 2]])
  const will = (topic: string) => ({
    clean: true,
    keepalive: 60,
    will: { topic, payload: Buffer.from('gone'), qos: 2 as const, retain: true }
  })
  const bad = await join('will-2', { connect: will('will/bad') })
  const good = await join('will-3', { connect: will('will/good') })
  good.send({ cmd: 'disconnect' })
  await until(() => good.isClosed, { what: 'the end' })
  await bad.close()
  await until(async () => (await settled(watcher)).length > 0, { what: 'the will' })
  t.same(shown(await settled(watcher)), [['will/bad', 'gone', 2]])
  const late = await join('will-4')
  await subscribe(late, [['will/#', 0]])
  t.match(await late.next('publish'), { topic: 'will/bad', retain: true })
})

t.test('a client that is silent for one and a half keepalives is gone', async (t) => {
  const client = await join('keepalive-1', { connect: { clean: true, keepalive: 1 } })
  const pinging = await join('keepalive-2', { connect: { clean: true, keepalive: 1 } })
  const timer = setInterval(() => pinging.send({ cmd: 'pingreq' }), 200)
  t.teardown(() => clearInterval(timer))
  await until(() => client.isClosed, { what: 'the end of the silent one' })
  t.notOk(pinging.isClosed)
})

t.test('wildcards do not reach topics that begin with a dollar sign, and nobody publishes to them', async (t) => {
  const client = await join('dollar-1')
  t.same(
    await subscribe(client, [
      ['#', 1],
      ['+/dollar', 1],
      ['$SYS/#', 1]
    ]),
    [1, 1, 128]
  )
  await publish(client, '$dollar/dollar', 'x', { qos: 1, messageId: 5 })
  await publish(client, 'dollar/dollar', 'y', { qos: 1, messageId: 6 })
  const own = async () => (await settled(client)).filter(({ retain }) => !retain)
  await until(async () => (await own()).length > 0, { what: 'the other one' })
  t.same(shown(await own()), [['dollar/dollar', 'y', 1]])
})

t.test('after UNSUBSCRIBE nothing comes; of an unknown filter it is acknowledged too', async (t) => {
  const client = await join('unsub-1', kept)
  await subscribe(client, [
    ['unsub/a', 1],
    ['unsub/b', 1]
  ])
  client.send({ cmd: 'unsubscribe', messageId: 3, unsubscriptions: ['unsub/a', 'unsub/never'] })
  await client.next('unsuback', 3)
  const sender = await join('unsub-2')
  await publish(sender, 'unsub/a', 'x', { qos: 1, messageId: 1 })
  await publish(sender, 'unsub/b', 'y', { qos: 1, messageId: 2 })
  await until(async () => (await settled(client)).length > 0, { what: 'the other one' })
  t.same(shown(await settled(client)), [['unsub/b', 'y', 1]])
})

t.test('an empty client id is refused with code 2', async (t) => {
  t.equal((await join('', { connect: { clean: true } })).returnCode, 2)
})

t.test('a subscription that is not allowed gets 128, beside those that are', async (t) => {
  for (const clean of [true, false]) {
    const client = await join(`fail-${clean}`, { username: 'limited1', connect: { clean } })
    t.same(
      await subscribe(
        client,
        [
          ['open/a', 1],
          ['closed/a', 1],
          ['open/+', 2],
          ['', 1]
        ].slice(0, 3) as ['', 1][]
      ),
      [1, 128, 2]
    )
  }
})

t.test('a QoS 2 message that is sent again before its release is one message', async (t) => {
  const reader = await join('twice-1')
  await subscribe(reader, [['twice', 2]])
  const sender = await join('twice-2', { answer: () => undefined })
  sender.send(message('twice', 'x', { qos: 2, messageId: 9 }))
  sender.send(message('twice', 'x', { qos: 2, messageId: 9, dup: true }))
  await sender.next('pubrec', 9)
  await sender.next('pubrec', 9)
  sender.send({ cmd: 'pubrel', messageId: 9 })
  await sender.next('pubcomp', 9)
  sender.send({ cmd: 'pubrel', messageId: 9 })
  await sender.next('pubcomp', 9)
  await until(async () => (await settled(reader)).length > 0, { what: 'the message' })
  t.same(shown(await settled(reader)), [['twice', 'x', 2]])
})

t.test('what is not acknowledged comes again at the reconnect, marked as a duplicate', async (t) => {
  for (const qos of [1, 2] as const) {
    const silent = await join(`redo-${qos}`, { ...kept, answer: () => undefined })
    await subscribe(silent, [[`redo/${qos}`, qos]])
    const sender = await join('redo-sender')
    await publish(sender, `redo/${qos}`, 'x', { qos, messageId: 4 })
    const first = (await silent.next('publish')) as IPublishPacket
    await silent.close()
    const back = await join(`redo-${qos}`, kept)
    const second = (await back.next('publish')) as IPublishPacket
    t.same([second.messageId, second.dup, first.dup], [first.messageId, true, false])
  }
})
