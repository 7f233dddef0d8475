import { downFilter } from '@fleetgate/contracts'
import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { oldestEmqx, type Stage, stages } from './stages.js'
import { addUser, callApi, logIn, record } from './support.js'

/** What every broker driver tells of itself and does to sessions from outside, by EMQ REST v2. */
const keys = testGuardKeys()
const parts = await startParts(t)
const q1 = { qos: 1 } as const

for (const stage of [...stages, oldestEmqx]) t.test(stage.name, (t) => runSuite(t, stage))

async function runSuite(t: Pick<typeof import('tap').default, 'test' | 'teardown'>, stage: Stage) {
  const { name } = stage
  const proxy = await stage.start(t, parts, keys)
  const api = callApi(proxy, keys)
  const strange = callApi(proxy, keys, { tenantId: 't2' })
  const node = 'fleetgate@127.0.0.1'
  const users = '/v2/t1/instances/default/users'
  const id = (part: string) => `${name}-${part}`
  const user = (part: string) => `${part}_${name}`
  const read = async (path: string, as = api) => (await as.get(`/api/v2/${path}`)).body.result
  const ids = (page: { objects: { client_id: string }[] }) => page.objects.map(({ client_id }) => client_id)
  const filtersOf = async (clientId: string) =>
    (await read(`subscriptions/${clientId}`)).objects.map(({ topic }: { topic: string }) => topic)

  const topic_perms = ['news/+', 'work', 'later/#', 'absent/1'].map((name) => ({ name, perm: 'SUB' }))
  await addUser(proxy, keys, { name: user('reader'), fields: { topic_perms, default_group_perm: 'SUB' } })
  await addUser(proxy, keys, { name: user('admin'), fields: { admin: true } })
  await addUser(proxy, keys, { tenantId: 't2', name: user('other') })
  const one = await logIn(t, proxy, user('reader'), id('1'))
  const two = await logIn(t, proxy, user('reader'), id('2'), { clean: false })
  const admin = await logIn(t, proxy, user('admin'), id('3'))
  const other = await logIn(t, proxy, user('other'), id('0'))
  await one.subscribeAsync([downFilter(id('1')), 'news/+', '$share/g/work'], q1)
  await two.subscribeAsync('news/+', { qos: 2 })
  await other.subscribeAsync(downFilter(id('0')))
  await two.endAsync()
  await until(async () => (await read(`nodes/${node}/clients`)).total_num === 2, { what: 'the end of a connection' })

  t.test('lists are cut into pages, by tenant, in order', async (t) => {
    const sessions = await until(
      async () => {
        const page = await read(`nodes/${node}/sessions?page_size=2`)
        return page.total_num === 3 && page
      },
      { what: 'three sessions, one of them of an absent client' }
    )
    t.match(sessions, { current_page: 1, page_size: 2, total_page: 2 })
    t.same(ids(sessions), [id('1'), id('2')])
    t.match(sessions.objects[1], { clean_sess: false, subscriptions: 1, mqueue_len: 0 })
    t.same(ids(await read(`nodes/${node}/sessions?page_size=2&curr_page=2`)), [id('3')])
    t.same(ids(await read(`nodes/${node}/sessions`, strange)), [id('0')])
    t.match(await read(`sessions/${id('2')}`), { total_num: 1, objects: [{ client_id: id('2'), clean_sess: false }] })
    t.match(await read(`sessions/${id('0')}`), { total_num: 0, objects: [] }, 'not that of another tenant')
    t.same(ids(await read(`nodes/${node}/clients`)), [id('1'), id('3')])
    t.same(ids(await read(`nodes/${node}/clients?page_size=1&curr_page=2`)), [id('3')])
    t.match(await read(`nodes/${node}/clients?page_size=1&curr_page=3`), { total_num: 2, total_page: 2, objects: [] })

    const sub = (part: string, topic: string, qos: number) => ({ client_id: id(part), topic, qos })
    const all = [
      sub('1', '$share/g/work', 1),
      sub('1', downFilter(id('1')), 1),
      sub('1', 'news/+', 1),
      sub('2', 'news/+', 2)
    ]
    t.match(await read(`nodes/${node}/subscriptions`), { total_num: 4, objects: all })
    t.match(await read(`nodes/${node}/subscriptions?page_size=3&curr_page=2`), { total_page: 2, objects: all.slice(3) })
    t.match(await read(`nodes/${node}/subscriptions`, strange), { objects: [sub('0', downFilter(id('0')), 0)] })
    t.same((await read(`subscriptions/${id('1')}`)).objects, all.slice(0, 3))
    t.same((await read(`subscriptions/${id('1')}`, strange)).objects, [])
    const topics = ['$share/g/work', downFilter(id('1')), 'news/+'].map((topic) => ({ topic, node }))
    t.match(await read('routes'), { total_num: 3, objects: topics })
    t.match(await read('routers?page_size=1&curr_page=3'), { total_page: 3, objects: topics.slice(2) })
    t.same((await read('routes/news/+')).objects, [{ topic: 'news/+', node }])
    t.same((await read('routes/news/+', strange)).objects, [])
  })

  t.test('numbers are those of the tenant', async (t) => {
    const expected = { 'clients/count': 2, 'sessions/count': 3, 'subscribers/count': 2, 'subscriptions/count': 4 }
    const before = await read(`monitoring/stats/${node}`)
    t.match(before, { ...expected, 'routes/count': 3 })
    t.match((await read('monitoring/stats', strange))[node], { 'clients/count': 1, 'subscriptions/count': 1 })
    const listeners = await read(`monitoring/listeners/${node}`)
    t.match(listeners[0], { protocol: 'mqtt:tcp', listen: /:\d+$/, current_clients: 2 })
    t.match(await read(`monitoring/nodes/${node}`), { name: node, clients: 2, node_status: 'Running' })
    const metrics = await read(`monitoring/metrics/${node}`)
    t.ok(metrics['packets/connect'] >= 3)
    await admin.publishAsync('kept/1', 'x', { qos: 1, retain: true })
    t.equal((await read(`monitoring/stats/${node}`))['retained/count'], before['retained/count'] + 1)
    t.equal((await read(`monitoring/stats/${node}`, strange))['retained/count'], 0)
    // EMQX counts what its rule sends to us, too.
    const received = metrics['messages/qos1/received'] + (name === 'embedded' ? 1 : 2)
    t.equal((await read(`monitoring/metrics/${node}`))['messages/qos1/received'], received)
    await admin.publishAsync('kept/1', '', { qos: 1, retain: true })
    t.equal((await read(`monitoring/stats/${node}`))['retained/count'], before['retained/count'])
  })

  t.test('subscriptions are made on behalf of clients, within what these may', async (t) => {
    const got = record(one)
    const call = async (verb: string, body: object) => (await api.post(`/api/v2/mqtt/${verb}`, body)).body
    t.same(await call('subscribe', { topic: 'later/#', client_id: id('1'), qos: 1 }), { code: 0, result: [] })
    t.ok((await filtersOf(id('1'))).includes('later/#'))
    t.match(await read(`nodes/${node}/subscriptions`), { total_num: 5 }, 'who asks next sees it')
    await admin.publishAsync('later/on', 'hello', q1)
    await until(() => got.some(({ topic }) => topic === 'later/on'), { what: 'the message' })
    t.same(await call('subscribe', { topic: 'absent/1', client_id: id('2') }), { code: 0, result: [] })
    t.same(await filtersOf(id('2')), ['absent/1', 'news/+'], 'for an absent client, too')
    for (const refused of [
      { topic: 'a', client_id: 'nobody' },
      { topic: 'a', client_id: id('0') },
      { topic: 'fleet/+/down/#', client_id: id('1') },
      { topic: downFilter(id('3')), client_id: id('1') }
    ]) {
      t.match(await call('subscribe', refused), { code: 102 }, `${refused.client_id} to ${refused.topic}`)
    }
    t.match(await call('unsubscribe', { topic: 'a', client_id: id('0') }), { code: 102 })
    t.equal((await read(`subscriptions/${id('0')}`, strange)).objects.length, 1, 'it has what it had')
    t.same(await call('unsubscribe', { topic: 'later/#', client_id: id('1') }), { code: 0, result: [] })
    t.same(await call('unsubscribe', { topic: 'absent/1', client_id: id('2') }), { code: 0, result: [] })
    await until(async () => !(await filtersOf(id('1'))).includes('later/#'), { what: 'the end of the subscription' })
    t.same(await filtersOf(id('2')), ['news/+'])
    t.match(await read(`nodes/${node}/subscriptions`), { total_num: 4 })
    t.same(await call('unsubscribe', { topic: '$share/g/work', client_id: id('1') }), { code: 0, result: [] })
    await until(async () => !(await filtersOf(id('1'))).includes('$share/g/work'), {
      what: 'the end of the shared one'
    })
  })

  t.test('a right that is gone ends the subscriptions of an absent client, too', async (t) => {
    await api.put(`${users}/${user('reader')}`, { topic_perms: [] })
    await until(async () => (await filtersOf(id('2'))).length === 0, { what: 'the end of what was kept' })
    await until(async () => (await filtersOf(id('1'))).join() === downFilter(id('1')), { what: 'the own topics alone' })
    t.ok(one.connected)
  })
}
