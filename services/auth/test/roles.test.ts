import { connectBus, listNames, resourceDeleted, type Static } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, type Session, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Failure, person, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_auth', log: quietLog })
t.teardown(() => store.close())
await api.register(person('admin'))
const admin = api.as((await tokensOf(api, 'admin')).access_token)
const adminId = (await admin.get<Me>('/user')).body.data.user_id
const bobId = await addMember(admin, 'bob')
const bob = api.as((await tokensOf(api, 'bob')).access_token)
await admin.post('/user/tenants', { ...person('tina'), tenant_id: 't2', name: 'Second' })
const tina = api.as((await tokensOf(api, 'tina')).access_token)

interface Me {
  data: { user_id: string; is_super_admin: boolean; roles?: { role_id: string; role_name: string }[] }
}
interface Page<T = Record<string, unknown>> {
  data: { page_size: number; page_number: number; total: number; content: T[] }
}

async function addMember(session: Session, name: string): Promise<string> {
  const reply = await session.post<{ data: { user_id: string } }>('/user/members', person(name))
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data.user_id
}

async function addRole(name: string, session = admin): Promise<string> {
  const reply = await session.post<{ data: { role_id: string } }>('/user/roles', { name, description: `${name}s` })
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data.role_id
}

async function page(path: string, body: object = {}, session = admin): Promise<Page['data']> {
  const reply = await session.post<Page>(path, body)
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data
}

const emptyPage = { page_size: 0, page_number: 1, total: 0, content: [] }

type Question = Static<typeof listNames.request>
const questions: Question[] = []

/** Answers for devices: a few of everything. */
async function serveNames() {
  const bus = await connectBus({ name: 'devices', url: parts.natsUrl, log: quietLog })
  const all = ['1', '2', '3'].map((id) => ({
    id: `d${id}`,
    name: `Thing ${id}`,
    createdAt: 1700000000000,
    userId: adminId,
    parentId: id === '3' ? 'ping' : 'mqtt',
    parentName: id === '3' ? 'Ping' : 'MQTT'
  }))
  await bus.serve(listNames, async (question) => {
    questions.push(question)
    const { ids, parentIds, exceptIds = [], exceptParentIds = [], keyword = '', offset, limit } = question
    const found = all.filter(
      ({ id, parentId, name }) =>
        ((!ids && !parentIds) || ids?.includes(id) || parentIds?.includes(parentId)) &&
        !exceptIds.includes(id) &&
        !exceptParentIds.includes(parentId) &&
        name.includes(keyword)
    )
    return { isKnown: true, total: found.length, items: found.slice(offset, offset + limit) }
  })
  return bus
}

await t.test('seeds super_admin, and creates, renames and finds roles', async (t) => {
  t.match(await page('/user/roles/search'), {
    total: 1,
    content: [{ role_id: '1', name: 'super_admin', user_role_count: 1, role_integration_count: 0 }]
  })
  const id = await addRole('operator')
  t.match(id, /^\d{10,19}$/)
  t.equal((await admin.put(`/user/roles/${id}`, { name: 'Operators' })).status, 200)
  const found = await page('/user/roles/search', { keyword: 'OPERAT' })
  t.match(found, { page_size: 10, page_number: 1, total: 1 })
  t.match(found.content[0], { role_id: id, name: 'Operators', description: 'operators', created_at: /^\d{13}$/ })
  const second = await page('/user/roles/search', { page_number: 2, page_size: 1 })
  t.match(second, { page_size: 1, page_number: 2, total: 2, content: [{ role_id: '1' }] })
  t.same(await page('/user/roles/search', { keyword: 'no such' }), emptyPage)
})

await t.test('refuses taken names, also of ten at once, and takes them in another tenant', async (t) => {
  const replies = await Promise.all(
    Array.from({ length: 10 }, () => admin.post<Failure>('/user/roles', { name: 'taken' }))
  )
  t.same(replies.map(({ status }) => status).sort(), [200, ...Array(9).fill(409)])
  t.equal(replies.find(({ status }) => status === 409)?.body.error_code, 'name_repeated')
  t.equal((await admin.put(`/user/roles/${await addRole('free')}`, { name: 'taken' })).status, 409)
  t.equal((await admin.post('/user/roles', { name: 'super_admin' })).status, 409)
  t.ok(await addRole('taken', tina))
})

