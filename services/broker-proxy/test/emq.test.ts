import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { addUser, callApi, logIn, record, startProxy } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
const proxy = await startProxy(t, parts, keys, { MQTT_MAX_USERS: '6' })
const api = callApi(proxy, keys)
const stranger = callApi(proxy, keys, { tenantId: 't2' })
const node = 'fleetgate@127.0.0.1'
const users = '/v2/t1/instances/default/users'

await addUser(proxy, keys, { name: 'admin001', fields: { admin: true } })
await addUser(proxy, keys, { name: 'reader01', fields: { default_topic_perm: 'PUB|SUB', default_group_perm: 'SUB' } })
await addUser(proxy, keys, { name: 'nogroup1', fields: { default_topic_perm: 'SUB' } })
await addUser(proxy, keys, { tenantId: 't2', name: 'foreign1', fields: { admin: true } })
const admin = await logIn(t, proxy, 'admin001', 'seen-1')
const kept = await logIn(t, proxy, 'reader01', 'seen-2', { clean: false })
const foreign = await logIn(t, proxy, 'foreign1', 'seen-foreign')
await admin.subscribeAsync(['a/b', '/World', 'x/+'], { qos: 1 })
await kept.subscribeAsync('a/b', { qos: 2 })
await foreign.subscribeAsync('only/theirs', { qos: 0 })

t.test('reading the broker answers as the document says', async (t) => {
  const page = { current_page: 1, page_size: 20, total_page: 1 }
  const sub = (client_id: string, topic: string, qos: number) => ({ client_id, topic, qos })
  const session = { client_id: 'seen-2', clean_sess: false, subscriptions: 1, awaiting_rel: 0, message_queue: 0 }
  const settings = [
    { key: 'node.name', value: node, datatpye: 'string', app: 'emqx' },
    { key: 'mqtt.max_packet_size', value: '1000000', datatpye: 'bytesize', app: 'emqx' },
    { key: 'mqtt.session.expiry_interval', value: '7200s', datatpye: 'duration', app: 'emqx' },
    // The port that was taken, not the 0 that was asked for.
    { key: 'listener.tcp.external', value: proxy.mqttUrl.replace('mqtt://', ''), datatpye: 'string', app: 'emqx' }
  ]
  const cases: [string, unknown][] = [
    [`nodes/${node}/sessions`, { ...page, total_num: 2, objects: [{ client_id: 'seen-1' }, session] }],
    [`nodes/${node}/sessions/seen-2`, { ...page, total_num: 1, objects: [session] }],
    ['sessions/seen-2', { ...page, total_num: 1, objects: [session] }],
    ['sessions/seen-foreign', { total_num: 0, total_page: 0, objects: [] }],
    [
      `nodes/${node}/subscriptions?page_size=2&curr_page=2`,
      {
        current_page: 2,
        page_size: 2,
        total_num: 4,
        total_page: 2,
        objects: [sub('seen-1', 'x/+', 1), sub('seen-2', 'a/b', 2)]
      }
    ],
    [`nodes/${node}/subscriptions?curr_page=99`, { total_num: 4, objects: [] }],
    [`nodes/${node}/subscriptions/seen-2`, { objects: [sub('seen-2', 'a/b', 2)] }],
    [
      'subscriptions/seen-1',
      { objects: [sub('seen-1', '/World', 1), sub('seen-1', 'a/b', 1), sub('seen-1', 'x/+', 1)] }
    ],
    ['subscriptions/nobody', { objects: [] }],
    ['routers', { ...page, total_num: 3, objects: ['/World', 'a/b', 'x/+'].map((topic) => ({ topic, node })) }],
    ['routes?page_size=1&curr_page=2', { total_num: 3, total_page: 3, objects: [{ topic: 'a/b', node }] }],
    ['routes/a/b', { objects: [{ topic: 'a/b', node }] }],
    ['routers//World', { objects: [{ topic: '/World', node }] }],
    // As the gateway sends it.
    ['routers/%2FWorld', { objects: [{ topic: '/World', node }] }],
    ['routes/only/theirs', { objects: [] }],
    [
      'monitoring/listeners',
      { [node]: [{ protocol: 'mqtt:tcp', listen: /^127\.0\.0\.1:\d+$/, current_clients: 2, shutdown_count: [] }] }
    ],
    [`monitoring/listeners/${node}`, [{ current_clients: 2 }]],
    [
      'monitoring/nodes',
      [{ name: node, memory_total: /^\d+\.\d\d[GMK]$/, load1: /^\d+\.\d\d$/, clients: 2, node_status: 'Running' }]
    ],
    [`monitoring/nodes/${node}`, { name: node, process_used: 2 }],
    [
      'monitoring/stats',
      { [node]: { 'clients/count': 2, 'clients/max': 2, 'sessions/count': 2, 'subscriptions/count': 4 } }
    ],
    [`monitoring/stats/${node}`, { 'topics/count': 3, 'subscribers/count': 2, 'routes/max': 3, 'retained/count': 0 }],
    [`monitoring/metrics/${node}`, { 'packets/connect': 2, 'packets/connack': 2, 'packets/suback': 2 }],
    ['monitoring/metrics/', { [node]: { 'packets/subscribe': 2, 'messages/forward': 0 } }],
    [
      `nodes/${node}/plugins`,
      [
        { name: 'emqx_auth_username', active: true },
        { name: 'emqx_acl_internal', active: true },
        { name: 'emqx_retainer', active: true },
        { name: 'emqx_file_transfer', active: true },
        { name: 'emqx_mod_rewrite', active: false },
        { name: 'emqx_delayed_publish', active: false },
        { name: 'emqx_web_hook', active: false }
      ]
    ],
    [`nodes/${node}/alarms`, []],
    ['configs', settings],
    [`nodes/${node}/configs`, settings],
    ['configs/emqx', settings],
    [`nodes/${node}/configs/emqx`, settings],
    ['configs/other', []],
    [`nodes/${node}/configs/other`, []]
  ]
  for (const [path, result] of cases) {
    t.match(await api.get(`/api/v2/${path}`), { status: 200, body: { code: 0, result } }, path)
    if (path.includes(node)) t.equal((await api.get(`/api/v2/${path.replace(node, 'emq@nowhere')}`)).status, 404, path)
  }
  const { body } = await api.get(`/api/v2/monitoring/metrics/${node}`)
  t.equal(Object.keys(body.result).length, 39)
  t.equal(Object.keys((await api.get(`/api/v2/monitoring/stats/${node}`)).body.result).length, 14)
  t.match((await stranger.get('/api/v2/routes')).body.result, { total_num: 1, objects: [{ topic: 'only/theirs' }] })
})

