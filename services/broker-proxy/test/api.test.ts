import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import { createConnection } from 'mongoose'
import t from 'tap'
import { addUser, callApi, logIn, record, secret, startProxy } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
const proxy = await startProxy(t, parts, keys)
const api = callApi(proxy, keys)
const users = '/v2/t1/instances/default/users'

t.test('MQTT users (DMS)', async (t) => {
  t.test('are created, listed, read, changed and deleted as the document says', async (t) => {
    const created = await api.post(users, {
      access_key: 'test_01',
      secret_key: secret,
      white_remote_address: '',
      admin: false,
      default_topic_perm: 'SUB',
      default_group_perm: 'DENY',
      topic_perms: [],
      group_perms: []
    })
    const expected = {
      access_key: 'test_01',
      admin: false,
      default_group_perm: 'DENY',
      default_topic_perm: 'SUB',
      group_perms: [],
      secret_key: 'Abcd1234!',
      topic_perms: [],
      white_remote_address: ''
    }
    t.equal(created.status, 200)
    t.same(created.body, expected)
    t.same((await api.get(`${users}?offset=0&limit=10`)).body, { users: [expected], total: 1 })
    t.same((await api.get(`${users}?offset=5`)).body, { users: [], total: 1 }, 'beyond the end')
    t.same((await api.get(`${users}/test_01`)).body, expected)
    const change = {
      access_key: 'test_01',
      secret_key: '',
      admin: true,
      topic_perms: [{ name: 'a/#', perm: 'PUB|SUB', more: 1 }]
    }
    const after = { ...expected, admin: true, topic_perms: [{ name: 'a/#', perm: 'PUB|SUB' }] }
    t.same(
      (await api.put(`${users}/test_01`, change)).body,
      after,
      'an empty secret stays, and so does what is not named'
    )
    t.same((await api.get(`${users}/test_01`)).body, after)
    t.same((await api.delete(`${users}/test_01`)).body, { message: 'delete user success.' })
    t.match(await api.get(`${users}/test_01`), { status: 400, body: { error_code: 'DMS.00500972' } })
    t.match(await api.put(`${users}/test_01`, {}), { status: 400, body: { error_code: 'DMS.00500972' } })
    t.match(await api.delete(`${users}/test_01`), { status: 400, body: { error_code: 'DMS.00500972' } })
  })

  t.test('are changed by several at once without losing what one of them has set', async (t) => {
    await addUser(proxy, keys, { name: 'shared_1' })
    for (const round of [1, 2, 3, 4, 5]) {
      const topic_perms = [{ name: `round/${round}`, perm: 'PUB' }]
      const secret_key = `Abcd1234!${round}`
      await Promise.all([{ topic_perms }, { secret_key }].map((change) => api.put(`${users}/shared_1`, change)))
      t.match((await api.get(`${users}/shared_1`)).body, { topic_perms, secret_key })
    }
    t.equal((await api.delete(`${users}/shared_1`)).status, 200)
  })

  t.test('have names that are unique on the broker', async (t) => {
    await addUser(proxy, keys, { name: 'unique_1' })
    const again = await callApi(proxy, keys, { tenantId: 't2' }).post('/v2/t2/instances/default/users', {
      access_key: 'unique_1',
      secret_key: secret
    })
    t.match(again, { status: 409, body: { error_code: /^DMS/ } })
    t.match(await callApi(proxy, keys, { tenantId: 't2' }).get('/v2/t2/instances/default/users/unique_1'), {
      status: 400
    })
    t.match(await callApi(proxy, keys, { tenantId: 't2' }).delete('/v2/t2/instances/default/users/unique_1'), {
      status: 400
    })
    const both = await Promise.all([1, 2].map(() => api.post(users, { access_key: 'racing_1', secret_key: secret })))
    t.same(both.map(({ status }) => status).sort(), [200, 409])
  })

  t.test('belong to the project of the token, which has one instance', async (t) => {
    t.match(await api.get('/v2/t2/instances/default/users'), { status: 401, body: { error_code: 'DMS.10240104' } })
    t.match(await api.get('/v2/t1/instances/other/users'), { status: 404, body: { error_code: 'DMS.00404022' } })
    const [odd, long] = ['a%20b', 'x'.repeat(65)]
    for (const path of [
      `${odd}/instances`,
      `${long}/instances/default/users`,
      `${odd}/instances/default/users/test_01`
    ])
      t.match(await api.get(`/v2/${path}`), { status: 400, body: { error_code: 'DMS.00400002' } }, path)
    for (const path of [`${odd}/users`, `${long}/users`, `${odd}/topics/a/accesspolicy`])
      t.match(await api.get(`/v2/t1/instances/${path}`), { status: 400, body: { error_code: 'DMS.00400030' } }, path)
  })

  t.test('need a permission', async (t) => {
    const viewer = callApi(proxy, keys, { codes: ['mqtt_user.view'] })
    t.equal((await viewer.get(users)).status, 200)
    t.match(await viewer.post(users, { access_key: 'viewer_1', secret_key: secret }), {
      status: 403,
      body: { error_code: 'DMS.00403007' }
    })
    const nobody = callApi(proxy, keys, { codes: ['job.view'] })
    t.equal((await nobody.get(users)).status, 403)
    t.equal((await nobody.delete(`${users}/unique_1`)).status, 403)
    t.match(await fetch(proxy.url + users), { status: 401 })
  })

  t.test('refuse bad values, naming the field', async (t) => {
    const good = { access_key: 'values_1', secret_key: secret }
    const bad: [string, Record<string, unknown>][] = [
      ['access_key', { ...good, access_key: 'short' }],
      ['access_key', { ...good, access_key: '1startsWithDigit' }],
      ['access_key', { ...good, access_key: { $gt: '' } }],
      ['access_key', { secret_key: secret }],
      ['secret_key', { ...good, secret_key: 'Ab1!' }],
      ['secret_key', { ...good, secret_key: 'abcdefgh1' }],
      ['secret_key', { ...good, secret_key: '-Abcd1234' }],
      ['secret_key', { ...good, secret_key: 'values_1', access_key: 'values_1' }],
      ['secret_key', { ...good, secret_key: 'Abcd 1234' }],
      ['secret_key', { ...good, secret_key: '' }],
      ['secret_key', { ...good, secret_key: { $ne: null } }],
      ['white_remote_address', { ...good, white_remote_address: '300.1.1.1' }],
      ['admin', { ...good, admin: 'yes' }],
      ['default_topic_perm', { ...good, default_topic_perm: 'ALL' }],
      ['topic_perms.0.perm', { ...good, topic_perms: [{ name: 'a', perm: 'ALL' }] }],
      ['topic_perms.0.name', { ...good, topic_perms: [{ name: '', perm: 'PUB' }] }],
      ['topic_perms', { ...good, topic_perms: [{ name: 'a/#/b', perm: 'PUB' }] }],
      ['topic_perms', { ...good, topic_perms: [{ name: 'a/b+', perm: 'DENY' }] }],
      ['group_perms', { ...good, group_perms: 'x' }]
    ]
    for (const [field, body] of bad) {
      const reply = await api.post(users, body)
      t.equal(reply.status, 400, field)
      t.match(reply.body, { error_code: /^DMS\./, error_msg: new RegExp(field.replaceAll('.', '\\.')) }, field)
    }
    t.equal((await api.get(`${users}/values_1`)).status, 400, 'nothing of it was stored')
    for (const query of ['offset=-1', 'offset=x', 'limit=0', 'limit=1&limit=2'])
      t.match(await api.get(`${users}?${query}`), { status: 400, body: { error_code: 'DMS.00400062' } }, query)
    t.match(await api.send('POST', users, '{"access_key":'), { status: 400, body: { error_code: 'DMS.00400005' } })
    for (const refused of [api.post(users), api.put(`${users}/unique_1`)])
      t.match(await refused, { status: 400, body: { error_code: 'DMS.00400004' } })
    t.match(await api.put(users, good), { status: 405, body: { error_code: 'DMS.00405001' } })
    t.match(await api.post(`${users}/unique_1`, good), { status: 405, body: { error_code: 'DMS.00405001' } })
    for (const length of [33, 65, 5000]) {
      const secret_key = 'Abcd1234!'.padEnd(length, 'x')
      for (const refused of [api.post(users, { ...good, secret_key }), api.put(`${users}/unique_1`, { secret_key })])
        t.match(await refused, { status: 400, body: { error_code: 'DMS.00400012' } }, `${length}`)
    }
    for (const path of [users, '/v2/t1/instances', '/v2/t1/instances/default/topics/a/accesspolicy']) {
      t.match(await api.get(`${path}?limit=1001`), { status: 400, body: { error_code: 'DMS.10240042' } }, path)
      t.match(await api.get(`${path}?offset=1000000001`), { status: 400, body: { error_code: 'DMS.10240043' } }, path)
      t.equal((await api.get(`${path}?limit=1000&offset=1000000000`)).status, 200, path)
    }
    t.match(await api.put(`${users}/unique_1`, { access_key: 'another_1' }), {
      status: 400,
      body: { error_msg: /access_key/ }
    })
  })

  t.test('keep their secrets sealed at rest', async (t) => {
    const connection = await createConnection(parts.mongoUri, {
      dbName: 'fleetgate_broker_proxy',
      directConnection: true
    }).asPromise()
    t.teardown(() => connection.close())
    const rows = await connection.collection('mqttUsers').find().toArray()
    t.ok(rows.length > 0)
    t.notOk(JSON.stringify(rows).includes(secret))
  })
})