await t.test('deletes a role only when nobody has it', async (t) => {
  const id = await addRole('short lived')
  await admin.post(`/user/roles/${id}/associate-user`, { user_ids: [bobId] })
  const refused = await admin.delete<Failure>(`/user/roles/${id}`)
  t.match([refused.status, refused.body.error_code], [409, 'role_still_has_user'])
  await admin.post(`/user/roles/${id}/disassociate-user`, { user_ids: [bobId] })
  t.equal((await admin.delete(`/user/roles/${id}`)).status, 200)
  const gone = await admin.delete<Failure>(`/user/roles/${id}`)
  t.match([gone.status, gone.body.error_code], [404, 'role_does_not_exit'])
  t.ok(await addRole('short lived'), 'the name is free again')
})

await t.test('leaves nobody with a role that is deleted at the moment it is given', async (t) => {
  const id = await addMember(admin, 'late')
  for (let round = 0; round < 8; round++) {
    const role = await addRole(`fleeting ${round}`)
    const [given, deleted] = await Promise.all([
      admin.post<Failure>(`/user/roles/${role}/associate-user`, { user_ids: [id] }),
      admin.delete<Failure>(`/user/roles/${role}`)
    ])
    const user = await store.connection.collection('users').findOne({ _id: id as never })
    t.equal(user?.roleIds.includes(role), deleted.status !== 200, `given ${given.status}, deleted ${deleted.status}`)
  }
  await admin.delete(`/user/members/${id}`)
})

await t.test('protects super_admin', async (t) => {
  t.equal((await admin.delete('/user/roles/1')).status, 400)
  t.equal((await admin.put('/user/roles/1', { name: 'x' })).status, 403)
  t.equal((await admin.post('/user/roles/1/associate-menu', { menu_ids: [] })).status, 403)
  t.equal((await admin.post('/user/roles/1/disassociate-user', { user_ids: [adminId] })).status, 403)
  t.equal((await admin.get<Me>('/user')).body.data.is_super_admin, true)
})

await t.test('links users to roles once, lists them by GET and POST, and knows who lacks a role', async (t) => {
  const id = await addRole('members')
  const cid = await addMember(admin, 'cid')
  const userIds = [bobId, cid, bobId, '999', Number(1)]
  t.equal((await admin.post(`/user/roles/${id}/associate-user`, { user_ids: userIds })).status, 200)
  t.equal((await admin.post(`/user/roles/${id}/associate-user`, { user_ids: [cid] })).status, 200)
  const plain = await admin.get<{ data: unknown[] }>(`/user/roles/${id}/members`)
  const row = { role_id: id, user_id: cid, user_nickname: 'cid', user_email: person('cid').email }
  t.same(plain.body.data[0], row)
  t.equal(plain.body.data.length, 2)
  t.match(await page(`/user/roles/${id}/members`, { keyword: 'CID' }), { total: 1, content: [row] })
  t.same(await page(`/user/roles/${id}/members`, { keyword: 'nobody' }), emptyPage)
  const others = await page(`/user/roles/${id}/undistributed-users`)
  t.same(others.content, [{ user_id: adminId, nickname: 'admin', email: person('admin').email }])
  const wrapped = await page(`/user/roles/${id}/undistributed-users`, { page_number: 9 })
  t.match(wrapped, { page_number: 1, total: 1, content: [{ user_id: adminId }] }, 'begins anew behind the end')
  const search = await page('/user/roles/search', { keyword: 'members' })
  t.match(search.content[0], { user_role_count: 2 })
  await admin.delete(`/user/members/${cid}`)
  t.equal((await page(`/user/roles/${id}/members`)).total, 1, 'a deleted user leaves the role')
})

