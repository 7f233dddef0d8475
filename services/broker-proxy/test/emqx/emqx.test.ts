import { deliver, downFilter, listConnectedClients, upTopic } from '@fleetgate/contracts'
import { mqttClient, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { createApi } from '../../src/broker/emqx/api.js'
import { createRest } from '../../src/broker/emqx/rest.js'
import { addUser, callApi, logIn, openBus, record, secret } from '../support.js'
import { emqxKeys, startOnStandIn, untilListening } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
const bus = await openBus(t, parts)
const proxy = await startOnStandIn(t, { parts, keys })
const { standIn } = proxy
const api = callApi(proxy, keys)
const users = '/v2/t1/instances/default/users'
const q1 = { qos: 1 } as const

await addUser(proxy, keys, { name: 'machine1' })

const stored: string[] = []
await bus.consumeUplink(['report', 'topic'], { durable: 'emqx-test' }, async (batch) => {
  for (const { data } of batch) stored.push(Buffer.from(data.payload).toString())
})

async function isOnline(clientId: string): Promise<boolean> {
  const { clients } = await bus.request(listConnectedClients, { after: '', limit: 2000 })
  return clients.some((client) => client.clientId === clientId)
}

async function ask(path: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${proxy.url}/internal/emqx/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-fleetgate-secret': emqxKeys.authSecret, ...headers },
    body: JSON.stringify(body)
  })
  const text = await response.text()
  return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
}

t.test('what EMQX asks', async (t) => {
  const machine = { clientid: 'ask-1', username: 'machine1', password: secret, peerhost: '127.0.0.1' }

  t.test('is answered to EMQX alone', async (t) => {
    for (const wrong of ['', 'guessed', `${emqxKeys.authSecret}x`]) {
      t.equal((await ask('authenticate', machine, { 'x-fleetgate-secret': wrong })).status, 401)
      t.equal((await ask('authorize', machine, { 'x-fleetgate-secret': wrong })).status, 401)
    }
  })

  t.test('of a machine: its tenant and its own topics', async (t) => {
    t.same(await ask('authenticate', machine), {
      status: 200,
      body: {
        result: 'allow',
        is_superuser: false,
        client_attrs: { tenant: 't1' },
        acl: [
          { permission: 'allow', action: 'publish', topic: 'fleet/ask-1/up/#' },
          { permission: 'allow', action: 'subscribe', topic: 'fleet/ask-1/down/#' },
          { permission: 'allow', action: 'publish', topic: '$file/#' }
        ]
      }
    })
    const odd = await ask('authenticate', { ...machine, clientid: '$' + '{username}' })
    t.match(odd.body, { result: 'allow', acl: undefined }, 'an id that EMQX would take for a template gets no list')
  })

  t.test('of strangers and of who pretends to be us: 200 with deny, which is not "ignore"', async (t) => {
    const denied = { status: 200, body: { result: 'deny' } }
    t.same(await ask('authenticate', { ...machine, password: 'Wrong123!' }), denied)
    t.same(await ask('authenticate', { ...machine, clientid: '$fleetgate:test:up-0' }), denied)
    t.same(await ask('authenticate', { clientid: null, username: null }), denied)
    t.same(await ask('authenticate', { ...machine, username: 'fleetgate-service' }), denied)
    t.same(await ask('authorize', { clientid: 'ask-1', username: 'nobody01', action: 'publish', topic: 'x' }), denied)
    t.same(await ask('authorize', { clientid: 'ask-1', username: 'machine1', action: 'delete', topic: 'x' }), denied)
    t.same(await ask('authorize', {}), denied)
    const wrongType = await ask('authenticate', { ...machine, username: { $gt: '' } })
    t.equal(wrongType.body.result, undefined, 'what is no text is no answer either')
  })

  t.test('of ourselves: everything', async (t) => {
    const us = { clientid: 'x', username: 'fleetgate-service', password: 'password-of-the-service' }
    t.same((await ask('authenticate', us)).body, { result: 'allow', is_superuser: true })
  })

  t.test('is not needed for the own topics of a machine', async (t) => {
    const client = await logIn(t, proxy, 'machine1', 'own-1')
    await client.subscribeAsync(downFilter('own-1'), q1)
    await client.publishAsync(upTopic('own-1', 'report'), 'own topic', q1)
    await until(() => stored.includes('own topic'), { what: 'the report in the stream' })
    t.equal(standIn.clients.get('own-1')?.rights.remembered.size, 0)
  })
})

