import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { createSurveys } from '../../src/broker/emqx/survey.js'
import { createTopicSpace } from '../../src/broker/emqx/topicSpace.js'
import { addUser, callApi, logIn } from '../support.js'
import { startOnStandIn } from './support.js'

/** What EMQX tells, in the words of EMQ REST v2: the mapping, its limits and its failures. */
const keys = testGuardKeys()
const parts = await startParts(t)
const proxy = await startOnStandIn(t, { parts, keys, env: { EMQX_TIMEOUT_MS: '1000' } })
const { standIn } = proxy
const api = callApi(proxy, keys)
const strange = callApi(proxy, keys, { tenantId: 't2' })
const node = 'fleetgate@127.0.0.1'
const read = async (path: string, as = api) => (await as.get(`/api/v2/${path}`)).body

await addUser(proxy, keys, { name: 'machine1', fields: { default_topic_perm: 'PUB|SUB' } })
await addUser(proxy, keys, { tenantId: 't2', name: 'foreign1' })
await logIn(t, proxy, 'machine1', 'one')

t.test('a session in the words of v2', async (t) => {
  const counts = { inflight_cnt: 2, awaiting_rel_cnt: 3, mqueue_len: 4, mqueue_dropped: 5, send_msg: 6 }
  standIn.counts.set('one', { ...counts, inflight_max: 'infinity', created_at: '2024-01-01T12:34:56.789+00:00' })
  const [row] = (await read('sessions/one')).result.objects
  t.match(row, {
    client_id: 'one',
    clean_sess: true,
    max_inflight: 0,
    inflight_len: 2,
    awaiting_rel_len: 3,
    mqueue_len: 4,
    mqueue_dropped: 5,
    deliver_msg: 6,
    enqueue_msg: 0,
    created_at: /^2024-01-01 \d\d:34:56$/
  })
  standIn.counts.set('one', { inflight_cnt: null, mqueue_len: null, subscriptions_cnt: null, port: null })
  t.match((await read('sessions/one')).result.objects, [{ inflight_len: 0, subscriptions: 0 }], 'a young one')
  standIn.counts.delete('one')
})

t.test('lists longer than a page of EMQX are whole', async (t) => {
  standIn.absent = Array.from({ length: 2100 }, (_, index) => `absent-${String(index).padStart(4, '0')}`)
  t.teardown(() => {
    standIn.absent = []
  })
  const page = await until(
    async () => {
      const { result } = await read(`nodes/${node}/sessions?page_size=100&curr_page=21`)
      return result.total_num === 2101 && result
    },
    { what: 'all sessions' }
  )
  t.equal(page.objects.length, 100)
  t.equal(page.objects[0].client_id, 'absent-2000')
  t.equal((await read(`nodes/${node}/clients`)).result.total_num, 1, 'those are not connected')
})

t.test('listeners', async (t) => {
  const { result } = await read(`monitoring/listeners/${node}`)
  t.same(result, [
    {
      protocol: 'mqtt:tcp',
      listen: '0.0.0.0:1883',
      acceptors: 16,
      max_clients: 1_024_000,
      current_clients: 1,
      shutdown_count: []
    },
    { protocol: 'mqtt:tcp', listen: '11883', acceptors: 16, max_clients: 0, current_clients: 0, shutdown_count: [] }
  ])
})

t.test('the nodes that run are described as one, each field as EMQX tells it', async (t) => {
  const loaded = {
    name: node,
    otp_release: 'R24.2/12.2',
    memory_total: '2.00G',
    memory_used: '512.50M',
    process_available: 4_194_304,
    process_used: 1000,
    max_fds: 2048,
    clients: 1,
    node_status: 'Running',
    load1: '1.50',
    load5: '0.25',
    load15: '0.30'
  }
  t.same((await read('monitoring/nodes')).result, [loaded])
  t.same((await read(`monitoring/nodes/${node}`)).result, loaded)
  t.match((await read(`monitoring/nodes/${node}`, strange)).result, { clients: 0 }, 'clients are those of the tenant')
  const described = {
    version: '5.8.0',
    sysdescr: 'EMQX',
    uptime: '1 hours, 25 minutes, 20 seconds',
    otp_release: 'R24.2/12.2',
    node_status: 'Running'
  }
  const { datetime, ...rest } = (await read(`management/nodes/${node}`)).result
  t.same(rest, described)
  t.match(datetime, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/)
  t.match((await read('management/nodes')).result, [{ name: node, ...described }])
})

t.test('counters are told to the tenant of EMQX_TENANT alone, as they are those of all', async (t) => {
  Object.assign(standIn.metrics, {
    'bytes.received': 11,
    'packets.connack.sent': 12,
    'packets.pubrel.missed': 13,
    'packets.pingreq.received': 14,
    'messages.qos2.sent': 15,
    'messages.dropped': 16,
    'messages.dropped.await_pubrel_timeout': 17,
    'messages.forward': 18,
    'messages.retained': 19
  })
  t.match((await read(`monitoring/metrics/${node}`)).result, {
    'bytes/received': 11,
    'packets/connack': 12,
    'packets/pubrel/missed': 13,
    'packets/pingreq': 14,
    'messages/qos2/sent': 15,
    'messages/sent': 15,
    'messages/dropped': 16,
    'messages/qos2/dropped': 17,
    'messages/forward': 18,
    'messages/retained': 0
  })
  t.match(await read('monitoring/metrics', strange), { code: 102, message: /EMQX_TENANT/ })
})

