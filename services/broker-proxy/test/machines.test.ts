import { createMachineUser, dropMqttAccount, keepMqttAccount } from '@fleetgate/contracts'
import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { addUser, callApi, logIn, openBus, startProxy } from './support.js'

t.test('users of machines', async (t) => {
  const keys = testGuardKeys()
  const parts = await startParts(t)
  const proxy = await startProxy(t, parts, keys, { MQTT_MAX_USERS: '1' })
  const bus = await openBus(t, parts)
  const ask = (clientId: string, grant: string, { replace = false, tenantId = 't1' } = {}) =>
    bus.request(createMachineUser, { tenantId, clientId, grant, replace })
  const connect = ({ username, password }: { username: string; password: string }, clientId: string) =>
    logIn(t, proxy, username, clientId, { password, reconnectPeriod: 0 })

  t.test('log in with their own client id, use its topics, and nothing else', async (t) => {
    const user = await ask('till 1', 'g1')
    t.match(user.username, /^m-till1-[0-9a-f]{16}$/)
    const client = await connect(user, 'till 1')
    t.match(await client.subscribeAsync('fleet/till 1/down/#', { qos: 1 }), [{ qos: 1 }])
    await client.publishAsync('fleet/till 1/up/hello', '{}', { qos: 1 })
    for (const filter of ['fleet/till-2/down/#', '#', 'news/#', '$share/g/news']) {
      await t.rejects(client.subscribeAsync(filter, { qos: 1 }), filter)
    }
    await t.rejects(connect(user, 'till-2'), { code: 2 }, 'another client id')
    await t.rejects(connect({ ...user, password: 'Abcd1234!' }, 'till 1'), 'a wrong password')
  })

  t.test('are the same when the same grant asks again, at once or later', async (t) => {
    const all = await Promise.all(Array.from({ length: 8 }, () => ask('till-3', 'g1')))
    for (const one of all) t.strictSame(one, all[0])
    t.strictSame(await ask('till-3', 'g1'), all[0])
    await t.rejects(ask('till-3', 'g2'), { code: 'conflict' }, 'another grant')
    t.strictSame(await ask('till-3', 'g1'), all[0], 'which changed nothing')
  })

  t.test('are taken over where that is wished, which ends their connections', async (t) => {
    const before = await ask('till-4', 'g1')
    const client = await connect(before, 'till-4')
    const after = await ask('till-4', 'g2', { replace: true })
    t.equal(after.username, before.username)
    t.not(after.password, before.password)
    await until(() => !client.connected, { what: 'the end of the old connection' })
    await t.rejects(connect(before, 'till-4'), 'the old password')
    await connect(after, 'till-4')
    const fresh = await ask('till-5', 'g2', { replace: true })
    t.ok(fresh.password, 'where there is none yet it is made')
  })

  t.test('are a conflict where the client id is of another tenant', async (t) => {
    await connect(await ask('till-6', 'g1'), 'till-6')
    await until(
      () =>
        ask('till-6', 'g9', { tenantId: 't2' }).then(
          () => false,
          (error) => error.code === 'conflict'
        ),
      { what: 'the refusal' }
    )
    const other = await ask('till-3', 'g1', { tenantId: 't2' })
    t.not(other.username, (await ask('till-3', 'g1')).username, 'an id that nobody has used may be of either')
  })

  t.test('count for no quota and are changed and deleted like all others', async (t) => {
    await addUser(proxy, keys, { name: 'person_1' })
    const api = callApi(proxy, keys)
    const { username } = await ask('till-7', 'g1')
    const path = `/v2/t1/instances/default/users/${username}`
    const change = { topic_perms: [{ name: 'news/#', perm: 'SUB' }] }
    t.match(await api.put(path, change), { status: 200, body: { admin: false, ...change } })
    const user = await ask('till-7', 'g1')
    await t.rejects(connect(user, 'till-8'), 'it is still bound to its client id')
    await connect(user, 'till-7')
    t.equal((await api.delete(path)).status, 200)
    await t.rejects(connect(user, 'till-7'))
    t.not((await ask('till-7', 'g1')).password, user.password, 'and then made anew')
  })

  t.test('accounts of services use their topics and nothing else, and take a new password', async (t) => {
    const account = { tenantId: 't1', username: 'mqtt@t1', password: 'Abcd1234', topics: ['beaver-iot/mqtt@t1/#'] }
    await Promise.all([1, 2, 3].map(() => bus.request(keepMqttAccount, account)))
    const client = await connect(account, 'any-1')
    t.match(await client.subscribeAsync('beaver-iot/mqtt@t1/#', { qos: 1 }), [{ qos: 1 }])
    await client.publishAsync('beaver-iot/mqtt@t1/doors/1', '{}', { qos: 1 })
    for (const filter of ['beaver-iot/#', '#', 'news/#'])
      await t.rejects(client.subscribeAsync(filter, { qos: 1 }), filter)
    await bus.request(keepMqttAccount, { ...account, password: 'Efgh5678' })
    await until(
      () =>
        connect({ ...account, password: 'Efgh5678' }, 'any-2').then(
          () => true,
          () => false
        ),
      { what: 'the new password' }
    )
    await t.rejects(connect(account, 'any-3'), 'the old password')
    await t.rejects(bus.request(keepMqttAccount, { ...account, tenantId: 't2' }), { code: 'conflict' })

    const latest = await connect({ ...account, password: 'Efgh5678' }, 'any-4')
    await bus.request(dropMqttAccount, { tenantId: 't2', username: account.username })
    await connect({ ...account, password: 'Efgh5678' }, 'any-5')
    for (const _ of [1, 2]) await bus.request(dropMqttAccount, { tenantId: 't1', username: account.username })
    await until(() => !latest.connected, { what: 'the end of its connections' })
    await t.rejects(connect({ ...account, password: 'Efgh5678' }, 'any-6'), 'once it was dropped')
  })
})