t.test('what the cluster answers by node comes as EMQ 2.3 sent it where the operator wants that', async (t) => {
  const emq23 = callApi(await startProxy(t, parts, keys, { EMQ_FORM: '2.3', DATA_DIR: `${parts.dir}/emq23` }), keys)
  const read = async (path: string) => (await emq23.get(`/api/v2/monitoring/${path}`)).body
  t.match(await read('stats'), { code: 0, result: [{ [node]: { 'clients/count': Number } }] })
  t.match(await read('metrics'), { code: 0, result: [{ [node]: { 'packets/connect': Number } }] })
  t.match(await read('listeners'), { code: 0, result: [{ [node]: [{ protocol: 'mqtt:tcp' }] }] })
  for (const path of ['stats', 'metrics', 'listeners']) t.equal((await read(path)).result.length, 1, path)
  t.match(await read(`stats/${node}`), { code: 0, result: { 'clients/count': Number } }, 'of one node as ever')
  t.match(await read(`listeners/${node}`), { code: 0, result: [{ protocol: 'mqtt:tcp' }] })
})

t.test('metrics count what crossed the wire', async (t) => {
  const read = async () => (await api.get(`/api/v2/monitoring/metrics/${node}`)).body.result
  const before = await read()
  const got = record(kept)
  await admin.publishAsync('a/b', 'x', { qos: 2 })
  await admin.publishAsync('nobody/listens', 'x', { qos: 0 })
  await until(() => got.length === 1, { what: 'the message' })
  const wanted = {
    'messages/qos2/received': 1,
    'messages/qos0/received': 1,
    'packets/publish/received': 2,
    'packets/pubrec/sent': 1,
    'packets/pubrel/received': 1,
    'packets/pubcomp/sent': 1,
    'messages/qos2/sent': 1,
    'messages/qos1/sent': 1,
    'packets/pubrel/sent': 1,
    'packets/pubcomp/received': 1,
    'messages/dropped': 1
  }
  const grown = async () => {
    const after = await read()
    return Object.fromEntries(Object.keys(wanted).map((name) => [name, after[name] - before[name]]))
  }
  await until(async () => JSON.stringify(await grown()) === JSON.stringify(wanted), { what: 'the counts' }).catch(
    () => undefined
  )
  t.same(await grown(), wanted)
})

