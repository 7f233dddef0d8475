import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { client, type Failure, person, startAuthFor } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_auth', log: quietLog })
t.teardown(() => store.close())
const stored = store.connection.collection('users')

interface Status {
  data: { init: boolean }
}

await t.test('says that nobody is there yet', async (t) => {
  const { status, body } = await api.get<Status>('/user/status')
  t.equal(status, 200)
  t.same(body.data, { init: false })
})

await t.test('refuses bad registrations by field and keeps nothing of them', async (t) => {
  const good = person('first')
  const bad: [field: string, body: unknown][] = [
    ['email', { ...good, email: undefined }],
    ['email', { ...good, email: 'no-address' }],
    ['email', { ...good, email: `${'a'.repeat(250)}@example.com` }],
    ['email', { ...good, email: { $gt: '' } }],
    ['nickname', { ...good, nickname: '' }],
    ['nickname', { ...good, nickname: '   ' }],
    ['nickname', { ...good, nickname: 'n'.repeat(128) }],
    ['nickname', { ...good, nickname: 7 }],
    ['password', { ...good, password: 'short' }],
    ['password', { ...good, password: 'x'.repeat(73) }],
    ['password', { ...good, password: 'é'.repeat(37) }],
    ['password', { ...good, password: 'eight ch\0rs' }],
    ['password', { ...good, password: { $ne: null } }],
    ['password', { ...good, password: ['12345678'] }]
  ]
  for (const [field, body] of bad) {
    const reply = await api.post<Failure>('/user/register', body)
    t.equal(reply.status, 400, JSON.stringify(body))
    t.equal(reply.body.error_code, 'parameter_validation_failed')
    t.match(reply.body.error_message, field)
  }
  t.equal((await api.get<Status>('/user/status')).body.data.init, false)
  t.equal(await stored.countDocuments(), 0)
})

await t.test('refuses broken and oversized bodies', async (t) => {
  const json = { 'content-type': 'application/json' }
  t.equal((await api.send('POST', '/user/register', '{"email":', json)).status, 400)
  t.equal((await api.send('POST', '/user/register', '[]', json)).status, 400)
  t.equal((await api.send('POST', '/user/register', '"text"', json)).status, 400)
  t.equal((await api.post('/user/register', { ...person('a'), nickname: 'n'.repeat(1_100_000) })).status, 413)
  t.equal((await api.post('/user/register')).status, 400, 'no body at all')
})

await t.test('makes exactly one super admin of twenty first registrations at once', async (t) => {
  const names = Array.from({ length: 20 }, (_, i) => `racer${i}`)
  const replies = await Promise.all(names.map((name) => api.post<Failure>('/user/register', person(name))))
  const winners = names.filter((_, i) => replies[i]?.status === 200)
  t.equal(winners.length, 1)
  for (const reply of replies.filter(({ status }) => status !== 200)) {
    t.equal(reply.status, 403)
    t.equal(reply.body.error_code, 'tenant_user_inited')
  }
  t.equal(await stored.countDocuments(), 1)
  t.equal(await stored.countDocuments({ isSuperAdmin: true, tenantId: 'default' }), 1)
  t.equal((await api.get<Status>('/user/status')).body.data.init, true)

  const winner = person(winners[0] ?? '')
  const me = await api.as(await api.login(winner.email, winner.password)).get<{ data: unknown }>('/user')
  t.match(me.body.data, {
    email: winner.email,
    nickname: winner.nickname,
    tenant_id: 'default',
    user_id: /^\d{10,19}$/,
    created_at: /^\d{13}$/,
    roles: [{ role_id: '1', role_name: 'super_admin' }],
    menus: [],
    is_super_admin: true,
    super_admin: true
  })
})

await t.test('stays closed afterwards, for every address alike', async (t) => {
  const taken = await stored.findOne({ isSuperAdmin: true })
  for (const email of ['late@example.com', String(taken?.email)]) {
    const reply = await api.post<Failure>('/user/register', { ...person('late'), email })
    t.equal(reply.status, 403)
    t.equal(reply.body.error_code, 'tenant_user_inited')
  }
})

await t.test('lets anyone in without a role where it is open', async (t) => {
  const open = await startAuthFor(t, parts, { REGISTRATION: 'open' })
  t.equal((await open.post('/user/register', person('guest'))).status, 200)
  const me = await open.as(await open.login(person('guest').email, person('guest').password)).get<{
    data: Record<string, unknown>
  }>('/user')
  t.match(me.body.data, { is_super_admin: false, super_admin: false, tenant_id: 'default' })
  t.notOk('roles' in me.body.data)

  const again = await open.post<Failure>('/user/register', { ...person('guest'), email: 'GUEST@Example.COM' })
  t.equal(again.status, 409)
  t.equal(again.body.error_code, 'user_register_email_exist')
})

await t.test('counts registrations per address where it is open, with log-ins', async (t) => {
  const few = await startAuthFor(t, parts, { REGISTRATION: 'open', LOGIN_FREE_PER_ADDRESS: '4', LOGIN_MAX_WAIT: '300' })
  const from = { 'x-forwarded-for': '203.0.113.9' }
  const bad = { ...person('bad'), password: 'short' }
  for (let i = 0; i < 6; i++) t.equal((await few.post('/user/register', bad, from)).status, 400)
  const before = await stored.countDocuments()
  const names = Array.from({ length: 16 }, (_, i) => `crowd${i % 15}`)
  const replies = await Promise.all(names.map((name) => few.post<Failure>('/user/register', person(name), from)))
  const refused = replies.filter(({ status }) => status === 429)
  t.ok(refused.length > 0, `${refused.length} refused`)
  t.match(refused[0]?.body, { error_code: 'request_too_frequently', error_message: /try again in \d+ s$/ })
  t.equal((await stored.countDocuments()) - before, replies.filter(({ status }) => status === 200).length)
  const logIn = { grant_type: 'password', username: 'crowd@example.com', password: 'x', ...client }
  const other = { 'x-forwarded-for': '203.0.113.10' }
  t.equal((await few.post('/oauth2/token', logIn, other)).status, 401, 'another address is free')
})

await t.test('takes a password of exactly 72 bytes and not by its first 72 alone', async (t) => {
  const open = await startAuthFor(t, parts, { REGISTRATION: 'open' })
  const password = 'ü'.repeat(36)
  t.equal((await open.post('/user/register', { ...person('long'), password })).status, 200)
  t.ok(await open.login('Long@Example.com', password), 'the address is matched whatever its case')
  await t.rejects(open.login('long@example.com', `${password}x`))
  await t.rejects(open.login('long@example.com', `${password}\0`))
})