t.test('clean_acl_cache empties what EMQX remembers of a client', async (t) => {
  const client = await logIn(t, proxy, 'machine1', 'cache-1')
  await until(() => isOnline('cache-1'), { what: 'the client' })
  await client.publishAsync('denied/topic', 'x', q1)
  const remembered = standIn.clients.get('cache-1')?.rights.remembered
  t.same([...(remembered ?? [])], [['publish denied/topic', false]])
  const { body } = await api.put('/api/v2/clients/cache-1/clean_acl_cache', { topic: 'denied/topic' })
  t.same(body, { code: 0, result: [] })
  await until(() => remembered?.size === 0, { what: 'the empty cache' })
  t.ok(standIn.asked.includes('DELETE /clients/cache-1/authorization/cache'))
})

t.test('lost events are made good by the list of clients', async (t) => {
  standIn.faults.loseEvents = true
  t.teardown(() => {
    standIn.faults.loseEvents = false
  })
  const client = await logIn(t, proxy, 'machine1', 'lost-1', { keepalive: 77 })
  await until(() => isOnline('lost-1'), { what: 'the client that came without a word' })
  const { body } = await api.get('/api/v2/clients/lost-1')
  t.match(body.result.objects, [{ username: 'machine1', keepalive: 77, proto_ver: 4 }])
  t.not(body.result.objects[0].port, 0)
  await client.endAsync()
  await until(async () => !(await isOnline('lost-1')), { what: 'the end of the client that went without a word' })
})

t.test('a client whose user is gone is thrown out, though EMQX is in trouble at first', async (t) => {
  await addUser(proxy, keys, { name: 'shortlived' })
  const client = await logIn(t, proxy, 'shortlived', 'kick-1')
  await until(() => isOnline('kick-1'), { what: 'the client' })
  standIn.faults.status = 503
  const before = standIn.asked.length
  await api.delete(`${users}/shortlived`)
  await until(() => standIn.asked.slice(before).includes('DELETE /clients/kick-1'), { what: 'the first attempt' })
  t.ok(client.connected)
  standIn.faults = {}
  await until(() => !client.connected, { what: 'the end of the connection' })
})

t.test('a command waits in its stream until EMQX has acknowledged it', async (t) => {
  const machine = await logIn(t, proxy, 'machine1', 'wait-1')
  const got = record(machine)
  await machine.subscribeAsync(downFilter('wait-1'), q1)
  await until(() => isOnline('wait-1'), { what: 'the client' })
  const { authUrl } = standIn
  standIn.authUrl = 'http://127.0.0.1:9'
  for (const name of ['down-0', 'down-1']) standIn.kick(`$fleetgate:test:${name}`)
  await until(() => !standIn.clients.has('$fleetgate:test:down-1'), { what: 'the end of our connections' })
  await bus.command(deliver, {
    tenantId: 't1',
    channel: 'execution',
    common: { note: 'patient' },
    targets: [{ clientId: 'wait-1', own: {} }]
  })
  // What is published by the API meanwhile says so.
  const refused = await api.post('/api/v2/mqtt/publish', { topic: 'news', payload: 'x', qos: 1 })
  t.not(refused.body.code, 0)
  t.equal(got.length, 0)
  standIn.authUrl = authUrl
  await untilListening(standIn.url)
  await until(() => got.length > 0, { what: 'the command' })
  t.equal(JSON.parse(String(got[0]?.payload)).note, 'patient')
})

t.test(
  'what EMQX keeps for a replica that is gone is taken in by the others, and nothing new goes there',
  async (t) => {
    const gone = '$fleetgate:gone:up-0'
    const us = { clientId: gone, username: 'fleetgate-service', password: 'password-of-the-service', clean: false }
    const former = await mqttClient(t, standIn.mqttUrl, { ...us, protocolVersion: 4 })
    await former.subscribeAsync(['$share/fleetgate/fleet/+/up/#', '$share/fleetgate/$fleetgate/from/+/#'], q1)
    await former.endAsync()
    const report = async (n: number, round: string) => {
      const client = await logIn(t, proxy, 'machine1', `orphan-${n}`)
      await client.publishAsync(upTopic(`orphan-${n}`, 'report'), `${round} ${n}`, q1)
      await client.endAsync()
    }
    const senders = Array.from({ length: 12 }, (_, index) => index)
    const all = (round: string) => senders.every((n) => stored.includes(`${round} ${n}`))
    // EMQX chooses by the sender among all three receivers of the group, the absent one too.
    for (const n of senders) await report(n, 'early')
    await until(() => all('early'), { what: 'the reports of all of them' })
    const session = () => standIn.sessions().find(({ client }) => client.id === gone)
    await until(async () => session() && !session()?.isConnected, { what: 'the end of it' })
    for (const n of senders) await report(n, 'later')
    await until(() => all('later'), { what: 'what comes after that' })
    t.notOk(session()?.isConnected)
  }
)

