import { connectBus, listUserNames } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, type Session, startParts, testGuardKeys } from '@fleetgate/testkit'
import t from 'tap'
import { mergeWidgets } from '../src/dashboards/dashboard.js'
import { createDashboardStore } from '../src/dashboards/dashboardStore.js'
import { add, type Failure, find, type Listed, list, serveKeys, startDevicesFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const api = await startDevicesFor(t, parts)
const admin = api.as(guardKeys.token({ userId: '77' }))

/** Someone of a tenant of their own. */
function tenant(tenantId: string): Session {
  return api.as(guardKeys.token({ tenantId }))
}

await t.test('creates dashboards and lists them in order of creation', async (t) => {
  t.same(await list(admin), [])
  const ids = [await add(admin, 'Zebra'), await add(admin, 'Ant')]
  const listed = await list(admin)
  t.same(
    listed.map(({ dashboard_id, name }) => [dashboard_id, name]),
    [
      [ids[0], 'Zebra'],
      [ids[1], 'Ant']
    ]
  )
  t.match(listed[0], { dashboard_id: /^\d{10,19}$/, user_id: '77', created_at: /^\d{13}$/ })
  t.notOk(listed[0] && 'widgets' in listed[0], 'widgets are left out when there are none')
})

await t.test('tells who made a dashboard, and that a maker is deleted', async (t) => {
  const maker = (userId: string) => api.as(guardKeys.token({ tenantId: 'makers', userId }))
  for (const userId of ['1', '2', '3', '1']) await add(maker(userId), `${userId} ${Math.random()}`)
  const shown = async () =>
    (await list(maker('1'))).map(({ user_id, user_nickname, user_email, user_deleted }) =>
      [user_id, user_nickname, user_email, user_deleted].filter((field) => field !== undefined)
    )
  t.same(await shown(), [['1'], ['2'], ['3'], ['1']], 'ids alone while auth does not answer')
  const bus = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  let asked = 0
  const answering = await bus.serve(listUserNames, async ({ tenantId, ids }) => {
    asked += 1
    t.same([tenantId, ids], ['makers', ['1', '2', '3']])
    const known = ids.filter((id) => id !== '3')
    return { users: known.map((id) => ({ id, nickname: `n${id}`, email: `${id}@x.org`, isDeleted: id === '2' })) }
  })
  t.same(await shown(), [
    ['1', 'n1', '1@x.org', false],
    ['2', 'n2 (deleted)', '2@x.org', true],
    ['3', true],
    ['1', 'n1', '1@x.org', false]
  ])
  t.equal(asked, 1)
  await answering.stop()
})

await t.test('wraps every answer in the envelope of Beaver', async (t) => {
  const made = await admin.post('/dashboard', { name: 'wrapped' })
  t.match(made.body, { status: 'Success', request_id: /^[0-9a-f]{32}$/, data: { dashboard_id: String } })
  const { dashboard_id } = (made.body as { data: Listed }).data
  const gone = await admin.delete(`/dashboard/${dashboard_id}`)
  t.match(gone.body, { status: 'Success' })
  t.notOk('data' in (gone.body as object), 'nothing to say, no data')
})

await t.test('refuses a taken name, also of ten at once, and only in the same tenant', async (t) => {
  const replies = await Promise.all(
    Array.from({ length: 10 }, () => admin.post<Failure>('/dashboard', { name: 'taken' }))
  )
  t.same(replies.map(({ status }) => status).sort(), [200, ...Array(9).fill(409)])
  for (const { body } of replies.filter(({ status }) => status === 409)) {
    t.equal(body.error_code, 'dashboard_name_exist')
  }
  t.ok(await add(tenant('names'), 'taken'))
  const other = await add(admin, 'untaken')
  const renamed = await admin.put<Failure>(`/dashboard/${other}`, { name: 'taken', widgets: [] })
  t.equal(renamed.status, 409)
  t.equal(renamed.body.error_code, 'dashboard_name_exist')
})

await t.test(
  'replaces widgets: new ones get ids, known ones stay, unknown ones are ignored, the rest goes',
  async (t) => {
    const id = await add(admin, 'widgets')
    const put = (widgets: unknown[]) => admin.put(`/dashboard/${id}`, { name: 'widgets 2', widgets })
    const data = { 'a.b': { $set: 1 }, $where: 'x', type: 'card', config: { list: [1, null, 'ü'] } }

    t.equal((await put([{ data }, { widget_id: null, data: { n: 2 } }])).status, 200)
    const [first, second] = (await find(admin, id))?.widgets ?? []
    t.same(first?.data, data, 'the data comes back as it was')
    t.match(first?.widget_id, /^\d{10,19}$/)
    t.not(first?.widget_id, second?.widget_id)

    const next = [
      { widget_id: second?.widget_id, data: { n: 3 } },
      { data: {} },
      { widget_id: '12345', data: { n: 9 } }
    ]
    t.equal((await put(next)).status, 200)
    const after = await find(admin, id)
    t.equal(after?.name, 'widgets 2')
    t.equal(after?.widgets?.length, 2)
    t.same(after?.widgets?.[0], { widget_id: second?.widget_id, data: { n: 3 } })

    t.equal((await put([])).status, 200)
    t.notOk('widgets' in ((await find(admin, id)) ?? {}))
  }
)

await t.test('notices a change that came between its reading and its writing', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'races', log: quietLog })
  t.teardown(() => store.close())
  const bus = await connectBus({ name: 'races', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const dashboards = createDashboardStore({ store, bus, log: quietLog, now: Date.now })
  const fresh = { id: '1', tenantId: 't1', userId: '7', name: 'read', widgets: [], revision: 0, createdAt: 1 }
  await dashboards.insert(fresh)
  t.equal(await dashboards.replace(fresh, { name: 'first', widgets: [] }), true)
  t.equal(await dashboards.replace(fresh, { name: 'second', widgets: [] }), false)
  t.match(await dashboards.find('t1', '1'), { name: 'first', revision: 1 })
})