t.test('connections (EMQ)', async (t) => {
  const node = 'fleetgate@127.0.0.1'
  for (const name of ['emq-b', 'emq-a', 'emq-c'])
    await logIn(t, proxy, 'unique_1', name, { keepalive: 45, clean: name !== 'emq-b' })
  await addUser(proxy, keys, { tenantId: 't2', name: 'emq_other' })
  await logIn(t, proxy, 'emq_other', 'emq-foreign')

  t.test('are listed by page', async (t) => {
    const first = await api.get(`/api/v2/nodes/${node}/clients?curr_page=1&page_size=2`)
    t.equal(first.status, 200)
    t.match(first.body, { code: 0, result: { current_page: 1, page_size: 2, total_num: 3, total_page: 2 } })
    const [client] = first.body.result.objects
    t.match(client, {
      client_id: 'emq-a',
      username: 'unique_1',
      ipaddress: '127.0.0.1',
      clean_sess: true,
      proto_ver: 4,
      keepalive: 45,
      connected_at: /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/
    })
    t.same(Object.keys(client).sort(), [
      'clean_sess',
      'client_id',
      'connected_at',
      'ipaddress',
      'keepalive',
      'port',
      'proto_ver',
      'username'
    ])
    t.ok(Math.abs(new Date(client.connected_at).getTime() - Date.now()) < 60_000, 'local time')
    const second = await api.get(`/api/v2/nodes/${node}/clients?curr_page=2&page_size=2`)
    t.same(
      second.body.result.objects.map((one: { client_id: string }) => one.client_id),
      ['emq-c']
    )
    const beyond = await api.get(`/api/v2/nodes/${node}/clients?curr_page=900&page_size=20`)
    t.match(beyond.body, { code: 0, result: { current_page: 900, total_num: 3, objects: [] } })
    const all = await api.get(`/api/v2/nodes/${encodeURIComponent(node)}/clients/`)
    t.match(all.body.result, { current_page: 1, page_size: 20, total_page: 1 })
  })

  t.test('are found by id, and only the own ones', async (t) => {
    for (const path of [`/api/v2/nodes/${node}/clients/emq-b`, '/api/v2/clients/emq-b']) {
      const reply = await api.get(path)
      t.match(reply.body, { code: 0, result: { objects: [{ client_id: 'emq-b', clean_sess: false }] } })
      t.same(Object.keys(reply.body.result), ['objects'])
    }
    for (const id of ['emq-foreign', 'unknown', '%7B%22$gt%22:%22%22%7D']) {
      t.same((await api.get(`/api/v2/clients/${id}`)).body, { code: 0, result: { objects: [] } }, id)
    }
  })

  t.test('vanish with the connection', async (t) => {
    const client = await logIn(t, proxy, 'unique_1', 'emq-gone')
    t.equal((await api.get('/api/v2/clients/emq-gone')).body.result.objects.length, 1)
    await client.endAsync()
    await until(async () => (await api.get('/api/v2/clients/emq-gone')).body.result.objects.length === 0, {
      what: 'the end of the row'
    })
  })

  t.test('refuse what is no page and no node', async (t) => {
    for (const query of ['curr_page=0', 'curr_page=x', 'page_size=-1', 'page_size=1&page_size=2']) {
      t.match(await api.get(`/api/v2/nodes/${node}/clients?${query}`), { status: 200, body: { code: 108 } }, query)
    }
    t.match(await api.get('/api/v2/nodes/emq@nowhere/clients'), { status: 404 })
    t.equal((await callApi(proxy, keys, { codes: [] }).get(`/api/v2/nodes/${node}/clients`)).status, 403)
  })

  t.test('nodes are described as emqttd did', async (t) => {
    const { body } = await api.get('/api/v2/management/nodes')
    t.match(body, {
      code: 0,
      result: [{ name: node, version: /^\d/, sysdescr: 'Fleetgate', uptime: /seconds$/, node_status: 'Running' }]
    })
    const { name, ...rest } = body.result[0]
    const one = await api.get(`/api/v2/management/nodes/${name}`)
    t.same(Object.keys(one.body.result).sort(), Object.keys(rest).sort())
    t.equal((await api.get('/api/v2/management/nodes/emq@nowhere')).status, 404)
  })
})