t.test('clients are subscribed, unsubscribed and kicked from outside', async (t) => {
  const one = await logIn(t, proxy, 'nogroup1', 'acted-1')
  const got = record(one)
  const post = (path: string, body: object) => api.post(`/api/v2/mqtt/${path}`, body)
  t.same((await post('subscribe', { topic: 'proxy/#', client_id: 'acted-1', qos: 1 })).body, { code: 0, result: [] })
  await admin.publishAsync('proxy/x', '1', { qos: 1 })
  await until(() => got.length === 1, { what: 'the message' })
  t.same((await post('unsubscribe', { topic: 'proxy/#', client_id: 'acted-1' })).body, { code: 0, result: [] })
  t.same((await api.get('/api/v2/subscriptions/acted-1')).body.result, { objects: [] })
  t.match((await post('subscribe', { topic: 'a', client_id: 'nobody' })).body, { code: 102, message: /not found/ })
  t.match((await post('subscribe', { topic: 'a', client_id: 'seen-foreign' })).body, { code: 102 })
  t.match((await post('subscribe', { topic: 'a/#/b', client_id: 'acted-1' })).body, { code: 102 })
  t.match((await post('subscribe', { topic: 'a' })).body, { code: 107 })
  t.match((await post('unsubscribe', { topic: 1, client_id: 'x' })).body, { code: 108 })
  const clean = (id: string, body: object) => api.put(`/api/v2/clients/${id}/clean_acl_cache`, body)
  t.same((await clean('acted-1', { topic: 'a' })).body, { code: 0, result: [] })
  t.match((await clean('nobody', { topic: 'a' })).body, { code: 112 })
  t.match((await clean('acted-1', {})).body, { code: 107 })
  t.match((await stranger.delete('/api/v2/clients/acted-1')).body, { code: 112 })
  t.same((await api.delete('/api/v2/clients/acted-1')).body, { code: 0, result: [] })
  await until(() => !one.connected, { what: 'the end of the connection' })
  await until(async () => (await api.delete('/api/v2/clients/acted-1')).body.code === 112, {
    what: 'an offline client'
  })
  const again = await logIn(t, proxy, 'nogroup1', 'acted-1')
  t.match((await stranger.put('/api/v2/kick_client/acted-1')).body, { code: 112 })
  t.ok(again.connected)
  t.same((await api.put('/api/v2/kick_client/acted-1')).body, { code: 0, result: [] }, 'in the form of 2.3-beta.2')
  await until(() => !again.connected, { what: 'the end of the second connection' })
  await until(async () => (await api.put('/api/v2/kick_client/acted-1')).body.code === 112, {
    what: 'an offline client again'
  })
})

