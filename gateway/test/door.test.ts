import { AppError, type ServiceName } from '@fleetgate/contracts'
import { createRateLimit } from '@fleetgate/kit'
import t, { type Test } from 'tap'
import { type Answer, askAt, signedIn, startBackend, startFleet, testGuard, token } from './setup.js'

const onePathEach = {
  beaver: '/device/search',
  sdes: '/v1/jobs',
  emq: '/api/v2/nodes',
  dms: '/v2/p/instances/i/users',
  linker: '/v1/cluster'
}

/** The refusal that a client of each API knows. */
function checkRefusal(t: Test, dialect: string, answer: Answer, reason: 'missing' | 'invalid' | 'expired'): void {
  t.equal(answer.status, 401, dialect)
  if (dialect === 'emq') {
    t.equal(answer.body, '')
    t.equal(answer.headers['www-authenticate'], 'Basic realm="emqx control center"')
    return
  }
  const forms: Record<string, object> = {
    beaver: { status: 'Failed', error_code: 'authentication_failed', request_id: String },
    sdes: { code: reason === 'expired' ? 'TOKEN_EXPIRED' : 'UNAUTHENTICATED', message: String },
    dms: { error_code: { missing: 'DMS.10240103', invalid: 'DMS.10240101', expired: 'DMS.10240102' }[reason] },
    linker: { success: false, error: { code: 'E12004' } }
  }
  t.match(answer.json(), forms[dialect] as object, dialect)
}

t.test(
  'a missing, wrong or expired token is refused in the dialect of the path before any service is asked',
  async (t) => {
    const { ask, seen } = await startFleet(t)
    const stranger = `${token().split('.').slice(0, 2).join('.')}.${token({ userId: '2' }).split('.')[2]}`
    for (const [dialect, path] of Object.entries(onePathEach)) {
      checkRefusal(t, dialect, await ask(path), 'missing')
      for (const wrong of [stranger, 'x.y.z', 'nonsense', `${'a'.repeat(8000)}`]) {
        checkRefusal(t, dialect, await ask(path, { headers: { authorization: `Bearer ${wrong}` } }), 'invalid')
      }
      const expired = { authorization: `Bearer ${token({ expiresIn: -5 })}` }
      checkRefusal(t, dialect, await ask(path, { headers: expired }), 'expired')
      checkRefusal(t, dialect, await ask(`${path}?Authorization=${token()}`), 'missing')
    }
    t.equal(seen.length, 0)
  }
)

t.test('a good token opens every dialect, as Bearer and as X-Auth-Token', async (t) => {
  const { ask, seen } = await startFleet(t)
  for (const path of Object.values(onePathEach)) {
    t.equal((await ask(path, { headers: signedIn })).status, 200, path)
    t.equal((await ask(path, { headers: { 'x-auth-token': token() } })).status, 200, path)
  }
  t.equal(seen.length, 10)
  t.equal(seen[0]?.headers.authorization, signedIn.authorization, 'the service can verify it again')
})

t.test('a revoked user is refused at once', async (t) => {
  const { ask, guard } = await startFleet(t)
  const headers = { authorization: `Bearer ${token({ userId: '99', version: 3 })}` }
  t.equal((await ask('/v1/jobs', { headers })).status, 200)
  guard.revoke('99', 4)
  t.equal((await ask('/v1/jobs', { headers })).status, 401)
})

t.test('user name and password open the broker API only', async (t) => {
  const { ask } = await startFleet(t)
  const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })
  t.equal((await ask('/api/v2/nodes', { headers: basic('ann@example.com:right') })).status, 200)
  checkRefusal(t, 'emq', await ask('/api/v2/nodes', { headers: basic('ann@example.com:wrong') }), 'invalid')
  t.equal((await ask('/v1/jobs', { headers: basic('ann@example.com:right') })).status, 401)
})

t.test('while auth cannot be asked for keys the answer is 503, not 401', async (t) => {
  const guard = await testGuard()
  t.teardown(() => guard.close())
  const down = () => {
    throw new AppError('unavailable', 'tokens cannot be checked yet')
  }
  const { ask } = await startFleet(t, { guard: { ...guard, token: down, verify: async () => down() } })
  t.equal((await ask('/v1/jobs', { headers: signedIn })).status, 503)
})

t.test('what a client says of its way is replaced by what the gateway knows', async (t) => {
  const { ask, seen, port } = await startFleet(t)
  const lies = {
    ...signedIn,
    forwarded: 'for=1.2.3.4',
    'x-forwarded-for': '1.2.3.4',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'evil',
    'x-real-ip': '1.2.3.4',
    'x-original-url': '/user/register',
    'proxy-authorization': 'Basic eDp5',
    te: 'trailers',
    'x-mine': 'kept',
    'x-secret': 'named by connection',
    connection: 'close, x-secret, content-length, host, x-forwarded-for'
  }
  t.equal((await ask('/v1/jobs', { headers: lies, method: 'POST', body: 'abc' })).status, 200)
  const headers = seen[0]?.headers ?? {}
  t.match(headers, {
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': `127.0.0.1:${port}`,
    'x-mine': 'kept',
    'content-length': '3',
    connection: 'keep-alive'
  })
  for (const name of ['forwarded', 'x-real-ip', 'x-original-url', 'proxy-authorization', 'te', 'x-secret']) {
    t.equal(headers[name], undefined, name)
  }
})

