import { freePort, startParts, startService, testGuardKeys, until } from '@fleetgate/testkit'
import type { IPublishPacket, Packet } from 'mqtt-packet'
import t from 'tap'
import { acknowledge, message, type RawClient, rawClient } from './rawClient.js'
import { addUser, callApi, openBus, secret } from './support.js'

/** Kept sessions outlast the process: killed, never asked to stop. SESSIONS sets how many wait at once. */
const count = Number(process.env.SESSIONS ?? 1500)
const atOnce = 250
/** Of those that are connected while something comes. */
const connected = 300
const keys = testGuardKeys()
const parts = await startParts(t)
await openBus(t, parts, keys)
const port = await freePort()
const service = await startService(t, {
  name: 'broker-proxy',
  parts,
  env: { MQTT_PORT: String(port), CHECK_REPLIES: 'false' }
})
const api = callApi(service, keys)
await until(async () => (await api.get('/api/v2/management/nodes')).status === 200, { what: 'the keys' })
await addUser(service, keys, { name: 'admin001', fields: { admin: true } })

const join = (clientId: string, options: Partial<Parameters<typeof rawClient>[0]> = {}) =>
  rawClient({ port, clientId, username: 'admin001', password: secret, answer: acknowledge, ...options })
const killed = async () => {
  await service.kill('SIGKILL')
  await service.restart()
}
const published = (client: RawClient) => client.packets.filter(({ cmd }) => cmd === 'publish') as IPublishPacket[]
const texts = (client: RawClient) => published(client).map(({ payload }) => payload.toString())

/** Stories run side by side; one kill serves all of them: it comes when each has come to where it wants it. */
let telling = 0
let wanting: (() => void)[] = []
function killIfAll(): void {
  if (telling === 0 || wanting.length < telling) return
  const tellers = wanting
  wanting = []
  void killed().then(() => tellers.forEach((go) => void go()))
}
const kill = () =>
  new Promise<void>((resolve) => {
    wanting.push(resolve)
    killIfAll()
  })

type Tap = typeof t
function story(
  name: string,
  tell: (t: Pick<Tap, 'equal' | 'same' | 'ok' | 'notOk'>, kill: () => Promise<void>) => Promise<void>
): void {
  telling += 1
  t.test(name, { buffered: true }, async (t) => {
    try {
      await tell(t, kill)
    } finally {
      telling -= 1
      killIfAll()
    }
  })
}

async function subscribe(client: RawClient, subscriptions: { topic: string; qos: 0 | 1 | 2 }[]): Promise<void> {
  client.send({ cmd: 'subscribe', messageId: 1, subscriptions } as Packet)
  await client.next('suback', 1)
}

async function inGroups(work: (index: number) => Promise<void>): Promise<void> {
  for (let at = 0; at < count; at += atOnce) {
    await Promise.all(Array.from({ length: Math.min(atOnce, count - at) }, (_, index) => work(at + index)))
  }
}

t.jobs = 10

t.test(
  `${count} sessions: after two kills each gets everything, in order, and nothing twice`,
  { buffered: false },
  async (t) => {
    await inGroups(async (index) => {
      const client = await join(`many-${index}`)
      await subscribe(client, [{ topic: 'wide/#', qos: 1 }])
      await client.close()
    })
    const numbers = Array.from({ length: 6 }, (_, index) => String(index))
    let sender = await join('many-sender')
    for (const text of numbers) {
      sender.send(message('wide/news', text, { qos: 1, messageId: 100 + Number(text) }))
      await sender.next('puback', 100 + Number(text))
      if (text !== '2') continue
      await killed()
      sender = await join('many-sender')
    }
    await killed()
    const wrong: string[] = []
    await inGroups(async (index) => {
      const client = await join(`many-${index}`)
      await until(() => published(client).length >= numbers.length, { what: `the messages of session ${index}` }).catch(
        () => undefined
      )
      // Its answer comes behind everything that was sent before.
      client.send({ cmd: 'pingreq' })
      await client.next('pingresp')
      if (texts(client).join() !== numbers.join()) wrong.push(`${index}: ${texts(client)}`)
      await client.close()
    })
    t.same(wrong, [])
    const first = await join('many-0')
    first.send({ cmd: 'pingreq' })
    await first.next('pingresp')
    t.same(texts(first), [], 'what was acknowledged does not come again')
    const { body } = await api.get('/api/v2/sessions/many-1')
    t.match(body.result.objects, [{ subscriptions: 1, message_queue: 0, message_dropped: 0 }])
  }
)

