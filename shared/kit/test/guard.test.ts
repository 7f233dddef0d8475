import { createHmac } from 'node:crypto'
import jwt from 'jsonwebtoken'
import t from 'tap'
import {
  AppError,
  type Bus,
  beaver,
  createGuard,
  createPublicKeys,
  emq,
  listPublicKeys,
  route,
  type Static,
  toCallerData,
  userRevoked
} from '../src/index.js'
import { createRoleCodes } from '../src/roleCodes.js'
import { get, memoryLog, newKey, someCaller, startApp, type TestKey, tokenFor, until } from './support.js'

const key = newKey('k1')
const other = newKey('k2')
const rogue = newKey('k1')

type Revoked = Static<typeof userRevoked.data>

/** The two methods of a bus that the guard needs, driven by hand. */
function handBus(keys: () => Promise<TestKey[]>) {
  const state = { fetches: 0, sinceMs: 0, stopped: false, emit: (_: Revoked) => {} }
  const bus = {
    async request(contract: { operation: string }) {
      if (contract.operation !== listPublicKeys.operation) throw new AppError('bad_credentials', 'no')
      state.fetches += 1
      return { keys: (await keys()).map(({ kid, pem }) => ({ kid, pem })) }
    },
    async watch(contract: { subject: string }, options: { sinceMs: number }, handle: (data: Revoked) => void) {
      if (contract.subject !== userRevoked.subject) return { stop: async () => {} }
      state.emit = handle
      state.sinceMs = options.sinceMs
      return {
        stop: async () => {
          state.stopped = true
        }
      }
    }
  }
  return { state, bus: bus as unknown as Pick<Bus, 'request' | 'watch'> }
}

const revoked = (minVersion: number, userId = 'u1') => ({ userId, tenantId: 'default', minVersion, at: Date.now() })