t.test(
  'a session that is cut off before it is empty is taken over again, though EMQX counts nothing in it',
  async (t) => {
    const gone = '$fleetgate:cut:up-0'
    const us = { username: 'fleetgate-service', password: 'password-of-the-service', protocolVersion: 4 } as const
    const former = await mqttClient(t, standIn.mqttUrl, { ...us, clientId: gone, clean: false })
    await former.subscribeAsync('$share/fleetgate/fleet/+/up/#', q1)
    await former.endAsync()
    const texts = Array.from({ length: 12 }, (_, index) => `cut ${index}`)
    // Nobody knows the sender yet, so that whoever gets these holds on to them.
    for (const [index, text] of texts.entries()) {
      const sender = await mqttClient(t, standIn.mqttUrl, { ...us, clientId: `$fleetgate:cut:down-${index}` })
      await sender.publishAsync(upTopic('cut-1', 'report'), text, q1)
      await sender.endAsync()
    }
    const heir = await until(() => standIn.clients.get(gone)?.client, { what: 'the heir' })
    t.not(standIn.queued(gone).inflight_cnt, 0, 'a part of them lies there')
    standIn.counts.set(gone, { subscriptions_cnt: 0, mqueue_len: 0, inflight_cnt: 0 })
    heir.close()
    await until(() => !standIn.clients.has(gone), { what: 'the end of its connection' })
    await logIn(t, proxy, 'machine1', 'cut-1')
    await until(() => texts.every((text) => stored.includes(text)), { what: 'all of them' })
  }
)

t.test('the REST API', async (t) => {
  const settings = { url: `${standIn.url}/api/v5`, ...emqxKeys, timeoutMs: 20_000 }
  const emqx = createApi(createRest(settings))
  t.afterEach(() => {
    standIn.faults = {}
  })

  t.test('is read page by page, without absent sessions', async (t) => {
    standIn.absent = Array.from({ length: 2100 }, (_, index) => `absent-${index}`)
    t.teardown(() => {
      standIn.absent = []
    })
    await logIn(t, proxy, 'machine1', 'page-1')
    const before = standIn.asked.length
    const found: string[] = []
    for await (const { clientId } of emqx.clients()) found.push(clientId)
    t.ok(found.includes('page-1'))
    t.notOk(found.some((clientId) => clientId.startsWith('absent')))
    t.ok(standIn.asked.slice(before).filter((call) => call === 'GET /clients').length >= 3)
  })

  t.test('is quiet about clients that are gone', async (t) => {
    t.equal(await emqx.client('gone'), undefined)
    await emqx.kick('gone/with a slash')
    t.same(await emqx.subscriptions('gone'), [])
  })

  t.test('says in our words what is wrong with it', async (t) => {
    const stranger = createApi(createRest({ ...settings, apiSecret: 'wrong' }))
    await t.rejects(stranger.kick('x'), { code: 'unavailable', message: /API key.*BAD_API_KEY_OR_SECRET/ })
    standIn.faults = { status: 503 }
    await t.rejects(emqx.kick('x'), { code: 'unavailable', message: /in trouble \(503, INTERNAL_ERROR/ })
    standIn.faults = { status: 400 }
    await t.rejects(emqx.kick('x'), { code: 'invalid_input' })
    standIn.faults = { isSilent: true }
    const hasty = createApi(createRest({ ...settings, timeoutMs: 300 }))
    await t.rejects(hasty.kick('x'), { code: 'timeout' })
    const absent = createApi(createRest({ ...settings, url: 'http://127.0.0.1:9/api/v5' }))
    await t.rejects(absent.kick('x'), { code: 'unavailable' })
  })
})
