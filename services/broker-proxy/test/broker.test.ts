import {
  clientConnected,
  clientDisconnected,
  deliver,
  downFilter,
  downTopic,
  listConnectedClients,
  upTopic
} from '@fleetgate/contracts'
import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { addUser, callApi, logIn, openBus, record, startProxy } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
const bus = await openBus(t, parts)
const proxy = await startProxy(t, parts, keys, { MQTT_FAILED_LOGINS_PER_MINUTE: '200' })
const users = '/v2/t1/instances/default/users'
const api = callApi(proxy, keys)

await addUser(proxy, keys, { name: 'machine1' })
await addUser(proxy, keys, { name: 'admin001', fields: { admin: true } })
await addUser(proxy, keys, { tenantId: 't2', name: 'admin002', fields: { admin: true } })
await addUser(proxy, keys, {
  name: 'reader01',
  fields: {
    default_topic_perm: 'SUB',
    topic_perms: [
      { name: 'plant/+/out', perm: 'PUB' },
      { name: 'plant/secret/#', perm: 'DENY' }
    ]
  }
})

/** One message after everything else: what has not come before it does not come. */
async function settled(
  from: { publishAsync(topic: string, payload: string, options: { qos: 1 }): Promise<unknown> },
  seen: { topic: string }[],
  topic: string
) {
  await from.publishAsync(topic, 'last', { qos: 1 })
  await until(() => seen.some((message) => message.topic === topic), { what: `the message on ${topic}` })
}

t.test('log-in', async (t) => {
  t.test('takes the user name and secret', async (t) => {
    const client = await logIn(t, proxy, 'machine1', 'login-1')
    t.ok(client.connected)
  })

  t.test('refuses a wrong secret and an unknown user alike', async (t) => {
    await t.rejects(logIn(t, proxy, 'machine1', 'login-2', { password: 'Wrong123!' }), { code: 4 })
    await t.rejects(logIn(t, proxy, 'nobody01', 'login-2'), { code: 4 })
    await t.rejects(logIn(t, proxy, 'machine1', 'login-2', { password: '' }), { code: 4 })
  })

  t.test('refuses a client id that another tenant uses, connected or not', async (t) => {
    const owner = await logIn(t, proxy, 'machine1', 'owned-1')
    await t.rejects(logIn(t, proxy, 'admin002', 'owned-1'), { code: 2 })
    t.ok(owner.connected, 'and leaves its owner alone')
    await owner.endAsync()
    await t.rejects(logIn(t, proxy, 'admin002', 'owned-1'), { code: 2 })
  })

  t.test('refuses ids that cannot stand in a topic or in a URL', async (t) => {
    for (const clientId of ['', 'a/b', 'a+', '#', '.', '..', 'x'.repeat(257)]) {
      await t.rejects(logIn(t, proxy, 'machine1', clientId), { code: 2 }, clientId.slice(0, 5))
    }
  })

  t.test('keeps to the address list', async (t) => {
    await addUser(proxy, keys, { name: 'elsewhere', fields: { white_remote_address: '10.0.0.*' } })
    await t.rejects(logIn(t, proxy, 'elsewhere', 'login-3'), { code: 5 })
    await api.put(`${users}/elsewhere`, { white_remote_address: '127.0.*.*' })
    const client = await logIn(t, proxy, 'elsewhere', 'login-3')
    await api.put(`${users}/elsewhere`, { white_remote_address: '10.0.0.*' })
    await until(() => !client.connected, { what: 'the end of the connection' })
  })

  t.test('throws an older connection of the same client out, also in a hurry', async (t) => {
    const first = await logIn(t, proxy, 'machine1', 'twice-1')
    const others = await Promise.allSettled([1, 2, 3].map(() => logIn(t, proxy, 'machine1', 'twice-1')))
    await until(() => !first.connected, { what: 'the end of the first connection' })
    const last = await logIn(t, proxy, 'machine1', 'twice-1')
    await until(() => others.every((one) => one.status === 'rejected' || !one.value.connected), {
      what: 'one connection only'
    })
    t.ok(last.connected)
  })
})