await t.test(
  'sorts roles, their members, others and resources as asked, and passes over what it does not know',
  async (t) => {
    const by = (property: string, direction = 'ASC') => ({ sorts: [{ direction, property }] })
    const ids = [await addRole('sorted b'), await addRole('sorted a'), await addRole('sorted c')]
    const of = async <T>(path: string, body: object) => (await page(path, body)).content as T[]
    const roleNames = async (order: object) =>
      (await of<{ name: string }>('/user/roles/search', { keyword: 'sorted', ...order })).map(({ name }) => name.at(-1))
    t.same(await roleNames(by('name')), ['a', 'b', 'c'])
    t.same(await roleNames(by('name', 'DESC')), ['c', 'b', 'a'])
    t.same(await roleNames(by('created_at')), ['b', 'a', 'c'])
    t.same(await roleNames(by('$where')), ['c', 'a', 'b'], 'newest first')

    const people = [
      await addMember(admin, 'sorted.y'),
      await addMember(admin, 'sorted.x'),
      await addMember(admin, 'sorted.z')
    ]
    const path = `/user/roles/${ids[0]}`
    const emails = async (list: string, order: object) =>
      (await of<Record<string, string>>(`${path}/${list}`, { keyword: 'sorted.', ...order })).map(
        ({ email, user_email = email }) => user_email?.split('@')[0]?.at(-1)
      )
    t.same(await emails('undistributed-users', by('nickname')), ['x', 'y', 'z'])
    t.same(await emails('undistributed-users', by('email', 'DESC')), ['z', 'y', 'x'])
    await admin.post(`${path}/associate-user`, { user_ids: people })
    t.same(await emails('members', by('user_nickname')), ['x', 'y', 'z'])
    t.same(await emails('members', by('createdAt')), ['y', 'x', 'z'])

    const given = [
      ['2', 'DEVICE'],
      ['3', 'DASHBOARD'],
      ['1', 'DEVICE']
    ].map(([id, type]) => ({ id, type }))
    await admin.post(`${path}/associate-resource`, { resources: given })
    const resources = async (order: object) =>
      (await of<{ resource_id: string }>(`${path}/resources`, order)).map(({ resource_id }) => resource_id)
    t.same(await resources(by('resource_id')), ['1', '2', '3'])
    t.same(await resources(by('resourceId', 'DESC')), ['3', '2', '1'])
    t.same((await resources(by('resource_type')))[0], '3')
  }
)

await t.test('gives a user no more roles than a token can carry', async (t) => {
  const id = await addMember(admin, 'collector')
  const other = await addMember(admin, 'bystander')
  const roles = await Promise.all(Array.from({ length: 101 }, (_, i) => addRole(`bulk ${i}`)))
  const give = (role: string, userIds: string[]) =>
    admin.post<Failure>(`/user/roles/${role}/associate-user`, { user_ids: userIds })
  for (const role of roles.slice(0, 100)) t.equal((await give(role, [id])).status, 200)
  const refused = await give(roles[100] ?? '', [other, id])
  t.match([refused.status, refused.body.error_message], [400, /100 roles/])
  t.same(await page(`/user/roles/${roles[100]}/members`), emptyPage, 'and gives it to nobody')
  const collector = api.as((await tokensOf(api, 'collector')).access_token)
  t.equal((await collector.get<Me>('/user')).body.data.roles?.length, 100, 'the token still passes')
  for (const userId of [id, other]) await admin.delete(`/user/members/${userId}`)
})

await t.test('makes others super admin and takes it back', async (t) => {
  const id = await addMember(admin, 'deputy')
  await admin.post('/user/roles/1/associate-user', { user_ids: [id] })
  const deputy = api.as((await tokensOf(api, 'deputy')).access_token)
  t.match((await deputy.get<Me>('/user')).body.data, { is_super_admin: true, roles: [{ role_id: '1' }] })
  t.equal((await page('/user/roles/1/members')).total, 2)
  t.ok(await addRole('by the deputy', deputy))
  await admin.post('/user/roles/1/disassociate-user', { user_ids: [id] })
  const isRefused = async () => (await deputy.post('/user/roles', { name: 'no more' })).status === 403
  await until(isRefused, { what: 'the rights to go', deadlineMs: 1000 })
  t.notOk((await deputy.get<Me>('/user')).body.data.roles)
})