t.test('the retainer can be stopped and started, each tenant its own', async (t) => {
  const put = (name: string, body: object) => api.put(`/api/v2/nodes/${node}/plugins/${name}`, body)
  const count = async () => (await api.get(`/api/v2/monitoring/stats/${node}`)).body.result['retained/count']
  let readers = 0
  /** Retained messages that a new subscription gets: they come before what is published once it is answered. */
  const sent = async () => {
    const reader = await logIn(t, proxy, 'admin001', `retained-${readers++}`)
    const got = record(reader)
    await reader.subscribeAsync(['kept/#', 'now/kept'], { qos: 1 })
    await reader.publishAsync('now/kept', 'x', { qos: 1 })
    await until(() => got.some(({ topic }) => topic === 'now/kept'), { what: 'what is published now' })
    await reader.endAsync()
    return got.filter(({ retain }) => retain).map(({ topic }) => topic)
  }
  await admin.publishAsync('kept/before', 'x', { qos: 1, retain: true })
  t.same(await sent(), ['kept/before'])
  t.match((await put('emqx_retainer', { active: true })).body, { code: 110 })
  t.same((await put('emqx_retainer', { active: false })).body, { code: 0, result: [] })
  t.match((await put('emqx_retainer', { active: false })).body, { code: 111 })
  await admin.publishAsync('kept/a', 'x', { qos: 1, retain: true })
  await foreign.publishAsync('kept/a', 'x', { qos: 2, retain: true })
  t.equal(await count(), 1)
  t.same(await sent(), [], 'what is kept is not sent')
  t.equal((await stranger.get(`/api/v2/monitoring/stats/${node}`)).body.result['retained/count'], 1)
  t.same((await put('emq_retainer', { active: true })).body, { code: 0, result: [] })
  t.same(await sent(), ['kept/before'], 'until it is started again')
  await admin.publishAsync('kept/a', 'x', { qos: 2, retain: true })
  t.equal(await count(), 2)
  t.match((await put('emqx_auth_username', { active: false })).body, { code: 102 })
  t.match((await put('emqx_nothing', { active: true })).body, { code: 102 })
  t.match((await put('emqx_retainer', { active: 'yes' })).body, { code: 108 })
  t.match((await api.put('/api/v2/configs/emqx', { key: 'node.name', value: 'x' })).body, { code: 102 })
})

t.test('groups share messages, for those who may', async (t) => {
  const members = [await logIn(t, proxy, 'reader01', 'share-1'), await logIn(t, proxy, 'reader01', 'share-2')]
  const got = members.map(record)
  for (const one of members) await one.subscribeAsync('$share/g1/work/#', { qos: 1 })
  for (let i = 0; i < 6; i++) await admin.publishAsync(`work/${i}`, 'x', { qos: 1 })
  await until(() => got.flat().length === 6, { what: 'all messages' })
  t.same(
    got.map((one) => one.length),
    [3, 3],
    'in turn'
  )
  const outsider = await logIn(t, proxy, 'nogroup1', 'share-3')
  await t.rejects(outsider.subscribeAsync('$share/g1/work/#', { qos: 1 }), 'SUBACK 128')
  await members[0]?.endAsync()
  await until(async () => (await api.get('/api/v2/subscriptions/share-1')).body.result.objects.length === 0, {
    what: 'the end of the first member'
  })
  await admin.publishAsync('work/last', 'x', { qos: 1 })
  await until(() => got[1]?.some(({ topic }) => topic === 'work/last'), { what: 'the message at the other member' })
})

t.test('a right that is gone ends its subscriptions', async (t) => {
  const topics = async (id: string) =>
    (await api.get(`/api/v2/subscriptions/${id}`)).body.result.objects.map((one: { topic: string }) => one.topic)
  t.same(await topics('seen-2'), ['a/b'])
  const stays = await logIn(t, proxy, 'reader01', 'stays-1')
  await stays.subscribeAsync(['$share/g1/work', 'c'], { qos: 1 })
  t.same(await topics('stays-1'), ['$share/g1/work', 'c'])
  await kept.endAsync()
  await until(async () => (await api.get('/api/v2/clients/seen-2')).body.result.objects.length === 0, {
    what: 'an absent client'
  })
  t.same(await topics('seen-2'), ['a/b'], 'its session is kept')
  await api.put(`${users}/reader01`, { default_topic_perm: 'PUB' })
  await until(async () => (await topics('seen-2')).length + (await topics('stays-1')).length === 0, {
    what: 'the end of the subscriptions, of the absent client too',
    deadlineMs: 1000
  })
  t.ok(stays.connected, 'not of the connection')
})