function base64(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

const claims = {
  sub: 'a@example.org',
  USER_ID: 'u1',
  TENANT_ID: 'default',
  nickname: 'Ann',
  email: 'a@example.org',
  ver: 3,
  adm: true,
  codes: [],
  iss: 'fleetgate'
}

t.test('a good token names its caller', async (t) => {
  const { bus } = handBus(async () => [key])
  const guard = await createGuard({ bus, log: memoryLog() })
  t.teardown(() => guard.close())
  const token = tokenFor(key, { codes: new Set(['job.run', 'job.view']) })
  const caller = guard.token(token)
  t.same({ ...caller, codes: [...caller.codes] }, { ...someCaller, codes: ['job.run', 'job.view'] })
  t.equal(guard.token(token), caller, 'verified once')
  t.same(toCallerData(caller).codes, ['job.run', 'job.view'])
})

t.test('whatever is not a token of ours is refused', async (t) => {
  const { bus } = handBus(async () => [key])
  const guard = await createGuard({ bus, log: memoryLog() })
  t.teardown(() => guard.close())
  const good = tokenFor(key)
  const [header, payload, signature] = good.split('.')
  const hmacInput = `${base64({ alg: 'HS256', typ: 'JWT', kid: 'k1' })}.${payload}`
  const sign = (data: object, options: jwt.SignOptions = {}) =>
    jwt.sign(data, key.privateKey, { algorithm: 'RS256', keyid: 'k1', expiresIn: 60, ...options })
  const cases: Record<string, string> = {
    empty: '',
    'not a token': 'abc',
    'three dots of nothing': '...',
    'a broken header': `e30=.${payload}.${signature}`,
    'no signature': `${header}.${payload}.`,
    'another payload': `${header}.${base64(claims)}.${signature}`,
    'alg none': `${base64({ alg: 'none', kid: 'k1' })}.${base64({ ...claims, exp: 9e9, iat: 1 })}.`,
    'alg none, said in capitals': `${base64({ alg: 'NONE', kid: 'k1' })}.${payload}.`,
    'the public key used as a secret': `${hmacInput}.${createHmac('sha256', key.pem).update(hmacInput).digest('base64url')}`,
    'a stranger with the same key id': tokenFor(rogue),
    'no key id': jwt.sign(claims, key.privateKey, { algorithm: 'RS256', expiresIn: 60 }),
    'another RSA algorithm': jwt.sign(claims, key.privateKey, { algorithm: 'RS512', keyid: 'k1', expiresIn: 60 }),
    'another issuer': sign({ ...claims, iss: 'someone' }),
    'no user': sign({ ...claims, USER_ID: undefined }),
    'codes that are no list': sign({ ...claims, codes: 'job.run' }),
    'no end': jwt.sign(claims, key.privateKey, { algorithm: 'RS256', keyid: 'k1' }),
    'not yet valid': sign(claims, { notBefore: 600 }),
    'far too long': `${good}${'a'.repeat(20_000)}`
  }
  for (const [what, token] of Object.entries(cases)) {
    t.throws(() => guard.token(token), { code: 'unauthenticated' }, what)
    await t.rejects(guard.verify({ bearer: token }, '::1'), { code: 'unauthenticated' }, what)
  }
  t.equal(guard.token(good).userId, 'u1')
})

t.test('a token ends when it says so, also when it is remembered, and after 25 hours at the latest', async (t) => {
  let now = Date.now()
  const { kid, pem } = key
  const guard = await createGuard({ log: memoryLog(), keys: async () => [{ kid, pem }], now: () => now })
  t.teardown(() => guard.close())
  const short = tokenFor(key, {}, { now, seconds: 60 })
  const long = tokenFor(key, {}, { now, seconds: 90 * 86_400 })
  now += 58_000
  t.equal(guard.token(short).userId, 'u1')
  t.equal(guard.token(long).userId, 'u1')
  now += 2_001
  t.throws(() => guard.token(short), { code: 'token_expired' }, 'remembered')
  t.throws(() => guard.token(tokenFor(key, { email: 'b' }, { now: now - 61_000, seconds: 60 })), {
    code: 'token_expired'
  })
  now += 24 * 3_600_000
  t.equal(guard.token(long).userId, 'u1')
  now += 3_600_000
  t.throws(() => guard.token(long), { code: 'token_expired' })
})

t.test('a revocation counts from its event on, for older versions only', async (t) => {
  const { bus, state } = handBus(async () => [key])
  const guard = await createGuard({ bus, log: memoryLog() })
  const token = tokenFor(key)
  t.equal(state.sinceMs, 25 * 3_600_000)
  t.equal(guard.token(token).version, 3)
  state.emit(revoked(3))
  t.equal(guard.token(token).version, 3, 'the lowest version allowed')
  state.emit(revoked(4))
  t.throws(() => guard.token(token), { code: 'unauthenticated' })
  t.throws(() => guard.token(tokenFor(key, { nickname: 'fresh signature' })), { code: 'unauthenticated' })
  state.emit(revoked(2))
  t.throws(() => guard.token(token), { code: 'unauthenticated' }, 'an older event does not bring it back')
  t.equal(guard.token(tokenFor(key, { version: 4 })).version, 4)
  t.equal(guard.token(tokenFor(key, { userId: 'u2' })).userId, 'u2')
  guard.revoke('u2', 9)
  t.throws(() => guard.token(tokenFor(key, { userId: 'u2' })), { code: 'unauthenticated' })
  await guard.close()
  t.ok(state.stopped)
})

t.test('an unknown key is asked for, at most once a second', async (t) => {
  let now = Date.now()
  let served = [key]
  const { bus, state } = handBus(async () => served)
  const guard = await createGuard({ bus, log: memoryLog(), now: () => now })
  t.teardown(() => guard.close())
  t.equal(state.fetches, 1)
  now += 1001
  served = [other, key]
  const credentials = { bearer: tokenFor(other) }
  t.throws(() => guard.token(credentials.bearer), { code: 'unauthenticated' }, 'not asked for synchronously')
  const callers = await Promise.all([1, 2, 3].map(() => guard.verify(credentials, '::1')))
  t.same(
    callers.map(({ userId }) => userId),
    ['u1', 'u1', 'u1']
  )
  t.equal(state.fetches, 2)
  const strange = { bearer: tokenFor(newKey('k9')) }
  for (let i = 0; i < 5; i++) await t.rejects(guard.verify(strange, '::1'), { code: 'unauthenticated' })
  t.equal(state.fetches, 2, 'within the same second nobody asks')
  now += 1001
  for (let i = 0; i < 5; i++) await t.rejects(guard.verify(strange, '::1'), { code: 'unauthenticated' })
  t.equal(state.fetches, 3)
})

t.test('a withdrawn key is forgotten with the tokens it verified', async (t) => {
  let now = Date.now()
  let served = [key]
  const { bus } = handBus(async () => served)
  const guard = await createGuard({ bus, log: memoryLog(), now: () => now })
  t.teardown(() => guard.close())
  const token = tokenFor(key)
  t.equal(guard.token(token).userId, 'u1')
  served = [other]
  now += 1001
  await guard.verify({ bearer: tokenFor(other) }, '::1')
  t.throws(() => guard.token(token), { code: 'unauthenticated' })
})

t.test('before auth is there nobody is judged, and the keys come by themselves', async (t) => {
  let isUp = false
  const { bus, state } = handBus(async () => {
    if (!isUp) throw new AppError('unavailable', 'nobody answers')
    return [key]
  })
  const log = memoryLog()
  const guard = await createGuard({ bus, log })
  t.teardown(() => guard.close())
  t.notOk(guard.isReady())
  t.throws(() => guard.token(tokenFor(key)), { code: 'unavailable' })
  await t.rejects(guard.verify({ bearer: tokenFor(key) }, '::1'), { code: 'unavailable' })
  t.equal(state.fetches, 1)
  const path = '/device'
  const routes = [route({ method: 'get', path, summary: 'x', needs: 'signedIn', handle: () => 1 })]
  const { url } = await startApp(t, { guard, apis: [{ dialect: beaver, routes }] })
  t.equal((await get(`${url}${path}`, { 'x-auth-token': tokenFor(key) })).status, 503)
  t.same((await get(`${url}/readyz`)).body, { status: 'not ready', failing: ['keys'] })
  isUp = true
  await until(() => guard.isReady() || undefined, 'the keys')
  t.equal(guard.token(tokenFor(key)).userId, 'u1')
  t.equal((await get(`${url}/readyz`)).status, 200)
})

t.test('a key that cannot be asked for is no proof against a token', async (t) => {
  let now = Date.now()
  let isUp = true
  const { bus } = handBus(async () => {
    if (!isUp) throw new AppError('unavailable', 'nobody answers')
    return [key]
  })
  const guard = await createGuard({ bus, log: memoryLog(), now: () => now })
  t.teardown(() => guard.close())
  isUp = false
  now += 1001
  await t.rejects(guard.verify({ bearer: tokenFor(other) }, '::1'), { code: 'unavailable' })
  t.equal((await guard.verify({ bearer: tokenFor(key) }, '::1')).userId, 'u1', 'known keys go on')
})

t.test('HTTP Basic', async (t) => {
  let now = Date.now()
  const asked: string[] = []
  let version = 3
  const verifyBasic = async (question: { username: string; password: string; address: string }) => {
    asked.push(question.address)
    if (question.username === 'slow@example.org') throw new AppError('rate_limited', 'slow down')
    if (question.password !== 'right:word') throw new AppError('bad_credentials', 'no')
    return { ...toCallerData(someCaller), version }
  }
  const { kid, pem } = key
  const guard = await createGuard({ log: memoryLog(), keys: async () => [{ kid, pem }], verifyBasic, now: () => now })
  t.teardown(() => guard.close())
  const routes = [route({ method: 'get', path: '/api/v2/x', summary: 'x', needs: 'device.view', handle: () => 1 })]
  const { url } = await startApp(t, { guard, apis: [{ dialect: emq, routes }] })
  const ask = (user: string, password: string) =>
    get(`${url}/api/v2/x`, { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` })

  await t.test('takes a user name and a password with a colon in it, and tells the address', async (t) => {
    t.same((await ask('a@example.org', 'right:word')).body, { code: 0, result: 1 })
    t.same(asked.splice(0), ['127.0.0.1'])
  })
  await t.test('asks once for 30 seconds', async (t) => {
    for (let i = 0; i < 3; i++) t.equal((await ask('a@example.org', 'right:word')).status, 200)
    t.same(asked, [])
    now += 30_001
    const answers = await Promise.all([1, 2, 3].map(() => guard.basic('a@example.org', 'right:word', '::1')))
    t.equal(answers.length, 3)
    t.equal(asked.splice(0).length, 1, 'equal questions at the same time are one')
  })
  await t.test('remembers no refusal', async (t) => {
    for (let i = 0; i < 2; i++) {
      const answer = await ask('a@example.org', 'wrong')
      t.equal(answer.status, 401)
      t.equal(answer.text, '')
    }
    t.equal(asked.splice(0).length, 2)
    t.equal((await ask('slow@example.org', 'right:word')).status, 429)
    asked.length = 0
  })
  await t.test('refuses what cannot be a user name without asking', async (t) => {
    t.equal((await ask('a'.repeat(400), 'right:word')).status, 401)
    t.equal((await get(`${url}/api/v2/x`, { authorization: 'Basic !!!' })).status, 401)
    t.same(asked, [])
  })
  await t.test('asks again after a revocation, and believes no answer older than it', async (t) => {
    guard.revoke('u1', 4)
    t.equal((await ask('a@example.org', 'right:word')).status, 401)
    version = 4
    t.equal((await ask('a@example.org', 'right:word')).status, 200)
    t.equal(asked.splice(0).length, 2)
  })
})

t.test('a guard without bus or keys is a mistake', async (t) => {
  await t.rejects(createGuard({ log: memoryLog() }), { message: /needs a bus or keys/ })
})

t.test('keys and roles are asked for again after the clock was set back', async (t) => {
  let clock = Date.UTC(2030, 0, 1)
  let asked = 0
  const fetch = async () => {
    asked += 1
    throw new AppError('unavailable', 'auth is away')
  }
  const options = { fetch, onChange: () => {}, log: memoryLog(), now: () => clock }
  for (const source of [createPublicKeys(options), createRoleCodes(options)]) {
    t.teardown(source.stop)
    asked = 0
    await source.refresh()
    clock -= 3_600_000
    await source.refresh()
    t.equal(asked, 2)
  }
})
