/** People and programs through the one door: EMQ's users over auth, service tokens at every service. */
import { firstUser, type Session, startStackFor, until } from '@fleetgate/testkit'
import t from 'tap'
import { WebSocket } from 'ws'

const stack = await startStackFor(t)
const { api } = stack
await api.register()
const admin = api.as(await api.login())

interface Emq {
  code: number
  result: unknown
  message?: string
}
interface Person {
  username: string
  email: string
  role: string
  remark: string
  tags: string
  created_at: string
}
const password = 'a long password'

async function codeOf(reply: Promise<{ status: number; body: Emq }>): Promise<number> {
  const { status, body } = await reply
  return status === 200 ? body.code : status
}

async function programWith(codes: string[]): Promise<{ id: string; token: string; api: Session }> {
  const reply = await admin.post<{ data: { id: string; token: string } }>('/user/tokens', { name: 'program', codes })
  if (reply.status !== 200) throw new Error(reply.text)
  return { ...reply.body.data, api: api.as(reply.body.data.token) }
}

await t.test('creates, shows, changes and deletes people in both field sets', async (t) => {
  const full = { username: 'ann', password, email: 'ann@example.com', role: 'viewer', remark: 'night shift' }
  t.same((await admin.post<Emq>('/api/v2/users/', full)).body, { code: 0, result: [] })
  t.same((await admin.post<Emq>('/api/v2/users', { username: 'bob', password, tags: 'ops' })).body, {
    code: 0,
    result: []
  })
  const ann = (await admin.get<Emq>('/api/v2/users/ann')).body.result as Person
  t.match(ann, { username: 'ann', email: 'ann@example.com', role: 'viewer', remark: 'night shift', tags: '' })
  t.match(ann.created_at, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/)
  const everybody = (await admin.get<Emq>('/api/v2/users/')).body.result as Person[]
  t.same(
    everybody.map(({ username }) => username),
    ['admin@example.com', 'ann', 'bob']
  )
  t.match(everybody[0], { role: 'administrator', tags: 'administrator' })
  t.equal(everybody[2]?.email, '')

  t.equal(await codeOf(admin.put<Emq>('/api/v2/users/bob', { email: 'bob@example.com', role: 'x', remark: 'y' })), 0)
  t.equal(await codeOf(admin.put<Emq>('/api/v2/users/bob', { tags: 'day' })), 0)
  const bob = (await admin.get<Emq>('/api/v2/users/bob@example.com')).body.result
  t.match(bob, { username: 'bob', email: 'bob@example.com', role: 'x', remark: 'y', tags: 'day' })
  t.same((await admin.get<Emq>('/api/v2/users/nobody')).body, { code: 0, result: [] })
  t.equal(await codeOf(admin.delete<Emq>('/api/v2/users/bob')), 0)
  t.same((await admin.get<Emq>('/api/v2/users/bob')).body.result, [])
  t.equal(
    await codeOf(admin.post<Emq>('/api/v2/users', { username: 'bob', password, tags: '' })),
    0,
    'the name is free'
  )
})

await t.test('checks passwords in public, by name or address', async (t) => {
  for (const username of ['ann', 'ANN@example.com', 'default/ann']) {
    t.same((await api.post<Emq>('/api/v2/auth', { username, password })).body, { code: 0, result: [] }, username)
  }
  t.equal(await codeOf(api.post<Emq>('/api/v2/auth', { username: 'ann', password: 'wrong' })), 103)
  t.equal(await codeOf(api.post<Emq>('/api/v2/auth', { username: 'nobody', password })), 103)
  t.equal(await codeOf(api.post<Emq>('/api/v2/auth', { username: 'ann', password: '' })), 104)
  t.equal(await codeOf(api.post<Emq>('/api/v2/auth', { username: 'ann' })), 107)
  t.equal(await codeOf(api.post<Emq>('/api/v2/auth', { username: { $gt: '' }, password })), 108)
  t.equal(await codeOf(api.send<Emq>('POST', '/api/v2/auth', '{"username"')), 109)
  t.equal((await api.asBasic('ann', password).get('/api/v2/users')).status, 403, 'known, but without a role')
  t.equal((await api.asBasic('ann', 'wrong').get('/api/v2/users')).status, 401)
})