t.test('behind trusted proxies the address is what the outermost of them saw', async (t) => {
  const { ask, seen } = await startFleet(t, { trustedHops: 2 })
  const chain = { 'x-forwarded-for': '6.6.6.6, 1.2.3.4, 10.0.0.1', 'x-forwarded-proto': 'https' }
  await ask('/v1/jobs', { headers: { ...signedIn, ...chain } })
  t.match(seen[0]?.headers, { 'x-forwarded-for': '1.2.3.4', 'x-forwarded-proto': 'https' })
})

t.test('a request id is passed on and echoed when it is a plain word, else made', async (t) => {
  const { ask, seen } = await startFleet(t)
  const given = await ask('/v1/jobs', { headers: { ...signedIn, 'x-request-id': 'abc-1.2_3' } })
  t.equal(given.headers['x-request-id'], 'abc-1.2_3')
  t.equal(seen[0]?.headers['x-request-id'], 'abc-1.2_3')
  for (const bad of ['a b', 'x'.repeat(65), '<script>']) {
    const answer = await ask('/v1/jobs', { headers: { ...signedIn, 'x-request-id': bad } })
    t.match(answer.headers['x-request-id'], /^[0-9a-f]{32}$/)
    t.equal(seen.at(-1)?.headers['x-request-id'], answer.headers['x-request-id'])
  }
  const refused = await ask('/v1/jobs', { headers: { 'x-request-id': 'mine' } })
  t.equal(refused.headers['x-request-id'], 'mine', 'on refusals too')
})

t.test('a caller over the limit is told so in the dialect, and others are not', async (t) => {
  const { ask, seen } = await startFleet(t, { rateLimit: { perSecond: 0.01, burst: 3 } })
  const as = (userId: string) => ({ authorization: `Bearer ${token({ userId })}` })
  for (let count = 0; count < 3; count++) t.equal((await ask('/v1/jobs', { headers: as('1') })).status, 200)
  const over = await ask('/v1/jobs', { headers: as('1') })
  t.equal(over.status, 429)
  t.match(over.json(), { code: 'RATE_LIMITED' })
  t.ok(Number(over.headers['retry-after']) >= 90, 'says when to come again')
  t.match((await ask('/device/x', { headers: as('1') })).json(), { error_code: 'request_too_frequently' })
  t.equal((await ask('/v1/jobs', { headers: as('2') })).status, 200, 'another caller')
  t.equal(seen.length, 4)
})

t.test('public routes and refusals are limited by address', async (t) => {
  const { ask } = await startFleet(t, { rateLimit: { perSecond: 0.01, burst: 3 } })
  t.equal((await ask('/user/status')).status, 200)
  t.equal((await ask('/v1/jobs')).status, 401)
  t.equal((await ask('/v1/jobs', { headers: { authorization: 'Bearer x' } })).status, 401)
  t.equal((await ask('/v1/jobs', { headers: { authorization: 'Bearer y' } })).status, 429, 'guessing is limited')
  t.equal((await ask('/oauth2/token', { method: 'POST' })).status, 429)
})

t.test('the limit refills with time and forgets the caller unseen for longest', async (t) => {
  const limit = createRateLimit({ perSecond: 2, burst: 2, maxCallers: 2 })
  t.same([limit.take('a', 0), limit.take('a', 0), limit.take('a', 0)], [0, 0, 1])
  t.equal(limit.take('a', 500), 0, 'one token after half a second')
  t.equal(limit.take('a', 500), 1)
  t.equal(limit.take('a', 400), 1, 'a clock that steps back earns nothing')
  limit.take('b', 500)
  limit.take('c', 500)
  t.same([limit.take('a', 500), limit.take('a', 500)], [0, 0], 'a was forgotten')
})

t.test('a dead service is 503 in the dialect of its path, others go on', async (t) => {
  const alive = await startBackend(t, (_req, res) => res.end('{}'))
  const { port } = await startFleet(t, { services: { scheduler: alive.url } as Record<ServiceName, string> })
  const forms: Record<string, object> = {
    beaver: { status: 'Failed', error_code: 'server_error' },
    emq: { code: 101 },
    dms: { error_code: 'DMS.00500000' },
    linker: { success: false, error: { code: 'E12003' } }
  }
  for (const [dialect, form] of Object.entries(forms)) {
    const answer = await askAt(port, onePathEach[dialect as keyof typeof onePathEach], { headers: signedIn })
    t.equal(answer.status, 503, dialect)
    t.match(answer.json(), form, dialect)
  }
  t.equal((await askAt(port, '/v1/jobs', { headers: signedIn })).status, 200)
})