t.test('peaks are the highest that was seen', async (t) => {
  const stats = async () => (await read(`monitoring/stats/${node}`)).result
  const more = await logIn(t, proxy, 'machine1', 'peak')
  await until(async () => (await stats())['clients/count'] === 2, { what: 'both clients' })
  await more.endAsync()
  await until(async () => (await stats())['clients/count'] === 1, { what: 'one client' })
  t.match(await stats(), { 'clients/max': 2 })
})

t.test('alarms of EMQX, without those of other tenants’ clients', async (t) => {
  const alarm = (name: string, message = 'of a test') => ({
    ...{ node: 'emqx@127.0.0.1', name, message, details: {}, duration: 297_056 },
    activate_at: '2021-10-25T11:52:52.548+08:00'
  })
  standIn.alarms = [
    alarm('high_system_memory_usage', 'System memory usage is higher than 70%'),
    alarm('conn_congestion/one/machine1'),
    alarm('conn_congestion/x/foreign1')
  ]
  const { result } = await read(`nodes/${node}/alarms`)
  t.same(
    result.map(({ id }: { id: string }) => id),
    ['high_system_memory_usage', 'conn_congestion/one/machine1']
  )
  t.match(result[0], { summary: /higher than 70%.*emqx@127/, severity: 'critical', occurred_at: /^2021-10-2\d / })
  standIn.faults = { status: 500 }
  t.match((await read(`nodes/${node}/alarms`)).result, [{ id: 'broker_unavailable' }], 'nor is its own absence hidden')
  standIn.faults = {}
  await until(async () => (await read(`nodes/${node}/alarms`)).result.length === 2, { what: 'the end of that' })
})

t.test('configs show what holds at EMQX, and nothing of the embedded broker', async (t) => {
  const row = (key: string, value: string) => ({ key, value, datatpye: 'string', app: 'emqx' })
  const rows = [
    row('node.name', node),
    row('listener.tcp.external', '0.0.0.0:1883'),
    row('listener.tcp.external2', '11883')
  ]
  for (const path of ['configs', 'configs/emqx', `nodes/${node}/configs`]) t.same((await read(path)).result, rows, path)
  t.same((await read('configs/other')).result, [])
})

t.test('slow and broken answers are told as such, and pass', async (t) => {
  t.teardown(() => {
    standIn.faults = {}
  })
  const lists = ['sessions/one', 'subscriptions/one', `monitoring/listeners/${node}`, `monitoring/stats/${node}`]
  lists.push('management/nodes', `monitoring/nodes/${node}`)
  standIn.faults = { delayMs: 2000 }
  for (const path of lists) {
    t.match(await api.get(`/api/v2/${path}`), { status: 504, body: { code: 101, message: /1000 ms/ } }, path)
  }
  standIn.faults = { status: 503 }
  for (const path of lists) t.match(await api.get(`/api/v2/${path}`), { status: 503, body: { code: 101 } }, path)
  const wish = { topic: 'a', client_id: 'one' }
  t.match(await api.post('/api/v2/mqtt/subscribe', wish), { status: 503, body: { code: 101 } })
  standIn.faults = { delayMs: 300 }
  for (const path of lists) t.match(await read(path), { code: 0 }, `${path}, slow`)
})

t.test('the oldest version knows less, and is read all the same', async (t) => {
  const old = await startOnStandIn(t, { parts, keys, version: 5, env: { EMQX_REPLICA: 'test' } })
  const there = callApi(old, keys)
  await logIn(t, old, 'machine1', 'old-1')
  await until(
    async () => (await there.get(`/api/v2/monitoring/listeners/${node}`)).body.result[0].current_clients === 1,
    { what: 'the client at the first listener' }
  )
  t.match((await there.get(`/api/v2/monitoring/nodes/${node}`)).body.result, { load1: '1.50', clients: 1 })
  t.match((await there.get(`/api/v2/management/nodes/${node}`)).body.result, { version: '5.0', sysdescr: 'EMQX' })
})

t.test('a look at EMQX is shared, renewed beside the answer, and not remembered when it failed', async (t) => {
  let [time, looks, fails] = [0, 0, false]
  const row = { clientId: 'c', username: 'u', isConnected: true }
  const surveys = createSurveys({
    api: {
      async *sessions() {
        looks += 1
        if (fails) throw new Error('away')
        yield { ...row, queued: looks } as never
      },
      async *allSubscriptions() {}
    },
    rules: { account: () => ({ tenantId: 't1', denied: [] }) },
    space: createTopicSpace({ mountpoint: 'none', tenant: 't1' }),
    onTaken: () => undefined,
    now: () => time
  })
  const seen = async () => (await surveys.of('t1')).sessions.map(({ queued }) => queued)
  t.same(await Promise.all([seen(), seen()]), [[1], [1]])
  time = 2_000
  t.same([await seen(), looks], [[1], 1])
  time = 5_000
  t.same([await seen(), looks], [[1], 2], 'the answer does not wait')
  await until(async () => (await seen())[0] === 2, { what: 'the renewed one' })
  time = 20_000
  t.same(await seen(), [3], 'too old to be told')
  surveys.forget()
  t.same(await seen(), [4])
  fails = true
  time = 40_000
  await t.rejects(seen(), /away/)
  fails = false
  t.same(await seen(), [6])
})