await t.test('changes passwords over both routes and ends what was signed in', async (t) => {
  const token = await api.login('ann', password)
  const wish = { username: 'ann', old_pwd: password, new_pwd: 'second password', confirm_pwd: 'second password' }
  t.equal(await codeOf(admin.put<Emq>('/api/v2/users/change_pwd', { ...wish, confirm_pwd: 'other' })), 113)
  t.equal(await codeOf(admin.put<Emq>('/api/v2/users/change_pwd', { ...wish, old_pwd: 'wrong' })), 114)
  t.equal(await codeOf(admin.put<Emq>('/api/v2/users/change_pwd', { ...wish, username: 'nobody' })), 105)
  t.equal(await codeOf(admin.put<Emq>('/api/v2/users/change_pwd', { username: 'ann' })), 107)
  t.equal(await codeOf(admin.put<Emq>('/api/v2/users/change_pwd', { ...wish, new_pwd: 'x', confirm_pwd: 'x' })), 108)
  t.equal((await api.as(token).get('/user')).status, 200)
  t.equal(await codeOf(admin.put<Emq>('/api/v2/users/change_pwd', wish)), 0)
  await until(async () => (await api.as(token).get('/user')).status === 401, {
    what: 'the session to end',
    deadlineMs: 1000
  })
  const back = { old_pwd: 'second password', new_pwd: password }
  t.equal(await codeOf(admin.put<Emq>('/api/v2/change_pwd/ann', { ...back, old_pwd: 'wrong' })), 114)
  t.equal(await codeOf(admin.put<Emq>('/api/v2/change_pwd/nobody', back)), 105)
  t.equal(await codeOf(admin.put<Emq>('/api/v2/change_pwd/ann', back)), 0)
  t.equal(await codeOf(api.post<Emq>('/api/v2/auth', { username: 'ann', password })), 0)
})

await t.test('refuses with the numbers of the original', async (t) => {
  const draft = { username: 'carl', password, tags: '' }
  t.equal(await codeOf(admin.post<Emq>('/api/v2/users', { ...draft, username: 'Ann' })), 113)
  t.equal(await codeOf(admin.post<Emq>('/api/v2/users', { ...draft, email: 'ann@example.com' })), 113)
  t.equal(await codeOf(admin.post<Emq>('/api/v2/users', { username: 'carl' })), 107)
  t.equal(await codeOf(admin.send<Emq>('POST', '/api/v2/users', 'no json')), 109)
  const wrong = [{ username: 'a/b' }, { username: 'a@b.c' }, { username: 'change_pwd' }, { username: { $gt: '' } }]
  for (const fields of [...wrong, { email: 'no' }, { remark: 7 }, { tags: {} }, { password: 'short' }]) {
    t.equal(await codeOf(admin.post<Emq>('/api/v2/users', { ...draft, ...fields })), 108, JSON.stringify(fields))
  }
  t.equal(await codeOf(admin.put<Emq>('/api/v2/users/nobody', { tags: 'x' })), 105)
  t.equal(await codeOf(admin.put<Emq>('/api/v2/users/ann', {})), 107)
  t.equal(await codeOf(admin.delete<Emq>('/api/v2/users/nobody')), 105)
  t.equal((await admin.delete<Emq>('/api/v2/users/admin@example.com')).body.code, 106)
  const hostile = { profile: { userName: 'root' }, isSuperAdmin: true, actor: { isSuperAdmin: true } }
  t.equal(await codeOf(admin.post<Emq>('/api/v2/users', { ...draft, ...hostile })), 0)
  t.match((await admin.get<Emq>('/api/v2/users/carl')).body.result, { username: 'carl', role: '' })
})