t.test(
  `${connected} connected kept sessions: each message once, in order, and nothing is left over for a kill to bring back`,
  { buffered: false },
  async (t) => {
    const names = Array.from({ length: connected }, (_, index) => `fan-${index}`)
    const here = await Promise.all(names.map((name) => join(name)))
    await Promise.all(here.map((client) => subscribe(client, [{ topic: 'fan/#', qos: 1 }])))
    const numbers = Array.from({ length: 20 }, (_, index) => String(index))
    const sender = await join('fan-sender')
    for (const text of numbers) sender.send(message('fan/out', text, { qos: 1, messageId: 1 + Number(text) }))
    await until(() => here.every((client) => published(client).length >= numbers.length), { what: 'all messages' })
    // Its answer comes behind the acknowledgements.
    for (const client of here) client.send({ cmd: 'pingreq' })
    await Promise.all(here.map((client) => client.next('pingresp')))
    t.same([...new Set(here.map((client) => texts(client).join()))], [numbers.join()])
    const { body } = await api.get('/api/v2/sessions/fan-7')
    t.match(body.result.objects, [{ subscriptions: 1, message_queue: 0, message_dropped: 0, inflight_queue: 0 }])
    await killed()
    const back = await Promise.all(names.map((name) => join(name)))
    for (const client of back) client.send({ cmd: 'pingreq' })
    await Promise.all(back.map((client) => client.next('pingresp')))
    t.ok(back.every(({ sessionPresent }) => sessionPresent))
    t.same([...new Set(back.map((client) => texts(client).join()))], [''])
    await Promise.all(back.map((client) => client.close()))
  }
)

story('messages that nobody has acknowledged come again, with their packet ids and as duplicates', async (t, kill) => {
  const silent = await join('again-1', { answer: () => undefined })
  await subscribe(silent, [{ topic: 'again', qos: 1 }])
  const sender = await join('again-2')
  for (const [index, text] of ['one', 'two', 'three'].entries()) {
    sender.send(message('again', text, { qos: 1, messageId: 10 + index }))
  }
  await until(() => published(silent).length === 3, { what: 'the messages' })
  const before = published(silent)
  t.same(
    before.map(({ dup }) => dup),
    [false, false, false]
  )
  silent.send({ cmd: 'puback', messageId: before[0]?.messageId })
  silent.send({ cmd: 'pingreq' })
  await silent.next('pingresp')
  await kill()
  const back = await join('again-1')
  t.equal(back.sessionPresent, true)
  await until(() => published(back).length === 2, { what: 'the other two' })
  t.same(texts(back), ['two', 'three'])
  t.same(
    published(back).map(({ dup, messageId }) => [dup, messageId]),
    before.slice(1).map(({ messageId }) => [true, messageId])
  )
})

story('QoS 2 towards a subscriber is exactly once, wherever the process dies', async (t, kill) => {
  const mute = () => undefined
  let receiver = await join('exact-1', { answer: mute })
  await subscribe(receiver, [{ topic: 'exact', qos: 2 }])
  const sender = await join('exact-2')
  sender.send(message('exact', 'once', { qos: 2, messageId: 7 }))
  await sender.next('pubrec', 7)
  sender.send({ cmd: 'pubrel', messageId: 7 })
  await sender.next('pubcomp', 7)
  const first = (await receiver.next('publish')) as IPublishPacket
  await kill()
  receiver = await join('exact-1', { answer: mute })
  const again = (await receiver.next('publish')) as IPublishPacket
  t.same([again.messageId, again.dup, again.payload.toString()], [first.messageId, true, 'once'])
  receiver.send({ cmd: 'pubrec', messageId: again.messageId })
  await receiver.next('pubrel', again.messageId)
  await kill()
  receiver = await join('exact-1', { answer: mute })
  await receiver.next('pubrel', first.messageId)
  t.same(texts(receiver), [], 'a message that was received is not sent any more')
  receiver.send({ cmd: 'pubcomp', messageId: first.messageId })
  receiver.send({ cmd: 'pingreq' })
  await receiver.next('pingresp')
  await kill()
  receiver = await join('exact-1', { answer: mute })
  receiver.send({ cmd: 'pingreq' })
  await receiver.next('pingresp')
  t.same(
    receiver.packets.map(({ cmd }) => cmd),
    ['connack', 'pingresp']
  )
})

