import { connect as connectSocket, type Socket } from 'node:net'
import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import { connect } from 'mqtt'
import { generate } from 'mqtt-packet'
import t from 'tap'
import { rawClient } from './rawClient.js'
import { addUser, logIn, openBus, record, secret, startProxy } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
const bus = await openBus(t, parts)
const proxy = await startProxy(t, parts, keys, { MQTT_FAILED_LOGINS_PER_MINUTE: '5' })
await addUser(proxy, keys, { name: 'admin001', fields: { admin: true } })
await addUser(proxy, keys, { tenantId: 't2', name: 'admin002', fields: { admin: true } })
const port = Number(new URL(proxy.mqttUrl).port)

function open(t: Tap): { socket: Socket; received: () => Buffer; isClosed: () => boolean } {
  const socket = connectSocket(port, '127.0.0.1')
  const chunks: Buffer[] = []
  let closed = false
  socket
    .on('data', (chunk) => chunks.push(chunk))
    .on('error', () => undefined)
    .on('close', () => {
      closed = true
    })
  t.teardown(() => socket.destroy())
  return { socket, received: () => Buffer.concat(chunks), isClosed: () => closed }
}

const text = (value: string) => Buffer.concat([Buffer.from([0, Buffer.byteLength(value)]), Buffer.from(value)])

/** A packet of less than 128 bytes. */
function packet(type: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([type, body.length]), body])
}

function connectPacket(clientId: string, username: string, level = 4): Buffer {
  return packet(0x10, text('MQTT'), Buffer.from([level, 0xc2, 0, 60]), text(clientId), text(username), text(secret))
}

const subscribePacket = (filter: string) => packet(0x82, Buffer.from([0, 1]), text(filter), Buffer.from([1]))

t.test('a client that does not wait for its CONNACK stays behind the wall', async (t) => {
  const eager = open(t)
  eager.socket.write(Buffer.concat([connectPacket('eager-1', 'admin002'), subscribePacket('#')]))
  await until(() => eager.received().includes(Buffer.from([0x90, 3, 0, 1, 1])), { what: 'the SUBACK' })
  const [one, two] = [await logIn(t, proxy, 'admin001', 'eager-2'), await logIn(t, proxy, 'admin002', 'eager-3')]
  await one.publishAsync('of/one', 'x', { qos: 1 })
  await two.publishAsync('of/two', 'x', { qos: 1 })
  await until(() => eager.received().includes('of/two'), { what: 'the message of its tenant' })
  t.notOk(eager.received().includes('of/one'))
})

t.test('what is no MQTT ends the connection and nothing else', async (t) => {
  const sound = await logIn(t, proxy, 'admin001', 'sound-1')
  const bad: [string, Buffer][] = [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a packet before CONNECT', subscribePacket('#')],
    ['a huge first packet', Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f, 0])],
    ['a second CONNECT', Buffer.concat([connectPacket('bad-1', 'admin001'), connectPacket('bad-1', 'admin001')])],
    ['an empty filter', Buffer.concat([connectPacket('bad-2', 'admin001'), subscribePacket('')])],
    [
      'a packet over the limit',
      Buffer.concat([connectPacket('bad-3', 'admin001'), Buffer.from([0x32, 0xff, 0xff, 0x7f, 0, 1])])
    ],
    ['a wildcard in a topic', Buffer.concat([connectPacket('bad-4', 'admin001'), packet(0x30, text('a/#'))])],
    ['a topic of 100 levels', Buffer.concat([connectPacket('bad-5', 'admin001'), packet(0x30, text('/'.repeat(110)))])]
  ]
  for (const [what, bytes] of bad) {
    const one = open(t)
    one.socket.write(bytes)
    await until(() => one.isClosed(), { what: `the end after ${what}` })
    t.pass(what)
  }
  await sound.publishAsync('still/alive', 'x', { qos: 1 })
})

t.test('a crowd of half-open and odd connections leaves the others served', async (t) => {
  const whole = connectPacket('odd-1', 'admin001')
  const half = Array.from({ length: 50 }, () => open(t))
  for (const [index, one] of half.entries()) one.socket.write(whole.subarray(0, index % whole.length))
  const broken = open(t)
  broken.socket.write(Buffer.concat([whole, packet(0x30, Buffer.from([0, 2, 0xff, 0xfe]), Buffer.from('x'))]))
  const deep = open(t)
  const tooDeep = subscribePacket(Array(60).fill('+').join('/'))
  deep.socket.write(Buffer.concat([connectPacket('odd-2', 'admin001'), tooDeep]))
  await until(() => deep.received().includes(Buffer.from([0x90, 3, 0, 1])), { what: 'a SUBACK for many wildcards' })
  const sound = await logIn(t, proxy, 'admin001', 'sound-2')
  const got = record(sound)
  await sound.subscribeAsync('still/#', { qos: 1 })
  await sound.publishAsync('still/alive', 'x', { qos: 1 })
  await until(() => got.some(({ topic }) => topic === 'still/alive'), { what: 'the message' })
  t.ok(sound.connected)
})