await t.test('keeps tenants apart, and super admins from people with broker.edit', async (t) => {
  await admin.post('/user/tenants', {
    tenant_id: 'other',
    name: 'Other',
    email: 'boss@example.com',
    nickname: 'boss',
    password
  })
  const boss = api.as(await api.login('boss@example.com', password))
  t.same((await boss.get<Emq>('/api/v2/users/ann')).body.result, [])
  t.same(
    ((await boss.get<Emq>('/api/v2/users')).body.result as Person[]).map(({ username }) => username),
    ['boss@example.com']
  )
  const wish = { old_pwd: password, new_pwd: 'taken over now' }
  t.equal(await codeOf(boss.put<Emq>('/api/v2/change_pwd/ann', wish)), 105)
  t.equal(await codeOf(boss.put<Emq>('/api/v2/users/ann', { tags: 'x' })), 105)
  t.equal(await codeOf(boss.delete<Emq>('/api/v2/users/ann')), 105)
  t.equal(await codeOf(boss.post<Emq>('/api/v2/users', { username: 'ann', password: 'their own ann', tags: '' })), 0)
  t.equal(await codeOf(api.post<Emq>('/api/v2/auth', { username: 'other/ann', password: 'their own ann' })), 0)
  t.equal(await codeOf(api.post<Emq>('/api/v2/auth', { username: 'ann', password: 'their own ann' })), 103)

  const viewer = await programWith(['broker.view'])
  t.equal((await viewer.api.get('/api/v2/users')).status, 200)
  t.equal((await viewer.api.post('/api/v2/users', { username: 'x', password })).status, 403)
  const editor = await programWith(['broker.edit'])
  t.equal((await editor.api.get('/api/v2/users')).status, 403)
  t.equal((await editor.api.put('/api/v2/users/admin@example.com', { email: 'mine@example.com' })).status, 403)
  t.equal(await codeOf(editor.api.delete<Emq>('/api/v2/users/admin@example.com')), 106)
})

await t.test('records changes of people with the program that made them', async (t) => {
  const editor = await programWith(['broker.edit'])
  t.equal(await codeOf(editor.api.delete<Emq>('/api/v2/users/carl')), 0)
  const found = await admin.post<{ data: { content: object[] } }>('/user/audit/search', {
    action: 'user.delete',
    target: 'carl'
  })
  t.match(found.body.data.content, [{ token_id: editor.id, result: 'succeeded', email: 'admin@example.com' }])
  const stranger = await api.as(editor.token).post('/user/audit/search', {})
  t.equal(stranger.status, 403)
})

await t.test('lets a service token in wherever a token is, and out within a second', async (t) => {
  const program = await programWith([
    'job.view',
    'client.view',
    'broker.view',
    'mqtt_user.view',
    'cluster.view',
    'device.view'
  ])
  const doors = [
    '/user',
    '/v1/jobs',
    '/v1/clients',
    '/api/v2/users',
    '/v2/default/instances/default/users',
    '/v1/cluster'
  ]
  const statuses = () => Promise.all(doors.map(async (path) => (await program.api.get(path)).status))
  const opened = await statuses()
  t.notOk(
    opened.some((status) => status === 401 || status === 403),
    `${opened}`
  )
  t.equal((await api.get('/v1/jobs', { 'x-auth-token': program.token })).status, 200)
  t.equal((await program.api.post('/api/v2/mqtt/publish', { topic: 'a' })).status, 403)
  t.equal((await admin.delete(`/user/tokens/${program.id}`)).status, 200)
  const closed = async () => (await statuses()).every((status) => status === 401)
  await until(closed, { what: 'every service to refuse', deadlineMs: 1000 })
})

await t.test('a service token opens the websocket, and its revocation ends it', async (t) => {
  const program = await programWith(['entity_data.view'])
  const query = new URLSearchParams({ Authorization: `Bearer ${program.token}` })
  const socket = new WebSocket(`${stack.url.replace('http', 'ws')}/websocket?${query}`)
  t.teardown(() => socket.terminate())
  const heard: string[] = []
  let isClosed = false
  socket.on('message', (text) => heard.push(String(text)))
  socket.on('close', () => {
    isClosed = true
  })
  socket.on('open', () => socket.send('{"event_type":"Heartbeat","payload":"ping"}'))
  await until(() => heard.length > 0, { what: 'the heartbeat to come back', deadlineMs: 20_000 })
  t.match(JSON.parse(heard[0] ?? ''), { event_type: 'Heartbeat' })
  t.notOk(isClosed)
  t.equal((await admin.delete(`/user/tokens/${program.id}`)).status, 200)
  await until(() => isClosed, { what: 'the websocket to be closed', deadlineMs: 20_000 })
})