t.test('a changed user', async (t) => {
  t.test('that is deleted is gone at once', async (t) => {
    await addUser(proxy, keys, { name: 'shortlived' })
    const client = await logIn(t, proxy, 'shortlived', 'short-1')
    t.equal((await api.delete(`${users}/shortlived`)).status, 200)
    await until(() => !client.connected, { what: 'the end of the connection', deadlineMs: 1000 })
    await t.rejects(logIn(t, proxy, 'shortlived', 'short-1'), { code: 4 })
  })

  t.test('with a new secret has to log in anew', async (t) => {
    await addUser(proxy, keys, { name: 'rotating' })
    const client = await logIn(t, proxy, 'rotating', 'rot-1')
    await api.put(`${users}/rotating`, { secret_key: 'Other123!' })
    await until(() => !client.connected, { what: 'the end of the connection', deadlineMs: 1000 })
    t.ok((await logIn(t, proxy, 'rotating', 'rot-1', { password: 'Other123!' })).connected)
  })

  t.test('loses a permission without losing the connection', async (t) => {
    await addUser(proxy, keys, { name: 'shrinking', fields: { default_topic_perm: 'SUB' } })
    const client = await logIn(t, proxy, 'shrinking', 'shrink-1')
    const admin = await logIn(t, proxy, 'admin001', 'shrink-admin')
    const seen = record(client)
    await client.subscribeAsync(['shrink/a', downFilter('shrink-1')], { qos: 1 })
    await settled(admin, seen, 'shrink/a')
    await api.put(`${users}/shrinking`, { default_topic_perm: 'DENY' })
    await admin.publishAsync('shrink/a', 'no more', { qos: 1 })
    await settled(admin, seen, downTopic('shrink-1', 'execution'))
    t.notOk(seen.some(({ payload }) => payload.toString() === 'no more'))
  })
})

t.test('permissions', async (t) => {
  const admin = await logIn(t, proxy, 'admin001', 'perm-admin')
  const seen = record(admin)
  await admin.subscribeAsync('#', { qos: 1 })

  t.test('a machine reaches its own fleet topics only', async (t) => {
    const machine = await logIn(t, proxy, 'machine1', 'perm-1')
    const granted = await machine.subscribeAsync([downFilter('perm-1'), downTopic('perm-1', 'block')], { qos: 1 })
    t.same(
      granted.map(({ qos }) => qos),
      [1, 1]
    )
    for (const filter of ['fleet/+/down/#', downFilter('perm-2'), '#', 'news', '$SYS/#', '$share/g/news']) {
      await t.rejects(machine.subscribeAsync(filter), /unspecified error|128/i, filter)
    }
    await machine.publishAsync('news', 'denied', { qos: 1 })
    await settled(admin, seen, 'perm/done')
    t.notOk(
      seen.some(({ topic }) => topic === 'news'),
      'acknowledged, and dropped'
    )
  })

  t.test('a report for another machine is not acknowledged', async (t) => {
    const machine = await logIn(t, proxy, 'machine1', 'perm-3')
    let isAcknowledged = false
    machine.publish(upTopic('perm-1', 'report'), '{}', { qos: 1 }, (error) => {
      isAcknowledged = !error
    })
    await until(() => !machine.connected, { what: 'the end of the connection' })
    t.notOk(isAcknowledged)
  })

  t.test('grants decide about everything else', async (t) => {
    const reader = await logIn(t, proxy, 'reader01', 'perm-4')
    const got = record(reader)
    await reader.subscribeAsync('plant/#', { qos: 1 })
    await reader.publishAsync('plant/7/out', 'allowed', { qos: 1 })
    await reader.publishAsync('plant/7/in', 'denied', { qos: 1 })
    await admin.publishAsync('plant/secret/x', 'hidden', { qos: 1 })
    await settled(admin, got, 'plant/done')
    t.same(
      got.map(({ topic }) => topic),
      ['plant/done'],
      'the entry that lets it publish replaces the default that lets it subscribe'
    )
    t.ok(seen.some(({ topic }) => topic === 'plant/7/out'))
  })

  t.test('unsubscribing ends it', async (t) => {
    const reader = await logIn(t, proxy, 'reader01', 'perm-5')
    const got = record(reader)
    await reader.subscribeAsync(['one', 'two'], { qos: 1 })
    await reader.unsubscribeAsync('one')
    await admin.publishAsync('one', 'x', { qos: 1 })
    await settled(admin, got, 'two')
    t.same(
      got.map(({ topic }) => topic),
      ['two']
    )
  })

  t.test('QoS is the lower one of both sides', async (t) => {
    const reader = await logIn(t, proxy, 'reader01', 'perm-6')
    const qos: number[] = []
    reader.on('message', (_topic, _payload, packet) => qos.push(packet.qos))
    await reader.subscribeAsync('mixed', { qos: 1 })
    await admin.publishAsync('mixed', 'a', { qos: 2 })
    await admin.publishAsync('mixed', 'b', { qos: 0 })
    await until(() => qos.length === 2, { what: 'two messages' })
    t.same(qos, [1, 0])
  })
})

