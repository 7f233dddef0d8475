import { connectBus, listGrants, listPublicKeys, listUserNames, roleGrantsChanged, userRevoked } from '@fleetgate/kit'
import { quietLog, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { namedBy } from '../src/dashboards/named.js'
import { add, type Failure, type Listed, list, startDevicesFor } from './support.js'
import { addEntity } from './things.js'

/** What each looks at first, in which order, and links for people without an account. */
const parts = await startParts(t)
const keys = testGuardKeys()
const auth = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
t.teardown(() => auth.close())
type Granted = { id: string; type: 'DASHBOARD' | 'ENTITY' }
const granted = new Map<string, Granted[] | 'all'>([['7', 'all']])
await auth.serve(listPublicKeys, async () => ({ keys: keys.keys }))
await auth.serve(listGrants, async ({ userId }) => {
  const found = granted.get(userId) ?? []
  return { all: found === 'all', resources: found === 'all' ? [] : found, roleIds: [`r${userId}`] }
})
const api = await startDevicesFor(t, parts)
const admin = api.as(keys.token({ userId: '7' }))
const codes = ['dashboard.view', 'dashboard.add', 'dashboard.edit']
const maker = api.as(keys.token({ userId: '8', isSuperAdmin: false, codes }))

async function grant(userId: string, resources: Granted[]): Promise<void> {
  granted.set(userId, resources)
  await auth.publish(roleGrantsChanged, { tenantId: 't1', roleId: `r${userId}`, at: Date.now() })
}

const inDays = (days: number) => Date.now() + days * 24 * 60 * 60 * 1000
const rows = (session = admin) => list(session)
const names = async (session = admin) => (await rows(session)).map(({ name }) => name)

await t.test('dashboards stand in the order that each gives them', async (t) => {
  const [a, b, c] = [await add(admin, 'A'), await add(admin, 'B'), await add(admin, 'C')]
  const other = api.as(keys.token({ userId: '9', isSuperAdmin: true }))
  t.equal((await admin.put('/dashboard/order', { dashboard_ids: [c, '404', a, c] })).status, 200)
  t.same(await names(), ['C', 'A', 'B'])
  t.same(await names(other), ['A', 'B', 'C'], 'each has an order of their own')
  await add(admin, 'D')
  t.same(await names(), ['C', 'A', 'B', 'D'], 'a new one comes last')
  await admin.put('/dashboard/order', { dashboard_ids: [] })
  t.same(await names(), ['A', 'B', 'C', 'D'])
  t.equal((await admin.put('/dashboard/order', { dashboard_ids: ['x'] })).status, 400)
  t.equal(
    (await api.as(keys.token({ codes: [], isSuperAdmin: false })).put('/dashboard/order', { dashboard_ids: [b] }))
      .status,
    403
  )
})

await t.test('each has one home at most', async (t) => {
  const [first, second] = await rows()
  const homes = async (session = admin) => (await rows(session)).filter(({ home }) => home).map(({ name }) => name)
  t.same(await homes(), [])
  for (const { dashboard_id } of [first, second] as [Listed, Listed]) {
    t.equal((await admin.post(`/dashboard/${dashboard_id}/home`)).status, 200)
  }
  t.same(await homes(), [second?.name])
  t.equal((await admin.post(`/dashboard/${first?.dashboard_id}/cancel-home`)).status, 200)
  t.same(await homes(), [second?.name], 'another one is no home to cancel')
  t.equal((await admin.post(`/dashboard/${second?.dashboard_id}/cancel-home`)).status, 200)
  t.same(await homes(), [])
  t.equal((await admin.post('/dashboard/404/home')).status, 404)
  t.equal((await maker.post(`/dashboard/${first?.dashboard_id}/home`)).status, 404, 'nor one out of reach')
})

await t.test('widgets name entities in the ways of the web client', async (t) => {
  const of = (data: Record<string, unknown>) => {
    const { ids, keys: named } = namedBy({ data })
    return [[...ids], [...named]]
  }
  t.same(of({ config: { entity: { value: '17', rawData: { entityId: 18, entityKey: 'a.b' } } } }), [
    ['17', '18'],
    ['a.b']
  ])
  t.same(of({ config: { entity: [{ value: '1' }, { value: '2' }, null, 'x'] } }), [['1', '2'], []])
  t.same(of({ list: [{ entity_key: 'k', entity_id: '3' }], value: '99', entity: { value: 'no id' } }), [['3'], ['k']])
  const deep = { inner: {} as Record<string, unknown> }
  let at = deep.inner
  for (let i = 0; i < 10_000; i++) {
    at.inner = {}
    at = at.inner as Record<string, unknown>
  }
  at.entityId = '1'
  t.same(of(deep), [[], []], 'and nobody looks deeper than widgets are')
})

await t.test('a widget says which of its entities are gone', async (t) => {
  const [here, gone] = [await addEntity(admin, { identifier: 'here' }), await addEntity(admin, { identifier: 'gone' })]
  const id = await add(admin, 'Widgets')
  const widgets = [
    { data: { config: { entity: [{ value: here }, { value: gone }] } } },
    { data: { entityKey: 'system.integration.here' } },
    { data: { title: 'text' } }
  ]
  t.equal((await admin.put(`/dashboard/${id}`, { name: 'Widgets', widgets })).status, 200)
  const missing = async () =>
    (await rows()).find(({ dashboard_id }) => dashboard_id === id)?.widgets?.map((one) => one.missing)
  t.same(await missing(), [undefined, undefined, undefined])
  await admin.post('/entity/delete', { entity_ids: [gone] })
  t.same(await missing(), [[gone], undefined, undefined])
})

interface Shown {
  name: string
  widgets?: { data: unknown; missing?: string[] }[]
  entities: { entity_id: string; entity_key: string; status: { value?: unknown } }[]
}

await t.test('a link shows a dashboard and the values of its entities to anybody, until it expires', async (t) => {
  const [inside, outside] = [
    await addEntity(admin, { identifier: 'inside' }),
    await addEntity(admin, { identifier: 'outside' })
  ]
  await admin.post('/entity/property/update', {
    exchange: { 'system.integration.inside': 21.5, 'system.integration.outside': 9 }
  })
  const id = await add(maker, 'Shared')
  await grant('8', [{ id, type: 'DASHBOARD' }])
  await until(async () => (await rows(maker)).length === 1, { what: 'the grant' })
  const widgets = [
    { data: { config: { entity: { value: inside, rawData: { entityKey: 'system.integration.inside' } } } } }
  ]
  t.equal((await maker.put(`/dashboard/${id}`, { name: 'Shared', widgets })).status, 200)

  for (const expires_at of [Date.now() - 1, inDays(400)]) {
    const refused = await maker.post<Failure>(`/dashboard/${id}/share`, { expires_at })
    t.equal(refused.status, 400)
    t.match(refused.body.error_message, /expires_at/)
  }
  const made = await maker.post<{ data: { token: string; share_id: string } }>(`/dashboard/${id}/share`, {
    expires_at: inDays(1)
  })
  t.equal(made.status, 200)
  const { token, share_id } = made.body.data
  t.match(token, /^[A-Za-z0-9_-]{32}$/)
  const listed = await maker.get<{ data: object[] }>(`/dashboard/${id}/share`)
  t.match(listed.body.data, [{ share_id, user_id: '8', expires_at: /^\d{13}$/ }])
  t.notMatch(listed.text, token, 'the token is not shown again')
  t.notOk('user_deleted' in (listed.body.data[0] ?? {}), 'while auth does not answer nothing is said of who made it')
  const answering = await auth.serve(listUserNames, async ({ ids }) => ({
    users: ids.map((id) => ({ id, nickname: 'eve', email: 'eve@example.com', isDeleted: true }))
  }))
  const left = await maker.get<{ data: object[] }>(`/dashboard/${id}/share`)
  t.match(left.body.data, [{ share_id, user_id: '8', user_nickname: 'eve (deleted)', user_deleted: true }])
  await answering.stop()

  const shown = await api.get<{ data: Shown }>(`/dashboard/shared/${token}`)
  t.equal(shown.status, 200)
  t.match(shown.body.data, { name: 'Shared', widgets: [{ data: widgets[0]?.data }] })
  t.match(shown.body.data.entities, [
    { entity_id: inside, entity_key: 'system.integration.inside', status: { value: 21.5 } }
  ])
  const points = (entity: string) =>
    api.get<{ data: object[] }>(`/dashboard/shared/${token}/history?entity_id=${entity}`)
  t.match((await points(inside)).body.data, [{ entity_id: inside, value: 21.5 }])
  t.equal((await points(outside)).status, 404, 'of no entity that it does not show')
  t.equal((await api.put(`/dashboard/${id}`, { name: 'x', widgets: [] })).status, 401, 'it lets nobody change anything')

  t.test('it shows nothing that its maker may not see', async (t) => {
    const secret = await addEntity(admin, { identifier: 'device_secret' })
    const device = {
      name: 'ping',
      integration: 'ping',
      param_entities: { 'ping.integration.add_device.ip': '127.0.0.9' }
    }
    t.equal((await admin.post('/device', device)).status, 200)
    const found = await admin.post<{ data: { content: { entity_id: string; entity_key: string }[] } }>(
      '/entity/search',
      { keyword: 'ping.device' }
    )
    const foreign = found.body.data.content[0]
    t.ok(foreign, 'an entity that is granted to nobody')
    const both = [{ data: { entityId: [secret, foreign?.entity_id][1], more: { entityId: inside } } }]
    await maker.put(`/dashboard/${id}`, { name: 'Shared', widgets: both })
    const { body } = await api.get<{ data: Shown }>(`/dashboard/shared/${token}`)
    t.same(
      body.data.entities.map(({ entity_id }) => entity_id),
      [inside]
    )
    t.notOk(body.data.widgets?.[0]?.missing, 'which is there all the same')
  })

  t.test('it says which entities are gone', async (t) => {
    const gone = await addEntity(admin, { identifier: 'short_lived' })
    const both = [{ data: { entityId: gone, more: { entityKey: 'system.integration.inside' } } }, { data: { a: 1 } }]
    await maker.put(`/dashboard/${id}`, { name: 'Shared', widgets: both })
    await admin.post('/entity/delete', { entity_ids: [gone] })
    const { body } = await api.get<{ data: Shown }>(`/dashboard/shared/${token}`)
    t.same(
      body.data.widgets?.map(({ missing }) => missing),
      [[gone], undefined]
    )
  })

  t.test('no other tenant, and nobody without the code, has anything to do with it', async (t) => {
    const stranger = api.as(keys.token({ tenantId: 't2' }))
    for (const reply of [
      await stranger.get(`/dashboard/${id}/share`),
      await stranger.post(`/dashboard/${id}/share`, { expires_at: inDays(1) }),
      await stranger.delete(`/dashboard/${id}/share/${share_id}`)
    ]) {
      t.equal(reply.status, 404)
    }
    const viewer = api.as(keys.token({ userId: '8', isSuperAdmin: false, codes: ['dashboard.view'] }))
    t.equal((await viewer.post(`/dashboard/${id}/share`, { expires_at: inDays(1) })).status, 403)
  })

  t.test('whatever is wrong with a link is told in one way', async (t) => {
    const asked = (of: string) => api.get<Failure>(`/dashboard/shared/${of}`)
    const short = await maker.post<{ data: { token: string } }>(`/dashboard/${id}/share`, {
      expires_at: Date.now() + 300
    })
    await until(async () => (await asked(short.body.data.token)).status === 404, { what: 'the link to expire' })
    const unknown = await asked('A'.repeat(32))
    t.equal((await maker.delete(`/dashboard/${id}/share/${share_id}`)).status, 200)
    t.equal((await maker.delete(`/dashboard/${id}/share/${share_id}`)).status, 404)
    const plain = ({ body: { error_code, error_message }, status }: Awaited<ReturnType<typeof asked>>) => [
      status,
      error_code,
      error_message
    ]
    t.same(plain(await asked(token)), plain(unknown), 'taken back')
    t.same(plain(await asked(short.body.data.token)), plain(unknown), 'expired')
    const last = await maker.post<{ data: { token: string } }>(`/dashboard/${id}/share`, { expires_at: inDays(1) })
    t.equal((await asked(last.body.data.token)).status, 200)
    await grant('8', [])
    await until(async () => (await asked(last.body.data.token)).status === 404, {
      what: 'the maker to lose the dashboard'
    })
    t.same(plain(await asked(last.body.data.token)), plain(unknown))
    await grant('8', [{ id, type: 'DASHBOARD' }])
    await until(async () => (await asked(last.body.data.token)).status === 200, { what: 'the maker to have it again' })
    granted.set('8', [])
    await auth.publish(userRevoked, { tenantId: 't1', userId: '8', minVersion: 1, at: Date.now() })
    await until(async () => (await asked(last.body.data.token)).status === 404, { what: 'the maker to be disabled' })
    await grant('8', [{ id, type: 'DASHBOARD' }])
    await until(async () => (await asked(last.body.data.token)).status === 200, { what: 'the maker to be back' })
    const anew = api.as(keys.token({ userId: '8', isSuperAdmin: false, codes, version: 1 }))
    t.equal((await anew.delete(`/dashboard/${id}`)).status, 200)
    t.same(plain(await asked(last.body.data.token)), plain(unknown), 'its dashboard is gone')
  })
})

await t.test('a link is not used without end', async (t) => {
  const id = await add(admin, 'Busy')
  const made = await admin.post<{ data: { token: string } }>(`/dashboard/${id}/share`, { expires_at: inDays(1) })
  const ask = () => api.get(`/dashboard/shared/${made.body.data.token}`)
  const answers = await Promise.all(Array.from({ length: 300 }, ask))
  const refused = answers.find(({ status }) => status === 429)
  t.ok(refused, 'too many at once are refused')
  t.ok(refused?.headers.get('retry-after'))
  t.ok(answers.some(({ status }) => status === 200))
})