t.test('a kept session comes back with its subscriptions', async (t) => {
  const first = await logIn(t, proxy, 'admin001', 'back-1', { clean: false })
  await first.subscribeAsync('back/+', { qos: 1 })
  await first.endAsync()
  const session = async () => (await api.get('/api/v2/sessions/back-1')).body.result.objects[0]
  await until(async () => (await api.get('/api/v2/clients/back-1')).body.result.objects.length === 0, {
    what: 'an absent client'
  })
  await admin.publishAsync('back/1', 'x', { qos: 1 })
  await until(async () => (await session()).message_queue === 1, { what: 'the waiting message' })
  t.match(await session(), { clean_sess: false, subscriptions: 1, enqueue_msg: 1, message_dropped: 0 })
  const again = await logIn(t, proxy, 'admin001', 'back-1', { clean: false })
  t.match(await session(), { subscriptions: 1 })
  await again.endAsync()
  const fresh = await logIn(t, proxy, 'admin001', 'back-1')
  t.match(await session(), { clean_sess: true, subscriptions: 0 }, 'a clean start leaves nothing')
  await fresh.endAsync()
  await until(async () => (await session()) === undefined, { what: 'the end of the session' })
})

t.test('an empty user name or password has a code of its own at the log-in', async (t) => {
  const wrong = [
    { username: '', password: 'x' },
    { username: 'ann', password: '' }
  ]
  for (const body of wrong) t.match((await api.post('/api/v2/auth', body)).body, { code: 104, message: /empty/ })
  t.match((await api.post('/api/v2/auth', { username: '' })).body, { code: 107 }, 'which a missing one has not')
})

t.test('access policies, instances and the quota (DMS)', async (t) => {
  const base = '/v2/t1/instances/default'
  const row = (access_key: string, perm: string, is = false) => ({
    access_key,
    perm,
    admin: is,
    white_remote_address: ''
  })
  const all = [row('admin001', 'PUB|SUB', true), row('reader01', 'PUB'), row('nogroup1', 'SUB')]
  for (const topic of ['a/b', 'a%2Fb', 'plain', '/x', '%2Fx', 'x%2F'])
    t.same((await api.get(`${base}/topics/${topic}/accesspolicy`)).body, {
      policies: all,
      total: 3,
      name: decodeURIComponent(topic)
    })
  t.same((await api.get(`${base}/topics/a/accesspolicy?offset=1&limit=1`)).body.policies, [row('reader01', 'PUB')])
  const groups = [row('admin001', 'SUB', true), row('reader01', 'SUB')]
  for (const prefix of ['/v2/t1/rocketmq', '/v2/rocketmq/t1', '/v2/reliability/t1']) {
    const reply = await api.get(`${prefix}/instances/default/groups/g1/accesspolicy`)
    t.same(reply.body, { policies: groups, total: 2, name: 'g1' }, prefix)
  }
  t.match(await api.get('/v2/t1/instances/other/topics/a/accesspolicy'), { status: 404 })
  t.match(await api.get('/v2/t1/instances'), { body: { instances: [{ instance_id: 'default' }], instance_num: 1 } })
  t.match((await api.get('/v2/t1/instances?engine=kafka')).body, { instances: [], instance_num: 0 })
  t.match(await api.get('/v2/t2/instances'), { status: 401, body: { error_code: 'DMS.10240104' } })
  const replies = await Promise.all(
    Array.from({ length: 6 }, (_, i) => api.post(users, { access_key: `quota_0${i}`, secret_key: 'Abcd1234!' }))
  )
  const refused = replies.filter(({ status }) => status !== 200)
  t.ok(refused.length >= 3)
  for (const one of refused) t.match(one, { status: 400, body: { error_code: 'DMS.00400039' } })
  t.ok((await api.get(users)).body.total <= 6, 'nobody beyond the limit')
  t.match(await api.post(users, { access_key: 'x', secret_key: 'Abcd1234!' }), { body: { error_code: 'DMS.00400015' } })
})