t.test('tenants never meet', async (t) => {
  const one = await logIn(t, proxy, 'admin001', 'wall-1')
  const two = await logIn(t, proxy, 'admin002', 'wall-2', { clean: false })
  const machine = await logIn(t, proxy, 'machine1', 'wall-machine')
  const seen = record(two)
  await two.subscribeAsync(['#', '+/#', 'fleet/#', 't1/#', 'shared', 'fleet/+/up/#', downFilter('wall-machine')], {
    qos: 1
  })

  t.test('live messages', async (t) => {
    await one.publishAsync('shared', 'of t1', { qos: 1 })
    await one.publishAsync('shared', 'of t1', { qos: 0 })
    await one.publishAsync('kept', 'of t1', { qos: 1, retain: true })
    await machine.publishAsync(upTopic('wall-machine', 'report'), '{}', { qos: 1 })
    await bus.command(deliver, {
      tenantId: 't1',
      channel: 'stage',
      common: {},
      targets: [{ clientId: 'wall-machine', own: {} }]
    })
    await settled(two, seen, 'wall/done')
    t.same([...new Set(seen.map(({ topic }) => topic))], ['wall/done'])
  })

  t.test('retained messages', async (t) => {
    await two.publishAsync('kept', 'of t2', { qos: 1, retain: true })
    const again = await logIn(t, proxy, 'admin001', 'wall-3')
    const got = record(again)
    await again.subscribeAsync('+', { qos: 1 })
    await until(() => got.length > 0, { what: 'the retained message' })
    t.same(
      got.map(({ topic, payload, retain }) => [topic, payload.toString(), retain]),
      [['kept', 'of t1', true]]
    )
  })

  t.test('messages kept for an absent client', async (t) => {
    await two.endAsync()
    await one.publishAsync('shared', 'of t1', { qos: 1 })
    const other = await logIn(t, proxy, 'admin002', 'wall-4')
    await other.publishAsync('shared', 'of t2', { qos: 1 })
    const { client: back, got } = await comeBack('wall-2')
    t.teardown(() => back.endAsync(true))
    await settled(other, got, 'wall/back')
    // Once for each of its filters, as MQTT allows.
    t.same([...new Set(got.map(({ payload }) => payload.toString()))].sort(), ['last', 'of t2'])
  })

  /** Listens before the broker can send what it kept. */
  async function comeBack(clientId: string) {
    const { connect } = await import('mqtt')
    const client = connect(proxy.mqttUrl, {
      username: 'admin002',
      password: 'Abcd1234!',
      clientId,
      clean: false,
      reconnectPeriod: 0
    })
    const got = record(client)
    await until(() => client.connected, { what: 'the connection' })
    return { client, got }
  }
})