await t.test('replaces the menus of a role', async (t) => {
  const id = await addRole('menus')
  const set = (menu_ids: unknown[]) => admin.post(`/user/roles/${id}/associate-menu`, { menu_ids })
  const codes = async () =>
    (await admin.get<{ data: { code: string }[] }>(`/user/roles/${id}/menus`)).body.data.map(({ code }) => code)
  t.same(await codes(), [])
  t.equal((await set(['1000', 1001, '2001', '999999'])).status, 200)
  t.same(await codes(), ['dashboard', 'dashboard.view', 'device.view'])
  await set(['10003'])
  t.same(await codes(), ['job.run'])
  const statuses = await Promise.all([['1001'], ['1002'], ['1003']].map(async (ids) => (await set(ids)).status))
  t.same(statuses, [200, 200, 200], 'changes at the same moment')
  t.equal((await codes()).length, 1)
  await set([])
  t.same(await codes(), [])
  const all = await admin.get<{ data: unknown[] }>('/user/roles/1/menus')
  t.ok(all.body.data.length > 30, 'super_admin has all')
})

await t.test('grants resources once and takes them by id and type', async (t) => {
  const id = await addRole('resources')
  const grant = (resources: unknown) => admin.post<Failure>(`/user/roles/${id}/associate-resource`, { resources })
  const device = { id: 'd1', type: 'DEVICE' }
  t.equal((await grant([device, device, { id: 'ping', type: 'INTEGRATION' }])).status, 200)
  t.equal((await grant([device])).status, 200)
  t.match(await page(`/user/roles/${id}/resources`), { total: 2 })
  const devices = await page(`/user/roles/${id}/resources`, { resource_type: 'DEVICE' })
  t.same(devices.content, [{ resource_id: 'd1', resource_type: 'DEVICE' }])
  const roles = await page('/user/roles/search', { keyword: 'resources' })
  t.match(roles.content[0], { role_integration_count: 1 })
  const take = (resources: unknown) => admin.post(`/user/roles/${id}/disassociate-resource`, { resources })
  await take([{ id: 'd1', type: 'DASHBOARD' }])
  t.match(await page(`/user/roles/${id}/resources`), { total: 2 }, 'another type is another thing')
  await take([device, { id: 'ping', type: 'INTEGRATION' }])
  t.same(await page(`/user/roles/${id}/resources`), emptyPage)
  for (const bad of [[], undefined, [{ id: 'd1' }], [{ id: { $gt: '' }, type: 'DEVICE' }], [{ id: 'd', type: 'X' }]]) {
    t.equal((await grant(bad)).status, 400, JSON.stringify(bad))
  }
})

await t.test('takes as many resources as a role may have, those that it has counted once', async (t) => {
  const id = await addRole('nearly full')
  const resources = Array.from({ length: 4_999 }, (_, number) => `DEVICE:${number}`)
  const role = { _id: `default/${id}` as never }
  await store.connection.collection('roles').updateOne(role, { $set: { resources } })
  const grant = (...ids: string[]) =>
    admin.post<Failure>(`/user/roles/${id}/associate-resource`, {
      resources: ids.map((own) => ({ id: own, type: 'DEVICE' }))
    })
  t.equal((await grant('1', '2', 'last')).status, 200)
  t.match((await grant('one-more')).body, { error_message: /at most 5000 resources/ })
  t.match(await page(`/user/roles/${id}/resources`), { total: 5_000 })
})

await t.test('answers ids alone while devices is away', async (t) => {
  const id = await addRole('nameless')
  await admin.post(`/user/roles/${id}/associate-resource`, { resources: [{ id: '42', type: 'DASHBOARD' }] })
  const granted = await page(`/user/roles/${id}/dashboards`)
  t.match(granted, { total: 1, content: [{ dashboard_id: '42', dashboard_name: '' }] })
  t.same(await page(`/user/roles/${id}/undistributed-dashboards`), emptyPage)
})