story('QoS 2 from a publisher is exactly once, wherever the process dies', async (t, kill) => {
  const receiver = await join('from-1')
  await subscribe(receiver, [{ topic: 'from', qos: 2 }])
  await receiver.close()
  let sender = await join('from-2', { answer: () => undefined })
  sender.send(message('from', 'a', { qos: 2, messageId: 5 }))
  await sender.next('pubrec', 5)
  await kill()
  sender = await join('from-2', { answer: () => undefined })
  sender.send(message('from', 'a', { qos: 2, messageId: 5, dup: true }))
  await sender.next('pubrec', 5)
  sender.send({ cmd: 'pubrel', messageId: 5 })
  await sender.next('pubcomp', 5)
  await kill()
  sender = await join('from-2', { answer: () => undefined })
  sender.send({ cmd: 'pubrel', messageId: 5 })
  await sender.next('pubcomp', 5)
  sender.send(message('from', 'b', { qos: 2, messageId: 5 }))
  await sender.next('pubrec', 5)
  const back = await join('from-1')
  await until(() => texts(back).includes('b'), { what: 'the second message' })
  t.same(texts(back), ['a', 'b'], 'a packet id that is free again names a new message')
})

story('what is published while its receiver comes back is neither lost, doubled nor out of order', async (t, _kill) => {
  const receiver = await join('coming-1')
  await subscribe(receiver, [
    { topic: 'coming/#', qos: 1 },
    { topic: 'coming/+', qos: 2 }
  ])
  await receiver.close()
  const total = 600
  const sender = await join('coming-2', { answer: () => undefined })
  for (let n = 0; n < total; n++) sender.send(message('coming/a', String(n), { qos: 1, messageId: n + 1 }))
  const all: string[] = []
  const wanted = Array.from({ length: total }, (_, n) => String(n))
  for (let round = 0; new Set(all).size < total && round < 200; round++) {
    const client = await join('coming-1')
    await until(() => published(client).length >= 100 || texts(client).includes(wanted.at(-1) ?? ''), {
      what: 'some',
      deadlineMs: 5000
    }).catch(() => undefined)
    client.send({ cmd: 'pingreq' })
    await client.next('pingresp')
    await client.close()
    const seen = new Set(all)
    t.notOk(
      published(client).some(({ dup, payload }) => !dup && seen.has(payload.toString())),
      'only what is marked so comes again'
    )
    all.push(...texts(client).filter((text) => !seen.has(text)))
  }
  t.same(all, wanted)
})

story('retained messages and subscriptions of absent clients are there after a kill', async (t, kill) => {
  const sender = await join('kept-1')
  sender.send(message('kept/a', 'first', { qos: 1, messageId: 1, retain: true }))
  sender.send(message('kept/a', 'second', { qos: 1, messageId: 2, retain: true }))
  sender.send(message('kept/b', 'gone', { qos: 1, messageId: 3, retain: true }))
  sender.send(message('kept/b', '', { qos: 1, messageId: 4, retain: true }))
  await sender.next('puback', 4)
  await subscribe(sender, [
    { topic: 'left', qos: 1 },
    { topic: 'ended', qos: 1 }
  ])
  sender.send({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['ended'] })
  await sender.next('unsuback', 9)
  await kill()
  const { body } = await api.get('/api/v2/subscriptions/kept-1')
  t.same(body.result.objects, [{ client_id: 'kept-1', topic: 'left', qos: 1 }])
  const reader = await join('kept-2')
  await subscribe(reader, [{ topic: 'kept/#', qos: 1 }])
  await reader.next('publish')
  t.same(texts(reader), ['second'])
})

story('the will of who was connected when the process was killed is published by the next one', async (t, kill) => {
  const watcher = await join('will-1')
  await subscribe(watcher, [{ topic: 'wills/#', qos: 1 }])
  await watcher.close()
  const will = (topic: string) => ({ topic, payload: Buffer.from('gone'), qos: 1 as const, retain: false })
  await join('will-2', { connect: { will: will('wills/two') } })
  const well = await join('will-3', { connect: { will: will('wills/three') } })
  well.send({ cmd: 'disconnect' })
  await until(() => well.isClosed, { what: 'the end of a connection' })
  await kill()
  const back = await join('will-1')
  await back.next('publish')
  back.send({ cmd: 'pingreq' })
  await back.next('pingresp')
  t.same(
    published(back).map(({ topic }) => topic),
    ['wills/two'],
    'not that of who said good-bye'
  )
})

story('a clean start ends what was kept, for good', async (t, kill) => {
  const first = await join('clean-1')
  await subscribe(first, [{ topic: 'clean', qos: 1 }])
  await first.close()
  const sender = await join('clean-2')
  sender.send(message('clean', 'x', { qos: 1, messageId: 1 }))
  await sender.next('puback', 1)
  const clean = await join('clean-1', { connect: { clean: true } })
  await clean.close()
  await kill()
  const back = await join('clean-1')
  back.send({ cmd: 'pingreq' })
  await back.next('pingresp')
  t.equal(back.sessionPresent, false)
  t.same(texts(back), [])
})