await t.test('a changed role counts at every service within a second, for tokens that are out', async (t) => {
  const person = { email: 'rosa@example.com', nickname: 'rosa', password }
  const made = await admin.post<{ data: { user_id: string } }>('/user/members', person)
  const role = await admin.post<{ data: { role_id: string } }>('/user/roles', { name: 'lookers' })
  const path = `/user/roles/${role.body.data.role_id}`
  // The ids of the seeded menus never change: dashboard, job, broker, mqtt_user and cluster, each to view.
  const menu_ids = ['1001', '10001', '12001', '13001', '14001']
  const doors = ['/dashboard/dashboards', '/v1/jobs', '/api/v2/management/nodes', '/v1/cluster']
  await admin.post(`${path}/associate-user`, { user_ids: [made.body.data.user_id] })
  const rosa = api.as(await api.login(person.email, password))
  const all = async (status: number) =>
    (await Promise.all(doors.map((door) => rosa.get(door)))).every((reply) => reply.status === status)
  t.ok(await all(403), 'a role without menus allows nothing')
  for (const [ids, status] of [
    [menu_ids, 200],
    [[], 403]
  ] as const) {
    t.equal((await admin.post(`${path}/associate-menu`, { menu_ids: ids })).status, 200)
    await until(() => all(status), { what: `${status} at every service`, deadlineMs: 1000 })
  }
})

await t.test('a header that nobody vouches for changes no address in the audit', async (t) => {
  await admin.post('/user/roles', { name: 'forwarded' }, { 'x-forwarded-for': '203.0.113.7' })
  const found = await admin.post<{ data: { content: object[] } }>('/user/audit/search', { action: 'role.create' })
  t.match(found.body.data.content[0], { address: '127.0.0.1', result: 'succeeded' })
})

await t.test(
  'a program of DMS logs in as at IAM, makes an access key, and signs what it asks of MQTT users',
  async (t) => {
    const users = '/v2/default/instances/default/users'
    const identity = {
      methods: ['password'],
      password: { user: { name: firstUser.email, password: firstUser.password } }
    }
    const login = await api.post<{ token: { user: { id: string } } }>('/v3/auth/tokens', { auth: { identity } })
    const person = api.as(login.headers.get('x-subject-token') ?? '')
    t.match(await person.get(users), { status: 200, body: { users: [] } })
    const credential = { user_id: login.body.token.user.id }
    const made = await person.post<{ credential: Record<string, string> }>('/v3.0/OS-CREDENTIAL/credentials', {
      credential
    })
    const { access: accessKey = '', secret = '' } = made.body.credential
    const program = api.asKey({ accessKey, secret })
    const draft = { access_key: 'signed-till', secret_key: 'Till&Password1' }
    t.match(await program.post(users, draft), { status: 200, body: { access_key: 'signed-till' } })
    t.match(await program.put(`${users}/signed-till`, { admin: true }), { status: 200, body: { admin: true } })
    t.match(await program.get(`${users}?offset=0&limit=1`), { status: 200, body: { users: [draft] } })
    t.match(await program.get(`${users}/nobody-here`), { status: 400, body: { error_code: 'DMS.00500972' } })
    t.match(await program.delete(`${users}/signed-till`), { status: 200 })
    t.equal((await program.get('/v2/other/instances/default/users')).status, 401)
    t.equal((await person.delete(`/v3.0/OS-CREDENTIAL/credentials/${accessKey}`)).status, 204)
    await until(async () => (await program.get(users)).status === 401, {
      what: 'the key to be dead',
      deadlineMs: 20_000
    })
  }
)