t.test('presence', async (t) => {
  const events: [string, number][] = []
  const up = await bus.watch(
    clientConnected,
    { sinceMs: 0 },
    (event) => event.clientId === 'here-1' && events.push(['up', event.connectedAt])
  )
  const down = await bus.watch(
    clientDisconnected,
    { sinceMs: 0 },
    (event) => event.clientId === 'here-1' && events.push(['down', event.connectedAt])
  )
  t.teardown(() => Promise.all([up.stop(), down.stop()]))

  t.test('is told for each connection, which its time names', async (t) => {
    for (let i = 0; i < 3; i++) await (await logIn(t, proxy, 'machine1', 'here-1')).endAsync()
    await until(() => events.length === 6, { what: 'six events' })
    const ups = events.filter(([kind]) => kind === 'up').map(([, at]) => at)
    const downs = events.filter(([kind]) => kind === 'down').map(([, at]) => at)
    t.equal(new Set(ups).size, 3)
    t.same(downs, ups)
    t.same(
      ups,
      [...ups].sort((a, b) => a - b)
    )
  })

  t.test('a crowd that comes at once is all written down', async (t) => {
    const crowd = await Promise.all(
      Array.from({ length: 150 }, (_, index) => logIn(t, proxy, 'machine1', `crowd-${String(index).padStart(3, '0')}`))
    )
    const reply = await bus.request(listConnectedClients, { after: 'crowd-', limit: 2000 })
    t.equal(reply.clients.filter(({ clientId }) => clientId.startsWith('crowd-')).length, 150)
    const paged = await bus.request(listConnectedClients, { after: 'crowd-097', limit: 2 })
    t.same(
      paged.clients.map(({ clientId }) => clientId),
      ['crowd-098', 'crowd-099']
    )
    await Promise.all(crowd.map((client) => client.endAsync(true)))
    await until(
      async () => {
        const { clients } = await bus.request(listConnectedClients, { after: 'crowd-', limit: 2000 })
        return !clients.some(({ clientId }) => clientId.startsWith('crowd-'))
      },
      { what: 'the end of all of them' }
    )
  })
})

t.test('commands', async (t) => {
  const machine = await logIn(t, proxy, 'machine1', 'cmd-1')
  const seen = record(machine)
  const command = (clientIds: string[], tenantId = 't1', note = 'x') =>
    bus.command(deliver, {
      tenantId,
      channel: 'execution',
      common: { note, own: false },
      targets: clientIds.map((clientId) => ({ clientId, own: { own: clientId } }))
    })

  t.test('wait a moment for a client that has not subscribed yet', async (t) => {
    const witness = await logIn(t, proxy, 'machine1', 'cmd-0')
    const witnessed = record(witness)
    await witness.subscribeAsync(downFilter('cmd-0'), { qos: 1 })
    await command(['cmd-1', 'cmd-0'], 't1', 'early')
    await until(() => witnessed.length === 1, { what: 'the command at the broker' })
    t.equal(seen.length, 0)
    await machine.subscribeAsync(downFilter('cmd-1'), { qos: 1 })
    await until(() => seen.length === 1, { what: 'the command' })
    t.match(JSON.parse(String(seen[0]?.payload)), { note: 'early', own: 'cmd-1' })
  })

  t.test('reach the targets that are connected here, of the right tenant, and no one else', async (t) => {
    const other = await logIn(t, proxy, 'machine1', 'cmd-2')
    const foreign = await logIn(t, proxy, 'admin002', 'cmd-3')
    const [gotOther, gotForeign] = [record(other), record(foreign)]
    await other.subscribeAsync(downFilter('cmd-2'), { qos: 1 })
    await foreign.subscribeAsync(downFilter('cmd-3'), { qos: 1 })
    await command(['cmd-2', 'cmd-3', 'cmd-absent', 'cmd-1'])
    await command(['cmd-3'], 't2', 'own tenant')
    await until(() => gotForeign.length > 0 && gotOther.length > 0, { what: 'the commands' })
    t.same(
      gotForeign.map(({ payload }) => JSON.parse(String(payload)).note),
      ['own tenant']
    )
    t.equal(gotOther.length, 1)
    t.equal(gotOther[0]?.topic, downTopic('cmd-2', 'execution'))
  })

  t.test('go to many targets', async (t) => {
    const ids = Array.from({ length: 200 }, (_, index) => `many-${index}`)
    const reached = new Set<string>()
    await Promise.all(
      ids.map(async (clientId) => {
        const client = await logIn(t, proxy, 'machine1', clientId)
        client.on('message', () => reached.add(clientId))
        await client.subscribeAsync(downFilter(clientId), { qos: 1 })
      })
    )
    await command(ids)
    await until(() => reached.size === 200, { what: 'the command at all of them' })
    t.equal(reached.size, 200)
  })
})