t.test('publishing (EMQ)', async (t) => {
  const grants = { default_topic_perm: 'SUB' }
  await addUser(proxy, keys, { name: 'listener', fields: grants })
  await addUser(proxy, keys, { tenantId: 't2', name: 'stranger', fields: grants })
  const [listener, stranger] = await Promise.all([
    logIn(t, proxy, 'listener', 'listener-1'),
    logIn(t, proxy, 'stranger', 'stranger-1')
  ])
  const [heard, overheard] = [record(listener), record(stranger)]
  await Promise.all([listener.subscribeAsync('news/#'), stranger.subscribeAsync('news/#')])

  t.test('reaches the subscribers of the tenant and nobody else', async (t) => {
    const reply = await api.post('/api/v2/mqtt/publish', { topic: 'news/a', payload: 'hello', qos: 1, client_id: 'c' })
    t.same([reply.status, reply.body], [200, { code: 0, result: [] }])
    await until(() => heard.length === 1, { what: 'the message' })
    t.equal(String(heard[0]?.payload), 'hello')
    const own = callApi(proxy, keys, { tenantId: 't2' })
    await own.post('/api/v2/mqtt/publish', { topic: 'news/b' })
    await until(() => overheard.length > 0, { what: "the other tenant's own message" })
    t.same(
      overheard.map(({ topic }) => topic),
      ['news/b'],
      'only its own came'
    )
  })

  t.test('refuses what is no topic name, and the topics of machines', async (t) => {
    for (const topic of ['a/+', '#', '$SYS/x', 'fleet/listener-1/down/execution', 'a\0b']) {
      t.match(await api.post('/api/v2/mqtt/publish', { topic }), { status: 200, body: { code: 102 } }, topic)
    }
    t.match(await api.post('/api/v2/mqtt/publish', {}), { status: 200, body: { code: 107 } })
    t.match(await api.post('/api/v2/mqtt/publish', { topic: 'a', qos: 3 }), { status: 200, body: { code: 108 } })
  })
})
