import { type Session, startParts, testGuardKeys } from '@fleetgate/testkit'
import t from 'tap'
import { add, type Failure, find, list, serveKeys, startDevicesFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const api = await startDevicesFor(t, parts)
const admin = api.as(guardKeys.token())

/** Someone of a tenant of their own. */
function tenant(tenantId: string): Session {
  return api.as(guardKeys.token({ tenantId }))
}

await t.test('refuses bad input by field and stores nothing of it', async (t) => {
  const session = tenant('hostile')
  const id = await add(session, 'good')
  const names = [undefined, '', '   ', 'n'.repeat(128), 5, null, { $gt: '' }, ['a']]
  const widgets = [
    undefined,
    null,
    {},
    'all',
    [null],
    [{}],
    [{ data: 'text' }],
    [{ data: [] }],
    Array(1001).fill({ data: {} })
  ]
  const ids = ['x', -1, 1.5, true, { $gt: '' }, '1'.repeat(20)]
  for (const name of names) {
    const replies = [
      await session.post<Failure>('/dashboard', { name }),
      await session.put<Failure>(`/dashboard/${id}`, { name, widgets: [] })
    ]
    for (const { status, body } of replies) {
      t.equal(status, 400, JSON.stringify(name))
      t.match(body, { status: 'Failed', error_code: 'parameter_validation_failed', error_message: /name/ })
    }
  }
  for (const bad of [...widgets, ...ids.map((widget_id) => [{ widget_id, data: {} }])]) {
    const { status, body } = await session.put<Failure>(`/dashboard/${id}`, { name: 'good', widgets: bad })
    t.equal(status, 400, JSON.stringify(bad)?.slice(0, 60))
    t.match(body.error_message, 'widget')
  }
  t.equal((await list(session)).length, 1)
  t.equal((await find(session, id))?.widgets, undefined)
})

await t.test('refuses a widget that stands there twice', async (t) => {
  const id = await add(admin, 'twice')
  await admin.put(`/dashboard/${id}`, { name: 'twice', widgets: [{ data: {} }] })
  const widget_id = (await find(admin, id))?.widgets?.[0]?.widget_id
  const twice = [
    { widget_id, data: {} },
    { widget_id, data: {} }
  ]
  t.equal((await admin.put(`/dashboard/${id}`, { name: 'twice', widgets: twice })).status, 400)
})

await t.test('refuses malformed ids, broken JSON and bodies over 1 MB', async (t) => {
  const json = { 'content-type': 'application/json' }
  for (const id of ['abc', '-1', '%7B%22$gt%22:%22%22%7D', '1'.repeat(20)]) {
    t.equal((await admin.delete(`/dashboard/${id}`)).status, 400, id)
    t.equal((await admin.put(`/dashboard/${id}`, { name: 'a', widgets: [] })).status, 400, id)
  }
  t.equal((await admin.send('POST', '/dashboard', '{"name":', json)).status, 400)
  t.equal((await admin.send('POST', '/dashboard', '["name"]', json)).status, 400)
  const large = { name: 'a', widgets: [{ data: { text: 'x'.repeat(1_100_000) } }] }
  t.equal((await admin.put('/dashboard/1', large)).status, 413)
})

await t.test('bounds the number of dashboards, and of what is in all of them', async (t) => {
  const small = await startDevicesFor(t, parts, { MAX_DASHBOARDS: '2', MAX_DASHBOARDS_SIZE: '1000' })
  const session = small.as(guardKeys.token({ tenantId: 'bounded' }))
  const [one, two] = [await add(session, 'one'), await add(session, 'two')]
  const third = await session.post<Failure>('/dashboard', { name: 'three' })
  t.equal(third.status, 400)
  t.match(third.body.error_message, '2 dashboards')
  const fill = (id: string, name: string, length: number) =>
    session.put<Failure>(`/dashboard/${id}`, { name, widgets: [{ data: { text: 'x'.repeat(length) } }] })
  t.equal((await fill(one, 'one', 600)).status, 200)
  const tooMuch = await fill(two, 'two', 600)
  t.match([tooMuch.status, tooMuch.body.error_message], [400, /1000 characters/])
  t.match(await find(session, two), { widgets: undefined })
  t.equal((await fill(two, 'two', 300)).status, 200)
  t.equal((await fill(one, 'one', 700)).status, 400)
  t.equal((await fill(one, 'renamed', 600)).status, 200, 'what does not grow stays possible')
})