await t.test('loses no whole change when many come at once', async (t) => {
  const id = await add(admin, 'busy')
  const puts = Array.from({ length: 4 }, (_, i) =>
    admin.put(`/dashboard/${id}`, { name: 'busy', widgets: [{ data: { i } }, { data: { i } }] })
  )
  for (const { status } of await Promise.all(puts)) t.equal(status, 200)
  const widgets = (await find(admin, id))?.widgets ?? []
  t.equal(widgets.length, 2)
  t.same(widgets[0]?.data, widgets[1]?.data, 'one of them, whole')
})

await t.test('deletes, and knows nothing of it afterwards', async (t) => {
  const id = await add(admin, 'short lived')
  t.equal((await admin.delete(`/dashboard/${id}`)).status, 200)
  t.equal(await find(admin, id), undefined)
  for (const reply of [
    await admin.delete<Failure>(`/dashboard/${id}`),
    await admin.put<Failure>(`/dashboard/${id}`, { name: 'x', widgets: [] })
  ]) {
    t.equal(reply.status, 404)
    t.equal(reply.body.error_code, 'data_no_found')
  }
  t.ok(await add(admin, 'short lived'), 'the name is free again')
})

await t.test('shows and changes nothing of another tenant', async (t) => {
  const id = await add(tenant('one'), 'private')
  const other = tenant('two')
  t.same(await list(other), [])
  t.equal((await other.put(`/dashboard/${id}`, { name: 'stolen', widgets: [] })).status, 404)
  t.equal((await other.delete(`/dashboard/${id}`)).status, 404)
  t.match(await list(tenant('one')), [{ dashboard_id: id, name: 'private' }])
})

await t.test('asks for the function code of each operation', async (t) => {
  const id = await add(admin, 'guarded')
  const as = (...codes: string[]) => api.as(guardKeys.token({ codes }))
  const change = { name: 'guarded', widgets: [] }
  const others = as('dashboard.view', 'device.add')
  t.equal((await others.post('/dashboard', { name: 'no' })).status, 403)
  t.equal((await others.put(`/dashboard/${id}`, change)).status, 403)
  t.equal((await others.delete(`/dashboard/${id}`)).status, 403)
  t.equal((await others.get('/dashboard/dashboards')).status, 200)
  t.equal((await as('dashboard.add').get('/dashboard/dashboards')).status, 403)
  t.equal((await as('dashboard.add').post('/dashboard', { name: 'yes' })).status, 200)
  t.equal((await as('dashboard.edit').put(`/dashboard/${id}`, change)).status, 200)
  t.equal((await as('dashboard.edit').delete(`/dashboard/${id}`)).status, 200)
  const other = await add(admin, 'of later versions')
  t.equal((await as('dashboard.delete').put(`/dashboard/${other}`, change)).status, 403)
  t.equal((await as('dashboard.delete').delete(`/dashboard/${other}`)).status, 200)
  t.equal((await api.get('/dashboard/dashboards')).status, 401)
})

await t.test('merges widgets by rule', async (t) => {
  const existing = [
    { id: '1', data: { was: 1 } },
    { id: '2', data: { was: 2 } }
  ]
  const drafts = [{ data: { a: 1 } }, { id: '2', data: { b: 2 } }, { id: '3', data: {} }]
  t.same(
    mergeWidgets(existing, drafts, () => 'new'),
    [
      { id: 'new', data: { a: 1 } },
      { id: '2', data: { b: 2 } }
    ]
  )
})
