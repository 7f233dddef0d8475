import { createHash } from 'node:crypto'
import {
  type Bus,
  castBlockTopic,
  castFilter,
  castIdOf,
  clientConnected,
  clientDisconnected,
  deliver,
  downFilter,
  downTopic,
  listConnectedClients,
  uploadTopics,
  upTopic
} from '@fleetgate/contracts'
import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { stages } from './stages.js'
import { addUser, callApi, logIn, openBus, type Running, record } from './support.js'

/** What every broker driver must do, on each of them. */
const keys = testGuardKeys()
const parts = await startParts(t)
const bus = await openBus(t, parts)
const q1 = { qos: 1 } as const
const stored: { clientId: string; tenantId: string; username: string; channel: string; text: string }[] = []
await bus.consumeUplink(['report', 'topic'], { durable: 'driver-test' }, async (batch) => {
  for (const { data } of batch) {
    const { clientId, tenantId, username, channel, payload } = data
    stored.push({ clientId, tenantId, username, channel, text: Buffer.from(payload).toString() })
  }
})

for (const stage of stages) {
  t.test(stage.name, async (t) => {
    const proxy = await stage.start(t, parts, keys)
    await runSuite(t, { proxy, bus, name: stage.name })
  })
}

async function runSuite(
  t: Pick<typeof import('tap').default, 'test'>,
  world: { proxy: Running; bus: Bus; name: string }
) {
  const { proxy, name } = world
  const api = callApi(proxy, keys)
  const users = '/v2/t1/instances/default/users'
  const id = (part: string) => `${name}-${part}`
  const user = (part: string) => `${part}_${name}`
  const ofText = (text: string) => stored.filter((one) => one.text === text)
  const isOnline = async (clientId: string) => {
    const { clients } = await bus.request(listConnectedClients, { after: '', limit: 2000 })
    return clients.some((client) => client.clientId === clientId)
  }
  await addUser(proxy, keys, { name: user('machine') })
  await addUser(proxy, keys, { name: user('admin'), fields: { admin: true } })
  await addUser(proxy, keys, { tenantId: 't2', name: user('other'), fields: { admin: true } })

  t.test('log-in takes who is known, with ids that are his', async (t) => {
    const client = await logIn(t, proxy, user('machine'), id('in-1'))
    t.ok(client.connected)
    await until(() => isOnline(id('in-1')), { what: 'the row of the client' })
    await t.rejects(logIn(t, proxy, user('machine'), id('in-2'), { password: 'Wrong123!' }), 'a wrong secret')
    await t.rejects(logIn(t, proxy, user('nobody'), id('in-2')), 'an unknown user')
    await t.rejects(logIn(t, proxy, user('other'), id('in-1')), 'an id of another tenant')
    await t.rejects(logIn(t, proxy, user('machine'), 'a/b'), 'an id that is no level of a topic')
    t.ok(client.connected, 'and its owner is left alone')
  })

  t.test('a second connection of a client ends the first', async (t) => {
    const first = await logIn(t, proxy, user('machine'), id('twice'))
    const second = await logIn(t, proxy, user('machine'), id('twice'))
    await until(() => !first.connected, { what: 'the end of the first connection' })
    t.ok(second.connected)
  })

  t.test('reports come into the stream, named by their sender', async (t) => {
    const machine = await logIn(t, proxy, user('machine'), id('up-1'))
    await machine.publishAsync(upTopic(id('up-1'), 'report'), id('report'), q1)
    const admin = await logIn(t, proxy, user('admin'), id('up-2'))
    admin.publish(upTopic(id('up-1'), 'report'), id('false report'), q1)
    await until(() => ofText(id('report')).length > 0, { what: 'the report in the stream' })
    const after = await logIn(t, proxy, user('admin'), id('up-3'))
    await after.publishAsync('plant/1', id('telemetry'), q1)
    await until(() => ofText(id('telemetry')).length > 0, { what: 'the telemetry in the stream' })
    const sender = { tenantId: 't1', clientId: id('up-1'), username: user('machine'), channel: 'report' }
    t.same(ofText(id('report')), [{ ...sender, text: id('report') }])
    t.match(ofText(id('telemetry')), [{ clientId: id('up-3'), username: user('admin'), channel: 'topic' }])
    t.notOk(
      stored.some(({ text, channel }) => text === id('false report') && channel === 'report'),
      'nobody reports for another machine'
    )
  })

  t.test('permissions decide what else a client reaches', async (t) => {
    const topic_perms = [
      { name: 'hall/+/out', perm: 'PUB' },
      { name: 'hall/in/#', perm: 'SUB' },
      { name: 'hall/in/secret', perm: 'DENY' }
    ]
    await addUser(proxy, keys, { name: user('reader'), fields: { topic_perms } })
    const reader = await logIn(t, proxy, user('reader'), id('perm-1'))
    const admin = await logIn(t, proxy, user('admin'), id('perm-2'))
    const [got, seen] = [record(reader), record(admin)]
    await reader.subscribeAsync(['hall/in/1', downFilter(id('perm-1'))], q1)
    await admin.subscribeAsync('hall/+/out', q1)
    for (const filter of ['fleet/+/down/#', downFilter(id('perm-2')), '#', 'news', '$SYS/#']) {
      await t.rejects(reader.subscribeAsync(filter), filter)
    }
    await reader.subscribeAsync('hall/in/#', q1).catch(() => undefined)
    await reader.publishAsync('hall/in/1', 'denied', q1)
    await reader.publishAsync('hall/7/out', 'allowed', q1)
    await admin.publishAsync('hall/in/secret', 'hidden', q1)
    await admin.publishAsync('hall/in/1', 'shown', q1)
    await until(() => got.length > 0 && seen.length > 0, { what: 'the messages that are allowed' })
    t.same([...new Set(got.map(({ payload }) => payload.toString()))], ['shown'])
    t.same(
      seen.map(({ payload }) => payload.toString()),
      ['allowed']
    )
  })

  t.test('tenants do not see each other', async (t) => {
    const other = await logIn(t, proxy, user('other'), id('wall-1'))
    const machine = await logIn(t, proxy, user('machine'), id('wall-2'))
    const [leaked, got] = [record(other), record(machine)]
    for (const filter of ['#', 'fleet/+/up/#', downFilter(id('wall-2'))]) {
      await other.subscribeAsync(filter, q1).catch(() => undefined)
    }
    await machine.subscribeAsync(downFilter(id('wall-2')), q1)
    await other.subscribeAsync(downFilter(id('wall-1')), q1)
    const forger = downTopic(id('wall-2'), 'execution')
    await other.publishAsync(forger, 'forged', q1)
    await machine.publishAsync(upTopic(id('wall-2'), 'report'), id('walled'), q1)
    await command([id('wall-2')], 't2', 'wrong tenant')
    await command([id('wall-2')], 't1', 'right tenant')
    await command([id('wall-1')], 't2', 'own')
    await until(() => got.length > 0 && notesOf(leaked).includes('own'), { what: 'the commands' })
    t.same(notesOf(got), ['right tenant'])
    // What it forges it may see itself: that is its own tenant's.
    t.same(
      [...new Set(notesOf(leaked))].filter((note) => note !== 'forged'),
      ['own']
    )
  })

  t.test('commands reach those who are connected, also before they have subscribed', async (t) => {
    const [ready, late] = [await logIn(t, proxy, user('machine'), id('cmd-1')), await comeLate()]
    const got = record(ready)
    await ready.subscribeAsync(downFilter(id('cmd-1')), q1)
    await until(async () => (await isOnline(id('cmd-1'))) && (await isOnline(id('cmd-2'))), { what: 'both rows' })
    await command([id('cmd-1'), id('absent')], 't1', 'one')
    await until(() => got.length === 1, { what: 'the command' })
    t.equal(got[0]?.topic, downTopic(id('cmd-1'), 'execution'))
    await command([id('cmd-2')], 't1', 'early')
    await late.client.subscribeAsync(downFilter(id('cmd-2')), q1)
    await until(() => late.got.length === 1, { what: 'the command that was there first' })

    async function comeLate() {
      const client = await logIn(t, proxy, user('machine'), id('cmd-2'))
      return { client, got: record(client) }
    }
  })

  t.test('presence is told for each connection, which its time names', async (t) => {
    const events: [string, number][] = []
    const mine = (clientId: string) => clientId === id('here')
    const watched = await Promise.all([
      bus.watch(clientConnected, { sinceMs: 0 }, (e) => mine(e.clientId) && events.push(['up', e.connectedAt])),
      bus.watch(clientDisconnected, { sinceMs: 0 }, (e) => mine(e.clientId) && events.push(['down', e.connectedAt]))
    ])
    t.teardown(() => Promise.all(watched.map((one) => one.stop())))
    for (const round of [1, 2]) {
      const client = await logIn(t, proxy, user('machine'), id('here'), { keepalive: 30 + round })
      await until(() => events.length === round * 2 - 1, { what: 'the coming' })
      const found = await api.get(`/api/v2/clients/${id('here')}`)
      t.match(found.body.result.objects, [{ username: user('machine'), ipaddress: '127.0.0.1', keepalive: 30 + round }])
      t.not(found.body.result.objects[0]?.port, 0)
      await client.endAsync()
      await until(() => events.length === round * 2, { what: 'the going' })
    }
    t.same([events[0]?.[0], events[1]?.[0], events[2]?.[0], events[3]?.[0]], ['up', 'down', 'up', 'down'])
    t.equal(events[0]?.[1], events[1]?.[1])
    t.ok((events[2]?.[1] ?? 0) > (events[0]?.[1] ?? 0), 'a later connection has a later time')
  })

  t.test('changes of a user take effect at once', async (t) => {
    const name = user('changing')
    await addUser(proxy, keys, { name, fields: { default_topic_perm: 'SUB' } })
    const client = await logIn(t, proxy, name, id('change-1'))
    const admin = await logIn(t, proxy, user('admin'), id('change-2'))
    await until(() => isOnline(id('change-1')), { what: 'the row' })
    const got = record(client)
    await client.subscribeAsync(['change/a', downFilter(id('change-1'))], q1)
    await admin.publishAsync('change/a', 'before', q1)
    await until(() => got.length === 1, { what: 'what is allowed' })
    await api.put(`${users}/${name}`, { default_topic_perm: 'DENY' })
    await until(
      async () => {
        const before = got.length
        await admin.publishAsync('change/a', 'after', q1)
        await command([id('change-1')], 't1', 'marker')
        await until(() => notesOf(got.slice(before)).includes('marker'), { what: 'the marker' })
        return !got.slice(before).some(({ topic }) => topic === 'change/a')
      },
      { what: 'the end of the subscription' }
    )
    t.ok(client.connected, 'without losing the connection')
    await api.put(`${users}/${name}`, { secret_key: 'Other123!' })
    await until(() => !client.connected, { what: 'the end of the connection' })
    const again = await logIn(t, proxy, name, id('change-1'), { password: 'Other123!' })
    await until(() => isOnline(id('change-1')), { what: 'the row' })
    await api.delete(`${users}/${name}`)
    await until(() => !again.connected, { what: 'the end of the connection' })
    await t.rejects(logIn(t, proxy, name, id('change-1'), { password: 'Other123!' }))
  })

  t.test('a cast goes to who joins it by its name, within its tenant', async (t) => {
    const castId = castIdOf({ tenantId: 't1', runId: name, scriptId: 1 })
    const filter = castFilter(castId)
    const [one, two] = [
      await logIn(t, proxy, user('machine'), id('cast-1')),
      await logIn(t, proxy, user('admin'), id('cast-2'))
    ]
    const other = await logIn(t, proxy, user('other'), id('cast-3'))
    const bystander = await logIn(t, proxy, user('machine'), id('cast-4'))
    const [got, gotToo, leaked, unasked] = [record(one), record(two), record(other), record(bystander)]
    await bystander.subscribeAsync(downFilter(id('cast-4')), q1)
    for (const client of [one, two]) await client.subscribeAsync(filter)
    const refused = [
      'fleet/group/+/down/#',
      'fleet/group/#',
      'fleet/group/+/#',
      '$share/g/fleet/group/+/down/#',
      castFilter('x')
    ]
    for (const filter of refused) {
      await t.rejects(one.subscribeAsync(filter), filter)
      await t.rejects(two.subscribeAsync(filter), `${filter}, an administrator too`)
    }
    await t.rejects(other.subscribeAsync(filter), 'a cast of another tenant')
    const bytes = Buffer.from(`cast of ${name}`)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const topic = castBlockTopic(castId, { sha256, index: 0, blockSha256: sha256 })
    await two.publishAsync(topic, 'forged', q1)
    await other.publishAsync(topic, 'forged', q1)
    await two.publishAsync(uploadTopics.init('c1'), JSON.stringify({ name: 'f', size: bytes.length }), q1)
    await two.publishAsync(uploadTopics.segment('c1', 0, sha256), bytes, q1)
    await two.publishAsync(uploadTopics.fin('c1', bytes.length, sha256), '', q1)
    const join = JSON.stringify({ castId, sha256 })
    for (const [clientId, client] of [
      ['cast-1', one],
      ['cast-2', two],
      ['cast-3', other]
    ] as const) {
      await client.publishAsync(upTopic(id(clientId), 'cast-join'), join, q1)
    }
    const cast = (seen: typeof got) => seen.filter((message) => message.topic.startsWith('fleet/group/'))
    await until(() => cast(got).length > 0 && cast(gotToo).length > 0, { what: 'the cast' })
    for (const seen of [got, gotToo]) {
      t.same(
        cast(seen).map((message) => [message.topic, message.payload.toString()]),
        [[topic, bytes.toString()]]
      )
    }
    t.same([...cast(leaked), ...cast(unasked)], [])
  })

  t.test('the API publishes to subscribers, and files go up', async (t) => {
    const client = await logIn(t, proxy, user('admin'), id('file-1'))
    const got = record(client)
    await client.subscribeAsync(['news/#', downFilter(id('file-1'))], q1)
    const sent = await api.post('/api/v2/mqtt/publish', { topic: 'news/1', payload: 'hello', qos: 1 })
    t.equal(sent.body.code, 0)
    await until(() => got.some(({ topic }) => topic === 'news/1'), { what: 'the news' })
    const bytes = Buffer.from(`content for ${name}`)
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    await client.publishAsync(uploadTopics.init('f1'), JSON.stringify({ name: 'f', size: bytes.length }), q1)
    await client.publishAsync(uploadTopics.segment('f1', 0, sha256), bytes, q1)
    await client.publishAsync(uploadTopics.fin('f1', bytes.length, sha256), '', q1)
    const info = await until(() => got.find(({ topic }) => topic === downTopic(id('file-1'), 'file-info')), {
      what: 'the answer'
    })
    t.match(JSON.parse(info.payload.toString()), { requestId: 'f1', sha256, stored: true })
  })

  function command(clientIds: string[], tenantId: string, note: string) {
    const targets = clientIds.map((clientId) => ({ clientId, own: {} }))
    return bus.command(deliver, { tenantId, channel: 'execution', common: { note }, targets })
  }
}

function notesOf(seen: { topic: string; payload: Buffer }[]): unknown[] {
  return seen.map(({ topic, payload }) => {
    const text = payload.toString()
    return topic.includes('/down/') && text.startsWith('{') ? JSON.parse(text).note : text
  })
}
