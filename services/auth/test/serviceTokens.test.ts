import { connectBus, createGuard, userRevoked, verifyServiceToken } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Failure, person, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts, { SERVICE_TOKENS_PER_USER: '5' })
const replica = await startAuthFor(t, parts, { SERVICE_TOKENS_PER_USER: '5' })
const bus = await connectBus({ name: 'elsewhere', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
/** As every other process has one. */
const guard = await createGuard({ bus, log: quietLog })
t.teardown(() => guard.close())
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_auth', log: quietLog })
t.teardown(() => store.close())

await api.register(person('admin'))
const adminToken = (await tokensOf(api, 'admin')).access_token
const admin = api.as(adminToken)

interface Token {
  id: string
  token: string
  name: string
  codes: string[]
  created_at: string
  expires_at: string
  last_used_at?: string
}
type Body<T> = { data: T } & Failure

async function make(who = admin, fields: object = {}): Promise<Token> {
  const reply = await who.post<Body<Token>>('/user/tokens', { name: 'robot', codes: ['job.view'], ...fields })
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data
}

async function addMember(name: string) {
  const reply = await admin.post<Body<{ user_id: string }>>('/user/members', person(name))
  if (reply.status !== 200) throw new Error(reply.text)
  const { access_token } = await tokensOf(api, name)
  return { id: reply.body.data.user_id, api: api.as(access_token) }
}

/** Whether a guard of another process accepts it. */
async function isGood(bearer: string): Promise<boolean> {
  return guard.verify({ bearer }, '').then(
    () => true,
    () => false
  )
}

await t.test('tells the token once, keeps no secret, and lists it without', async (t) => {
  const made = await make(admin, { name: 'shown once' })
  t.match(made.token, /^fgt_[0-9a-f]{32}_[A-Za-z0-9_-]{43}$/)
  const secret = made.token.slice(-43)
  const listed = await admin.get<Body<Token[]>>('/user/tokens')
  t.match(listed.body.data[0], { id: made.id, name: 'shown once', codes: ['job.view'] })
  t.notMatch(listed.text, secret)
  const found = await admin.post<Body<{ total: number }>>('/user/tokens/search', {})
  t.equal(found.body.data.total, 1)
  t.notMatch(found.text, secret)
  t.notMatch(JSON.stringify(await store.connection.collection('service_tokens').find().toArray()), secret)
  t.equal((await admin.delete(`/user/tokens/${made.id}`)).status, 200)
})

await t.test('is accepted here, by a replica and by guards elsewhere, with its codes only', async (t) => {
  const made = await make(admin, { codes: ['job.view', 'job.run'] })
  t.equal((await api.as(made.token).get('/user')).status, 200)
  t.equal((await replica.as(made.token).get('/user')).status, 200)
  const caller = await guard.verify({ bearer: made.token }, '')
  t.match(caller, { tenantId: 'default', isSuperAdmin: false, serviceTokenId: made.id })
  t.same([...caller.codes].sort(), ['job.run', 'job.view'])
  t.equal(guard.token(made.token), caller, 'known without asking from now on')
  t.equal((await api.as(made.token).post('/user/members', person('nobody'))).status, 403)
  await until(async () => (await admin.get<Body<Token[]>>('/user/tokens')).body.data[0]?.last_used_at, {
    what: 'its use'
  })
  await admin.delete(`/user/tokens/${made.id}`)
})

await t.test('is dead everywhere within a second of its revocation', async (t) => {
  const made = await make()
  t.ok(await isGood(made.token))
  t.equal((await replica.as(made.token).get('/user')).status, 200)
  t.equal((await admin.delete(`/user/tokens/${made.id}`)).status, 200)
  await until(async () => !(await isGood(made.token)), { what: 'the guard to refuse', deadlineMs: 1000 })
  await until(async () => (await replica.as(made.token).get('/user')).status === 401, {
    what: 'the replica',
    deadlineMs: 1000
  })
  t.equal((await api.as(made.token).get('/user')).status, 401)
  t.equal((await admin.delete(`/user/tokens/${made.id}`)).status, 404)
  t.throws(() => guard.token(made.token), { code: 'unauthenticated' })
})

await t.test('dies with the person who made it', async (t) => {
  const eve = await addMember('eve')
  const id = await makeFor(eve.id, eve.api)
  t.ok(await isGood(id.token))
  t.equal((await admin.delete(`/user/members/${eve.id}`)).status, 200)
  await until(async () => !(await isGood(id.token)), { what: 'the token to die', deadlineMs: 1000 })
  const left = () => store.connection.collection('service_tokens').countDocuments({ userId: eve.id })
  await until(async () => (await left()) === 0, { what: 'what is left of it to go' })
})

await t.test('outlives the end of somebody in another tenant', async (t) => {
  const tokens = store.connection.collection('service_tokens')
  const gone = { tenantId: 'one', userId: '77' }
  await tokens.insertMany([gone, { ...gone, tenantId: 'another' }])
  await bus.publish(userRevoked, { ...gone, minVersion: Number.MAX_SAFE_INTEGER, at: Date.now() })
  await until(async () => (await tokens.countDocuments(gone)) === 0, { what: 'the token to go' })
  t.equal((await tokens.deleteMany({ userId: '77' })).deletedCount, 1)
})

/** A member without roles may give nothing away, so a code is put into the record of the person. */
async function makeFor(userId: string, who: typeof admin): Promise<Token> {
  await store.connection.collection('users').updateOne({ _id: userId as never }, { $set: { codes: ['job.view'] } })
  const { access_token } = await tokensOf(api, 'eve')
  t.equal((await who.post('/user/tokens', { name: 'x', codes: ['job.view'] })).status, 403, 'the older token lacks it')
  return make(api.as(access_token))
}

await t.test('survives a password change, which ends the sessions of people', async (t) => {
  const paul = await addMember('paul')
  await store.connection.collection('users').updateOne({ _id: paul.id as never }, { $set: { codes: ['job.view'] } })
  const own = api.as((await tokensOf(api, 'paul')).access_token)
  const made = await make(own)
  t.ok(await isGood(made.token))
  const change = { old_password: person('paul').password, new_password: 'another long one' }
  t.equal((await own.put('/user/password', change)).status, 200)
  await until(async () => (await own.get('/user')).status === 401, { what: 'the session to end', deadlineMs: 1000 })
  t.ok(await isGood(made.token))
})

await t.test('gives away no code that its maker lacks, and none to other service tokens', async (t) => {
  const bob = await addMember('bob')
  const reply = await bob.api.post<Failure>('/user/tokens', { name: 'x', codes: ['job.run'] })
  t.equal(reply.status, 403)
  t.match(reply.body.error_message, 'job.run')
  const made = await make()
  const robot = api.as(made.token)
  t.equal((await robot.post('/user/tokens', { name: 'x', codes: ['job.view'] })).status, 403)
  t.equal((await robot.get('/user/tokens')).status, 403)
  t.equal((await robot.post('/user/tokens/search', {})).status, 403)
  t.equal((await robot.delete(`/user/tokens/${made.id}`)).status, 403)
  await admin.delete(`/user/tokens/${made.id}`)
})

await t.test('shows and revokes those of others to super admins of the same tenant only', async (t) => {
  const carl = await addMember('carl')
  const made = await make()
  t.equal((await carl.api.delete(`/user/tokens/${made.id}`)).status, 404)
  const seen = await carl.api.post<Body<{ total: number }>>('/user/tokens/search', { user_id: '1' })
  t.equal(seen.body.data.total, 0)
  await admin.post('/user/tenants', { ...person('boss'), tenant_id: 'other', name: 'Other' })
  const boss = api.as((await tokensOf(api, 'boss')).access_token)
  t.equal((await boss.delete(`/user/tokens/${made.id}`)).status, 404)
  t.equal((await boss.post<Body<{ total: number }>>('/user/tokens/search', {})).body.data.total, 0)
  t.ok(await isGood(made.token))
  await admin.delete(`/user/tokens/${made.id}`)
})

await t.test('holds the limit per user against requests at the same moment', async (t) => {
  const draft = { name: 'many', codes: ['job.view'] }
  const replies = await Promise.all(
    Array.from({ length: 12 }, (_, i) =>
      (i % 2 ? admin : replica.as(adminToken)).post<Body<Token>>('/user/tokens', draft)
    )
  )
  t.equal(replies.filter(({ status }) => status === 200).length, 5)
  t.ok(replies.every(({ status }) => status === 200 || status === 400))
  for (const { body } of replies) if (body.data) await admin.delete(`/user/tokens/${body.data.id}`)
  t.ok(await make())
})

await t.test('follows the roles of its maker within a second', async (t) => {
  const rita = await addMember('rita')
  const { role_id } = (await admin.post<Body<{ role_id: string }>>('/user/roles', { name: 'r', description: '' })).body
    .data
  const jobView = '10001'
  t.equal((await admin.post(`/user/roles/${role_id}/associate-menu`, { menu_ids: [jobView] })).status, 200)
  t.equal((await admin.post(`/user/roles/${role_id}/associate-user`, { user_ids: [rita.id] })).status, 200)
  const made = await make(api.as((await tokensOf(api, 'rita')).access_token))
  const codes = async () => [...(await guard.verify({ bearer: made.token }, '')).codes]
  t.same(await codes(), ['job.view'])
  t.equal((await admin.post(`/user/roles/${role_id}/associate-menu`, { menu_ids: [] })).status, 200)
  await until(async () => (await codes()).length === 0, { what: 'the code to go', deadlineMs: 1000 })
})

await t.test('ends at its time', async (t) => {
  const { id, token } = await make(admin, { expires_at: Date.now() + 1500 })
  t.ok(await isGood(token))
  await until(async () => !(await isGood(token)), { what: 'the token to expire' })
  t.ok(id)
})

await t.test('refuses bad drafts naming the field, and bad tokens without asking', async (t) => {
  const bad: [string, object][] = [
    ['name', { name: '' }],
    ['name', { name: { $gt: '' } }],
    ['codes', { codes: [] }],
    ['codes', { codes: ['no.such'] }],
    ['codes', { codes: { $gt: '' } }],
    ['expires_at', { expires_at: Date.now() - 1 }],
    ['expires_at', { expires_at: Date.now() + 11 * 365 * 86_400_000 }],
    ['expires_at', { expires_at: { $gt: 0 } }]
  ]
  for (const [field, fields] of bad) {
    const reply = await admin.post<Failure>('/user/tokens', { name: 'x', codes: ['job.view'], ...fields })
    t.equal(reply.status, 400, JSON.stringify(fields))
    t.match(reply.body.error_message, field)
  }
  for (const id of ['x', '%7B%7D', 'f'.repeat(33)]) t.equal((await admin.delete(`/user/tokens/${id}`)).status, 400)
  const made = await make()
  const forged = [`${made.token.slice(0, -3)}AAA`, `fgt_${'0'.repeat(32)}_${'A'.repeat(43)}`, 'fgt_', `${made.token} x`]
  for (const token of forged) t.equal((await api.as(token).get('/user')).status, 401, token)
  await t.rejects(bus.request(verifyServiceToken, { token: forged[0] ?? '' }), { code: 'unauthenticated' })
})
