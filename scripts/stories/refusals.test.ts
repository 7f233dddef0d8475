/**
 * What is wrong is refused at the door, on every dialect, in that dialect's own form: through the gateway, on the
 * whole stack.
 */
import { type Api, createApi, type Reply, type Stack, startStackFor, until } from '@fleetgate/testkit'
import t from 'tap'

interface Probe {
  dialect: string
  /** Reads something; with a good token it succeeds. */
  read: string
  /** Takes a body. */
  write: { path: string; wrongTypes: unknown; injected: unknown }
  /** This dialect's way to say "who are you?" */
  isUnauthenticated: (reply: Reply) => boolean
  /** This dialect's way to refuse input. */
  isRefused: (reply: Reply) => boolean
}

const body = (reply: Reply) => (reply.body ?? {}) as Record<string, unknown>
const keystone = (reply: Reply) => (body(reply).error ?? {}) as Record<string, unknown>
const isClientError = (reply: Reply) => reply.status >= 400 && reply.status < 500

const probes: Probe[] = [
  {
    dialect: 'beaver',
    read: '/dashboard/dashboards',
    write: { path: '/dashboard', wrongTypes: { name: 7 }, injected: { name: { $gt: '' } } },
    isUnauthenticated: (reply) =>
      reply.status === 401 && body(reply).status === 'Failed' && body(reply).error_code === 'authentication_failed',
    isRefused: (reply) =>
      isClientError(reply) && body(reply).status === 'Failed' && typeof body(reply).error_code === 'string'
  },
  {
    dialect: 'sdes',
    read: '/v1/jobs',
    write: { path: '/v1/jobs', wrongTypes: { jobName: [] }, injected: { jobName: { $gt: '' } } },
    isUnauthenticated: (reply) => reply.status === 401 && typeof body(reply).code === 'string',
    isRefused: (reply) =>
      isClientError(reply) && typeof body(reply).code === 'string' && typeof body(reply).message === 'string'
  },
  {
    dialect: 'emq',
    read: '/api/v2/management/nodes',
    write: { path: '/api/v2/mqtt/publish', wrongTypes: { topic: 7 }, injected: { topic: { $gt: '' } } },
    isUnauthenticated: (reply) =>
      reply.status === 401 && !reply.text && /^basic /i.test(reply.headers.get('www-authenticate') ?? ''),
    isRefused: (reply) => reply.status === 200 && Number(body(reply).code) >= 101
  },
  {
    dialect: 'dms',
    read: '/v2/default/instances/default/users',
    write: {
      path: '/v2/default/instances/default/users',
      wrongTypes: { access_key: 7, secret_key: [] },
      injected: { access_key: { $gt: '' }, secret_key: { $gt: '' } }
    },
    isUnauthenticated: (reply) => reply.status === 401 && /^DMS\.10240/.test(String(body(reply).error_code)),
    isRefused: (reply) => isClientError(reply) && /^DMS\./.test(String(body(reply).error_code))
  },
  {
    dialect: 'linker',
    read: '/v1/pubkey',
    write: {
      path: '/v1/pubkey',
      wrongTypes: { name: 7, pubkeyValue: [] },
      injected: { name: { $gt: '' }, pubkeyValue: { $gt: '' } }
    },
    isUnauthenticated: (reply) => reply.status === 401 && body(reply).success === false,
    isRefused: (reply) => isClientError(reply) && body(reply).success === false
  },
  {
    dialect: 'iam',
    read: '/v3.0/OS-CREDENTIAL/credentials',
    write: {
      path: '/v3.0/OS-CREDENTIAL/credentials',
      wrongTypes: { credential: { user_id: [] } },
      injected: { credential: { user_id: { $gt: '' } } }
    },
    isUnauthenticated: (reply) => reply.status === 401 && keystone(reply).code === 401,
    isRefused: (reply) => isClientError(reply) && keystone(reply).code === reply.status
  }
]

/** Short-lived, so that a token can be seen to expire; every block logs in anew. */
const tokenSeconds = 12
const admin = { email: 'admin@example.com', password: 'Abcd1234!' }

let stack: Stack
let api: Api

t.before(async () => {
  stack = await startStackFor(t, { env: { ACCESS_TOKEN_TTL: String(tokenSeconds) } })
  api = createApi(stack.url)
  await api.register({ ...admin, nickname: 'admin' })
})

const logIn = () => api.login(admin.email, admin.password)

t.test('a good token opens every dialect', async (t) => {
  const session = api.as(await logIn())
  for (const probe of probes) {
    const reply = await session.get(probe.read)
    t.equal(reply.status, 200, `${probe.dialect}: ${reply.text}`)
  }
})