await t.test('names what devices owns by one look-up per list', async (t) => {
  const devices = await serveNames()
  const id = await addRole('named')
  const resources = [
    { id: 'd1', type: 'DEVICE' },
    { id: 'd2', type: 'DASHBOARD' },
    { id: 'ping', type: 'INTEGRATION' }
  ]
  await admin.post(`/user/roles/${id}/associate-resource`, { resources })
  const owner = { user_id: adminId, user_email: person('admin').email, user_nickname: 'admin', user_deleted: false }

  questions.length = 0
  const granted = await page(`/user/roles/${id}/devices`)
  t.equal(questions.length, 1)
  t.same(granted.content, [
    {
      device_id: 'd1',
      device_name: 'Thing 1',
      integration_id: 'mqtt',
      integration_name: 'MQTT',
      created_at: '1700000000000',
      ...owner,
      role_integration: false
    },
    {
      device_id: 'd3',
      device_name: 'Thing 3',
      integration_id: 'ping',
      integration_name: 'Ping',
      created_at: '1700000000000',
      ...owner,
      role_integration: true
    }
  ])
  t.match(await page(`/user/roles/${id}/undistributed-devices`), { total: 1, content: [{ device_id: 'd2' }] })
  const dashboards = await page(`/user/roles/${id}/dashboards`)
  t.same(dashboards.content, [{ dashboard_id: 'd2', dashboard_name: 'Thing 2', created_at: '1700000000000', ...owner }])
  t.match(await page(`/user/roles/${id}/undistributed-dashboards`), { total: 2 })
  t.match(await page(`/user/roles/${id}/undistributed-integrations`), {
    content: [{ integration_id: 'd1', integration_name: 'Thing 1', device_num: 0, entity_num: 0 }]
  })
  t.same(await page(`/user/roles/${id}/integrations`), emptyPage, 'a grant of what is gone is not shown')
  t.match(await page(`/user/roles/${id}/devices`, { keyword: 'Thing 3' }), { total: 1, content: [{ device_id: 'd3' }] })
  questions.length = 0
  const behind = await page(`/user/roles/${id}/devices`, { page_number: 7, page_size: 1 })
  t.match(behind, { page_number: 1, page_size: 1, total: 2, content: [{ device_id: 'd1' }] })
  t.equal(questions.length, 2)
  t.ok(questions.every(({ tenantId }) => tenantId === 'default'))

  await admin.post(`/user/roles/${id}/associate-user`, { user_ids: [bobId] })
  const has = async (resource_type: string, resource_id: string, userId = bobId) => {
    const path = `/user/members/${userId}/permission`
    const reply = await admin.post<{ data: { has_permission: boolean } }>(path, { resource_type, resource_id })
    return reply.body.data.has_permission
  }
  t.equal(await has('DEVICE', 'd1'), true)
  t.equal(await has('DEVICE', 'd3'), true, 'by its integration')
  t.equal(await has('DEVICE', 'd2'), false)
  t.equal(await has('DASHBOARD', 'd2'), true)
  t.equal(await has('ENTITY', 'd2'), false)
  t.equal(await has('ENTITY', 'd2', adminId), true, 'a super admin has everything')
  t.equal(await has('DASHBOARD', 'd2', '999'), false)

  const resource = { id: 'd2', type: 'DASHBOARD' as const }
  await devices.publish(resourceDeleted, { tenantId: 'default', resource, at: Date.now() })
  const isGone = async () => (await page(`/user/roles/${id}/resources`, { resource_type: 'DASHBOARD' })).total === 0
  await until(isGone, { what: 'the grant to go with its resource' })
  await devices.close()
})

