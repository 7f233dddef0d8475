import { connectBus, verifySignature } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, type Session, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Failure, person, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const env = { SERVICE_TOKENS_PER_USER: '3' }
const api = await startAuthFor(t, parts, env)
const replica = await startAuthFor(t, parts, env)
const bus = await connectBus({ name: 'elsewhere', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_auth', log: quietLog })
t.teardown(() => store.close())

await api.register(person('admin'))
const admin = api.as((await tokensOf(api, 'admin')).access_token)
const base = '/v3.0/OS-CREDENTIAL/credentials'
/** A route that asks who the caller is, and no more. */
const asked = '/v3/projects'

interface Credential {
  access: string
  secret: string
  user_id: string
  status: string
}

async function idOf(who: Session): Promise<string> {
  return (await who.get<{ data: { user_id: string } }>('/user')).body.data.user_id
}

async function make(who: Session = admin) {
  const credential = { user_id: await idOf(who), description: 'robot' }
  const reply = await who.post<{ credential: Credential }>(base, { credential })
  if (reply.status !== 201) throw new Error(reply.text)
  const { access, secret } = reply.body.credential
  const pair = { accessKey: access, secret }
  return { access, secret, path: `${base}/${access}`, api: api.asKey(pair), onReplica: replica.asKey(pair) }
}

async function addMember(name: string) {
  const reply = await admin.post<{ data: { user_id: string } } & Failure>('/user/members', person(name))
  if (reply.status !== 200) throw new Error(reply.text)
  return { id: reply.body.data.user_id, api: api.as((await tokensOf(api, name)).access_token) }
}

const statusOf = async (who: Session) => (await who.get(asked)).status
const becomes = (who: Session, status: number) =>
  until(async () => (await statusOf(who)) === status, { what: `the answer ${status}`, deadlineMs: 20_000 })

await t.test('signs requests here and at a replica, tells its secret once and keeps it sealed', async (t) => {
  const key = await make()
  t.equal(await statusOf(key.api), 200)
  t.equal(await statusOf(key.onReplica), 200)
  t.equal((await key.api.get(`${asked}?name=a%20b&x=%2F`)).status, 200)
  const shown = [await admin.get(base), await admin.get(key.path), await admin.get('/user/tokens')]
  const audit = await admin.post('/user/audit/search', { target: key.access })
  for (const { text } of [...shown, audit]) {
    t.match(text, key.access)
    t.notMatch(text, key.secret)
  }
  t.match(audit.text, /access-key.create/)
  t.notMatch(JSON.stringify(await store.connection.collection('service_tokens').find().toArray()), key.secret)
  const used = async () => {
    const { credential } = (await admin.get<{ credential: Record<string, string> }>(key.path)).body
    return credential.last_use_time !== credential.create_time
  }
  await until(used, { what: 'its use' })
  t.equal((await admin.delete(key.path)).status, 204)
})

await t.test('is refused everywhere once it is inactive or deleted, and again accepted once active', async (t) => {
  const key = await make()
  const set = (status: string) => admin.put(key.path, { credential: { status } })
  t.same([await statusOf(key.api), await statusOf(key.onReplica)], [200, 200])
  t.equal((await set('inactive')).status, 200)
  await Promise.all([becomes(key.api, 401), becomes(key.onReplica, 401)])
  t.equal((await set('active')).status, 200)
  await Promise.all([becomes(key.api, 200), becomes(key.onReplica, 200)])
  t.equal((await admin.delete(key.path)).status, 204)
  await Promise.all([becomes(key.api, 401), becomes(key.onReplica, 401)])
  t.equal((await admin.get(key.path)).status, 404)
  t.equal((await admin.delete(key.path)).status, 404)
})

await t.test('rests with a disabled person, outlives a new password, and ends with the person', async (t) => {
  const ann = await addMember('ann')
  const key = await make(ann.api)
  await becomes(key.onReplica, 200)
  const setStatus = (status: string) => admin.put(`/user/members/${ann.id}/status`, { status })
  t.equal((await setStatus('DISABLED')).status, 200)
  await Promise.all([becomes(key.api, 401), becomes(key.onReplica, 401)])
  t.equal((await setStatus('ENABLED')).status, 200)
  await Promise.all([becomes(key.api, 200), becomes(key.onReplica, 200)])
  const password = 'another long password'
  t.equal((await admin.put(`/user/members/${ann.id}/change-password`, { password })).status, 200)
  await becomes(key.api, 200)
  t.equal((await admin.delete(`/user/members/${ann.id}`)).status, 200)
  await Promise.all([becomes(key.api, 401), becomes(key.onReplica, 401)])
})

await t.test('acts for its person with all codes of the moment, never as super admin nor on keys', async (t) => {
  const key = await make()
  t.equal((await key.api.post('/user/members', person('nobody'))).status, 401, 'Beaver knows no signatures')
  for (const reply of [
    await key.api.get(base),
    await key.api.get(key.path),
    await key.api.delete(key.path),
    await key.api.post(base, { credential: { user_id: await idOf(admin) } })
  ]) {
    t.match(reply, { status: 403, body: { error: { code: 403, title: 'Forbidden' } } })
  }
  await admin.delete(key.path)
})

await t.test('belongs to its maker; super admins of the tenant may look at it and delete it', async (t) => {
  const [bob, carl] = [await addMember('bob'), await addMember('carl')]
  const key = await make(bob.api)
  t.equal((await carl.api.get(key.path)).status, 404)
  t.equal((await carl.api.delete(key.path)).status, 404)
  t.equal((await carl.api.get(`${base}?user_id=${bob.id}`)).status, 403)
  t.equal((await admin.post(base, { credential: { user_id: bob.id } })).status, 403, 'nobody acts for others')
  await admin.post('/user/tenants', { ...person('boss'), tenant_id: 'other', name: 'Other' })
  const boss = api.as((await tokensOf(api, 'boss')).access_token)
  t.equal((await boss.get(key.path)).status, 404)
  t.match((await boss.get<object>(`${base}?user_id=${bob.id}`)).body, { credentials: [] })
  t.match((await admin.get<object>(`${base}?user_id=${bob.id}`)).body, { credentials: [{ access: key.access }] })
  t.equal((await admin.delete(key.path)).status, 204)
})

await t.test('holds the limit that service tokens have, against requests at the same moment', async (t) => {
  const { api: dora } = await addMember('dora')
  const credential = { user_id: await idOf(dora) }
  const replies = await Promise.all(Array.from({ length: 6 }, () => dora.post(base, { credential })))
  t.same(replies.map(({ status }) => status).sort(), [201, 201, 201, 400, 400, 400])
})

await t.test('refuses bad input naming the field, and strangers over RPC', async (t) => {
  const bad: [string, object][] = [
    ['credential', {}],
    ['user_id', { credential: {} }],
    ['user_id', { credential: { user_id: { $gt: '' } } }],
    ['description', { credential: { user_id: '1', description: 'x'.repeat(256) } }]
  ]
  for (const [field, body] of bad) {
    t.match(await admin.post(base, body), { status: 400, body: { error: { message: new RegExp(field), code: 400 } } })
  }
  const key = await make()
  for (const status of ['off', { $ne: '' }, 1]) {
    t.equal((await admin.put(key.path, { credential: { status } })).status, 400)
  }
  t.equal((await admin.get(`${base}/%7B%22$gt%22:%22%22%7D`)).status, 404)
  const question = { accessKey: key.access, texts: ['x'], signature: '0'.repeat(64) }
  await t.rejects(bus.request(verifySignature, question), { code: 'unauthenticated' })
  await t.rejects(bus.request(verifySignature, { ...question, accessKey: 'x' }), { code: 'unauthenticated' })
  await admin.delete(key.path)
})

interface Login {
  name?: unknown
  password?: unknown
  domain?: unknown
  scope?: unknown
  methods?: unknown
}

function logIn({ name = person('admin').email, password = person('admin').password, domain, scope, methods }: Login) {
  const identity = { methods: methods ?? ['password'], password: { user: { name, password, domain } } }
  return api.post<{ token: Record<string, unknown> }>('/v3/auth/tokens', { auth: { identity, scope } })
}

await t.test('logs in as IAM does, and the token of the header is good in X-Auth-Token', async (t) => {
  const reply = await logIn({ domain: { name: 'default' }, scope: { domain: { name: 'default' } } })
  t.match(reply, { status: 201, body: { token: { domain: { id: 'default' } } } })
  t.notOk('project' in reply.body.token)
  const token = reply.headers.get('x-subject-token') ?? ''
  t.notMatch(reply.text, token)
  t.equal((await api.get('/user', { 'x-auth-token': token })).status, 200)
  const bare = await api.post<{ token: object }>('/v3/auth/tokens?nocatalog=1', {
    auth: {
      identity: {
        methods: ['password'],
        password: { user: { name: person('admin').email, password: person('admin').password } }
      }
    }
  })
  t.match(bare, { status: 201, body: { token: { catalog: [], domain: { id: 'default' } } } })
})

await t.test('refuses log-ins like every other, also for a project or an account of others', async (t) => {
  const refused = { status: 401, body: { error: { code: 401, title: 'Unauthorized', message: String } } }
  t.match(await logIn({ password: 'wrong' }), refused)
  t.match(await logIn({ name: 'nobody@example.com' }), refused)
  t.match(await logIn({ domain: { name: 'other' } }), refused)
  t.match(await logIn({ scope: { project: { id: 'other' } } }), refused)
  t.match(await logIn({ scope: { project: { name: 'default' }, domain: { id: 'other' } } }), refused)
  const broken: [string, Login][] = [
    ['methods', { methods: ['totp'] }],
    ['methods', { methods: ['password', 'totp'] }],
    ['name', { name: { $gt: '' } }],
    ['password', { password: 1 }],
    ['scope', { scope: 'default' }]
  ]
  for (const [field, login] of broken) {
    t.match(await logIn(login), { status: 400, body: { error: { message: new RegExp(field) } } }, field)
  }
  t.match(await api.post('/v3/auth/tokens', {}), { status: 400, body: { error: { message: /auth is required/ } } })
})

await t.test('its wrong passwords count with those of the other log-ins', async (t) => {
  const strict = await startAuthFor(t, parts, { LOGIN_FREE_PER_ACCOUNT: '2' })
  const body = (password: string) => ({
    auth: { identity: { methods: ['password'], password: { user: { name: person('bob').email, password } } } }
  })
  t.equal((await strict.post('/v3/auth/tokens', body('wrong'))).status, 401)
  t.equal((await strict.post('/v1/user/login', { username: person('bob').email, password: 'wrong' })).status, 401)
  const limited = await strict.post('/v3/auth/tokens', body(person('bob').password))
  t.match(limited, { status: 429, body: { error: { code: 429 } } })
  t.ok(limited.headers.get('retry-after'))
})