t.test('refuses a missing, garbled or forged token in each form', async (t) => {
  const [header, payload] = (await logIn()).split('.')
  const forged = `${header}.${payload}.${Buffer.from('no signature').toString('base64url')}`
  const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`
  for (const probe of probes) {
    t.ok(probe.isUnauthenticated(await api.get(probe.read)), `${probe.dialect}: none`)
    for (const token of ['garbage', forged, none]) {
      const reply = await api.as(token).get(probe.read)
      t.ok(probe.isUnauthenticated(reply), `${probe.dialect}: ${reply.status} ${reply.text}`)
    }
  }
})

t.test('refuses an expired token in each form', async (t) => {
  const token = await logIn()
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp: number }
  await until(() => Date.now() > exp * 1000, { what: 'the token to expire', deadlineMs: (tokenSeconds + 5) * 1000 })
  for (const probe of probes) {
    const reply = await api.as(token).get(probe.read)
    t.ok(probe.isUnauthenticated(reply), `${probe.dialect}: ${reply.status} ${reply.text}`)
  }
})

t.test('a deleted user is refused everywhere within a second', async (t) => {
  const session = api.as(await logIn())
  const doomed = { email: 'doomed@example.com', password: 'Abcd1234!' }
  await session.post('/user/members', { ...doomed, nickname: 'doomed' })
  const token = await api.login(doomed.email, doomed.password)
  const me = await api.as(token).get('/user')
  t.equal(me.status, 200, 'signed in before')
  const userId = (body(me).data as { user_id: string }).user_id
  const removed = await session.delete(`/user/members/${userId}`)
  t.equal(removed.status, 200, removed.text)
  const deletedAt = Date.now()
  await Promise.all(
    probes.map((probe) =>
      until(async () => probe.isUnauthenticated(await api.as(token).get(probe.read)), {
        what: `${probe.dialect} to refuse the deleted user`,
        deadlineMs: 1000
      })
    )
  )
  t.ok(Date.now() - deletedAt <= 1000, 'within a second')
  await t.rejects(api.login(doomed.email, doomed.password), 'no new token either')
})

t.test("another tenant's token sees and touches nothing of this one", async (t) => {
  const here = api.as(await logIn())
  const other = { email: 'other@example.com', password: 'Abcd1234!' }
  const made = await here.post('/user/tenants', { tenant_id: 'other', name: 'Other', nickname: 'other', ...other })
  t.equal(made.status, 200, made.text)
  const there = api.as(await api.login(other.email, other.password))

  const dashboard = body(await here.post('/dashboard', { name: 'mine' })).data as { dashboard_id: string }
  const job = body(await here.post('/v1/jobs', { jobName: 'mine' })) as { jobId: number }
  await here.post('/v1/pubkey/userSelfCreate', { name: 'mine' })
  const [key] = body(await here.get('/v1/pubkey')).data as { _id: string }[]
  const me = body(await here.get('/user')).data as { user_id: string }
  const credential = await here.post('/v3.0/OS-CREDENTIAL/credentials', { credential: { user_id: me.user_id } })
  const own = (body(credential).credential ?? {}) as { access: string }
  const user = { access_key: 'machine_1', secret_key: 'Abcd1234!' }
  t.equal((await here.post('/v2/default/instances/default/users', user)).status, 200)

  const gone = await there.put(`/dashboard/${dashboard.dashboard_id}`, { name: 'stolen', widgets: [] })
  t.same([gone.status, body(gone).error_code], [404, 'data_no_found'])
  const details = await there.get(`/v1/jobs/${job.jobId}/details`)
  t.equal(details.status, 404, details.text)
  t.equal((await there.get(`/v1/pubkey/${key?._id}`)).status, 404)
  const users = await there.get('/v2/default/instances/default/users')
  t.match(body(users), { error_code: 'DMS.10240104' })
  t.match(body(await there.get('/v2/other/instances/default/users')), { total: 0, users: [] })
  t.match(body(await there.get('/api/v2/clients/machine_1')), { code: 0, result: { objects: [] } })
  const keyPath = `/v3.0/OS-CREDENTIAL/credentials/${own.access}`
  t.equal((await here.get(keyPath)).status, 200)
  for (const reply of [await there.get(keyPath), await there.delete(keyPath)]) t.equal(reply.status, 404, reply.text)
  t.match(body(await there.get('/v3.0/OS-CREDENTIAL/credentials')), { credentials: [] })
  t.match(body(await there.get('/dashboard/dashboards')), { status: 'Success', data: [] })
})

t.test('refuses malformed JSON, wrong types, operators and huge bodies in each form, never with a 5xx', async (t) => {
  const session = api.as(await logIn())
  const json = { 'content-type': 'application/json' }
  const huge = JSON.stringify({ name: 'x'.repeat(2 * 1024 * 1024) })
  for (const probe of probes) {
    const { path } = probe.write
    const replies = {
      malformed: await session.send('POST', path, '{"a":', json),
      'wrong types': await session.post(path, probe.write.wrongTypes),
      operator: await session.post(path, probe.write.injected),
      '2 MB': await session.send('POST', path, huge, json),
      'no body': await session.send('POST', path)
    }
    for (const [name, reply] of Object.entries(replies)) {
      t.ok(probe.isRefused(reply), `${probe.dialect}, ${name}: ${reply.status} ${reply.text}`)
    }
  }
})

t.test('answers unknown paths and broken escapes with a 4xx', async (t) => {
  const session = api.as(await logIn())
  const paths = ['/nowhere', '/v1/jobs/abc/details', '/v1/jobs/%E0%A4%A/details', '/dashboard/x/y/z', '/api/v2/nowhere']
  for (const path of paths) {
    const reply = await session.get(path)
    t.ok(isClientError(reply), `${path}: ${reply.status}`)
  }
})