const changes: [string, string, unknown][] = [
  ['post', '', { name: 'x' }],
  ['put', '/ID', { name: 'x' }],
  ['delete', '/ID', undefined],
  ['post', '/ID/associate-menu', { menu_ids: [] }],
  ['post', '/ID/associate-user', { user_ids: [] }],
  ['post', '/ID/disassociate-user', { user_ids: [] }],
  ['post', '/ID/associate-resource', { resources: [{ id: '1', type: 'DEVICE' }] }],
  ['post', '/ID/disassociate-resource', { resources: [{ id: '1', type: 'DEVICE' }] }]
]
const looks = [
  'members',
  'resources',
  'integrations',
  'devices',
  'dashboards',
  'undistributed-dashboards',
  'undistributed-users',
  'undistributed-integrations',
  'undistributed-devices'
]

async function send(session: Session, [method, path, body]: [string, string, unknown], id: string) {
  const headers = { 'content-type': 'application/json' }
  const text = body === undefined ? undefined : JSON.stringify(body)
  return session.send<Failure>(method.toUpperCase(), `/user/roles${path.replace('ID', id)}`, text, headers)
}

await t.test('lets nobody but super admins change roles', async (t) => {
  const id = await addRole('guarded')
  for (const change of changes) {
    const { status, body } = await send(bob, change, id)
    t.match([status, body.error_code], [403, 'forbidden_permission'], change.join(' '))
  }
  t.equal((await bob.post('/user/roles/search', {})).status, 200)
})

await t.test('shows and changes nothing of another tenant', async (t) => {
  const id = await addRole('private')
  await admin.post(`/user/roles/${id}/associate-user`, { user_ids: [bobId] })
  for (const change of changes.slice(1)) {
    const { status, body } = await send(tina, change, id)
    t.match([status, body.error_code], [404, 'role_does_not_exit'], change.join(' '))
  }
  for (const look of looks) t.equal((await tina.post(`/user/roles/${id}/${look}`, {})).status, 404, look)
  for (const look of ['members', 'menus']) t.equal((await tina.get(`/user/roles/${id}/${look}`)).status, 404, look)
  t.notMatch(JSON.stringify(await page('/user/roles/search', {}, tina)), /private/)

  const own = await addRole('of tina', tina)
  t.equal((await tina.post(`/user/roles/${own}/associate-user`, { user_ids: [bobId, adminId] })).status, 200)
  t.same(await page(`/user/roles/${own}/members`, {}, tina), emptyPage, 'people of others are passed over')
  t.match(await page('/user/roles/1/members', {}, tina), { total: 1, content: [{ user_nickname: 'tina' }] })
})

await t.test('refuses hostile and malformed input by field', async (t) => {
  const id = await addRole('robust')
  for (const name of [undefined, '', '   ', 5, null, { $gt: '' }, ['a'], 'n'.repeat(128)]) {
    const reply = await admin.post<Failure>('/user/roles', { name })
    t.match([reply.status, reply.body.error_message], [400, /name/], JSON.stringify(name))
  }
  t.equal((await admin.post('/user/roles', { name: 'ok', description: 'd'.repeat(256) })).status, 400)
  for (const bad of ['abc', '-1', '%7B%22$gt%22:%22%22%7D', '1'.repeat(20)]) {
    t.equal((await admin.delete(`/user/roles/${bad}`)).status, 400, bad)
  }
  for (const list of [undefined, 'all', { $gt: '' }, [{ $gt: '' }], [null], [-1], Array(1001).fill('1')]) {
    t.equal((await admin.post(`/user/roles/${id}/associate-user`, { user_ids: list })).status, 400)
    t.equal((await admin.post(`/user/roles/${id}/associate-menu`, { menu_ids: list })).status, 400)
  }
  for (const keyword of [{ $gt: '' }, 5, ['a'], 'k'.repeat(257)]) {
    for (const look of looks.filter((name) => name !== 'resources')) {
      t.equal((await admin.post(`/user/roles/${id}/${look}`, { keyword })).status, 400, look)
    }
  }
  t.equal((await admin.post('/user/roles/search', { page_number: 0 })).status, 400)
  t.same(await page('/user/roles/search', { keyword: '.*' }), emptyPage, 'a keyword is text, not a pattern')
})