t.test('MQTT 5 is refused with the code for it', async (t) => {
  const five = open(t)
  five.socket.write(packet(0x10, text('MQTT'), Buffer.from([5, 2, 0, 60, 0]), text('five-1')))
  await until(() => five.received().length > 0, { what: 'the CONNACK' })
  t.equal(five.received()[3], 0x84)
})

t.test('a will is published as the client itself would have', async (t) => {
  const [one, two] = [await logIn(t, proxy, 'admin001', 'will-1'), await logIn(t, proxy, 'admin002', 'will-2')]
  const [gotOne, gotTwo] = [record(one), record(two)]
  await Promise.all([one.subscribeAsync('#', { qos: 1 }), two.subscribeAsync('#', { qos: 1 })])
  const mortal = connect(proxy.mqttUrl, {
    username: 'admin001',
    password: secret,
    clientId: 'will-3',
    reconnectPeriod: 0,
    will: { topic: 'last/will', payload: Buffer.from('x'), qos: 1, retain: false }
  })
  mortal.on('error', () => undefined)
  await until(() => mortal.connected, { what: 'the connection' })
  mortal.stream.destroy()
  await until(() => gotOne.some(({ topic }) => topic === 'last/will'), { what: 'the will' })
  await two.publishAsync('done', 'x', { qos: 1 })
  await until(() => gotTwo.some(({ topic }) => topic === 'done'), { what: 'the last message' })
  t.same(
    gotTwo.map(({ topic }) => topic),
    ['done']
  )
})

t.test('QoS 2 is stored before it is answered, too', async (t) => {
  const stored: string[] = []
  await bus.consumeUplink(['topic'], { durable: 'wire-test' }, async (batch) => {
    for (const { data } of batch)
      stored.push(`${data.tenantId} ${data.clientId} ${data.username} ${data.topic} ${Buffer.from(data.payload)}`)
  })
  const client = await logIn(t, proxy, 'admin001', 'two-1')
  await client.publishAsync('zwei/ä', 'ü', { qos: 2 })
  await client.publishAsync('zwei/0', '', { qos: 0 })
  await until(() => stored.some((line) => line.includes('zwei/0')), { what: 'both in the stream' })
  t.ok(stored.includes('t1 two-1 admin001 zwei/ä ü'))
})

t.test('acknowledgements keep the order of the messages, whatever becomes of these', async (t) => {
  const identity = { port, clientId: 'order-1', username: 'admin001', password: secret }
  const raw = await rawClient(identity)
  t.teardown(() => raw.close())
  const topics = ['fleet/order-1/up/report', 'fleet/group/g/down/x', '$file/f1/init', 'plain/1', '$unknown', 'plain/2']
  const ids = Array.from({ length: 60 }, (_, index) => index + 1)
  const init = JSON.stringify({ name: 'f', size: 1 })
  const packets = ids.map((messageId) => {
    const topic = topics[messageId % topics.length] ?? ''
    const qos = messageId % 3 === 0 ? 2 : 1
    return generate({ cmd: 'publish', topic, payload: init, qos, messageId, dup: false, retain: false })
  })
  raw.socket.write(Buffer.concat(packets))
  const acknowledged = (cmd: string) => raw.packets.filter((one) => one.cmd === cmd).map(({ messageId }) => messageId)
  await until(() => acknowledged('puback').length + acknowledged('pubrec').length === ids.length, {
    what: 'all of them'
  })
  t.same(
    acknowledged('puback'),
    ids.filter((id) => id % 3 !== 0)
  )
  t.same(
    acknowledged('pubrec'),
    ids.filter((id) => id % 3 === 0)
  )
})

t.test('an address that guesses has to wait, whoever it then is', async (t) => {
  for (let i = 0; i < 5; i++)
    await t.rejects(logIn(t, proxy, 'admin001', 'guess-1', { password: `Guess${i}!x` }), { code: 4 })
  await t.rejects(logIn(t, proxy, 'admin001', 'guess-1'), { code: 3 })
})

type Tap = Pick<typeof t, 'teardown'>
