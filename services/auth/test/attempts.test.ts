import { AppError, connectBus, createPerson } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { createAttemptStore } from '../src/attempts/attemptStore.js'
import { createAttempts } from '../src/attempts/attempts.js'
import { client, type Failure, person, startAuthFor } from './support.js'

const parts = await startParts(t)
const store = await openStore({ uri: parts.mongoUri, database: 'attempts', log: quietLog })
t.teardown(() => store.close())
const attemptStore = createAttemptStore(store)
await store.sync()

const start = Date.UTC(2030, 0, 1)
const rule = { maxWaitMs: 8000, windowMs: 60_000 }
let clock = start
const attempts = createAttempts({
  store: attemptStore,
  limits: { account: { ...rule, free: 3 }, address: { ...rule, free: 6 } },
  now: () => clock
})

/** Seconds to wait, 0 where the attempt is allowed. */
async function waitFor(account: string, address = account): Promise<number> {
  try {
    await attempts.make(account, address, async () => false)
    return 0
  } catch (error) {
    if (error instanceof AppError && error.code === 'rate_limited') return Number(error.details.retryAfter)
    throw error
  }
}

t.beforeEach(() => {
  clock = start
})

await t.test('doubles the wait after the free attempts, up to a bound', async (t) => {
  for (let i = 0; i < 3; i++) t.equal(await waitFor('doubling', `free ${i}`), 0)
  for (const expected of [1, 2, 4, 8, 8]) {
    t.equal(await waitFor('doubling', `blocked ${expected}`), expected)
    clock += expected * 1000
    t.equal(await waitFor('doubling', `waited ${expected}`), 0)
  }
})

await t.test('does not let attempts at the same moment through together', async (t) => {
  const waits = await Promise.all(Array.from({ length: 40 }, (_, i) => waitFor('flood', `from ${i}`)))
  t.equal(waits.filter((wait) => wait === 0).length, 3)
})

await t.test('counts an account whatever its case, and addresses over all accounts', async (t) => {
  for (const name of ['Case@x', 'cAse@x', 'case@X']) t.equal(await waitFor(name, name), 0)
  t.equal(await waitFor('case@x', 'elsewhere'), 1)
  for (let i = 0; i < 6; i++) t.equal(await waitFor(`sprayed ${i}`, 'sprayer'), 0)
  t.equal(await waitFor('sprayed 7', 'sprayer'), 1)
})

await t.test('counts the addresses of one IPv6 network as one, and others apart', async (t) => {
  const own = [':1', ':2%eth0', '0:0:0:3', 'aaaa::4', '1:2:3:4', 'FFFF:0:0:1']
  for (const [i, end] of own.entries()) t.equal(await waitFor(`by IPv6 ${i}`, `2001:0DB8:0:7:${end}`), 0)
  t.equal(await waitFor('by IPv6 7', '2001:db8:0:7::9'), 1)
  for (const other of ['2001:db8:0:8::1', '2001:db8::7', '::ffff:10.0.0.1', '::ffff:10.0.0.2', '::1']) {
    t.equal(await waitFor(other), 0)
  }
})

await t.test('forgets the failures of an account after a right password', async (t) => {
  await waitFor('forgiven', 'a')
  await waitFor('forgiven', 'b')
  t.equal(await attempts.make('forgiven', 'b', async () => true), true)
  for (let i = 0; i < 3; i++) t.equal(await waitFor('forgiven', `c${i}`), 0)
  t.equal(await waitFor('forgiven', 'd'), 1)
})

await t.test('never blocks an address for right passwords', async (t) => {
  for (let i = 0; i < 20; i++) {
    t.equal(await attempts.make(`colleague ${i}`, 'office', async () => true), true)
  }
})

await t.test('leaves an address as it was after a right password, be it close to its limit or beyond', async (t) => {
  for (let i = 0; i < 7; i++) {
    await waitFor(`mistyped ${i}`, 'big office')
    clock += 3000
    for (let colleague = 0; colleague < 3; colleague++) {
      t.equal(await attempts.make(`colleague ${colleague}`, 'big office', async () => true), true)
    }
  }
})

await t.test('forgets failures at an address also where right passwords keep coming', async (t) => {
  for (let i = 0; i < 5; i++) await waitFor(`mistyped before ${i}`, 'polled')
  for (let i = 0; i < 5; i++) {
    clock += 30_000
    t.equal(await attempts.make('poller', 'polled', async () => true), true)
  }
  for (let i = 0; i < 6; i++) t.equal(await waitFor(`mistyped later ${i}`, 'polled'), 0)
})

await t.test('does not count an attempt that could not be tried', async (t) => {
  const busy = async () => {
    throw new AppError('rate_limited', 'too many password checks at once')
  }
  for (let i = 0; i < 20; i++)
    await t.rejects(attempts.make('early bird', 'busy', busy), { message: /password checks/ })
  for (let i = 0; i < 3; i++) t.equal(await waitFor('early bird', 'busy'), 0)
  t.equal(await waitFor('early bird', 'busy'), 1)
})

await t.test('does not count at an address what an account refuses, nor the other way round', async (t) => {
  for (let i = 0; i < 20; i++) await waitFor('old script', 'shared')
  for (let i = 0; i < 3; i++) t.equal(await waitFor(`neighbour ${i}`, 'shared'), 0)
  t.equal(await waitFor('neighbour 3', 'shared'), 1)
  for (let i = 0; i < 5; i++) t.equal(await waitFor('neighbour 4', 'shared'), 1)
  for (let i = 0; i < 3; i++) t.equal(await waitFor('neighbour 4', `home ${i}`), 0)
})

await t.test('keeps a block that is longer than the window', async (t) => {
  const long = { free: 1, maxWaitMs: 3_600_000, windowMs: 60_000 }
  for (const seconds of [1, 2, 4, 8, 16, 32, 64, 128, 256]) {
    await attemptStore.purge(clock)
    const { isRefused, blockedUntil } = await attemptStore.take('long', long, clock)
    t.same({ isRefused, seconds: (blockedUntil - clock) / 1000 }, { isRefused: false, seconds })
    clock = blockedUntil
  }
  await attemptStore.forget('long')
})

await t.test('forgets everything after the window, and purges it', async (t) => {
  for (let i = 0; i < 3; i++) await waitFor('patient')
  t.equal(await waitFor('patient'), 1)
  clock += 62_000
  for (let i = 0; i < 3; i++) t.equal(await waitFor('patient'), 0)
  await attemptStore.purge(clock + 62_000)
  t.equal(await store.connection.collection('login_attempts').countDocuments(), 0)
})

await t.test('keeps no user name in plain text', async (t) => {
  await waitFor('typed into the wrong field', '10.0.0.9')
  const kept = JSON.stringify(await store.connection.collection('login_attempts').find().toArray())
  t.match(kept, '10.0.0.9')
  t.notMatch(kept, 'wrong field')
})

await t.test('answers 429 at the token endpoint, the same for users that do not exist', async (t) => {
  const free = 3
  const api = await startAuthFor(t, parts, { LOGIN_FREE_PER_ACCOUNT: String(free), LOGIN_MAX_WAIT: '300' })
  await api.register(person('ann'))
  for (const username of [person('ann').email, 'nobody@example.com']) {
    const logIn = () =>
      api.post<Failure>('/oauth2/token', { grant_type: 'password', username, password: 'a wrong one', ...client })
    const begin = Date.now()
    const replies = await Promise.all(Array.from({ length: 12 }, logIn))
    // 1 s after the free attempts one more may pass, 2 s later the next: on a slow machine some do.
    const waited = Math.floor(Math.log2((Date.now() - begin) / 1000 + 1))
    const tried = replies.filter(({ status }) => status === 401).length
    t.ok(tried >= free && tried <= free + waited, `${username}: ${tried} attempts in the time of ${waited} waits`)
    const refused = replies.filter(({ status }) => status === 429)
    t.equal(tried + refused.length, replies.length)
    t.ok(refused.length > 0)
    for (const { body, headers } of refused) {
      t.match(body, { error_code: 'request_too_frequently', error_message: /try again in \d+ s$/ })
      t.match(headers.get('retry-after'), /^[1-9]\d*$/)
      t.equal(body.error_message.match(/\d+/)?.[0], headers.get('retry-after'), 'the same as in the text')
    }
  }
})

await t.test('counts every way to write a name as one account, be it somebody or nobody', async (t) => {
  const api = await startAuthFor(t, parts)
  const bus = await connectBus({ name: 'broker-proxy', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const database = await openStore({ uri: parts.mongoUri, database: 'fleetgate_auth', log: quietLog })
  t.teardown(() => database.close())
  const accounts = () => database.connection.collection('login_attempts').countDocuments({ _id: /^account:/ as never })
  const requester = { tenantId: 'default', userId: '1', email: 'a@b.c', isSuperAdmin: true }
  const actor = { ...requester, address: '10.0.0.1', requestId: 'r' }
  const { password } = person('bea')
  const draft = { actor, password, role: '', remark: '', tags: '' }
  await bus.request(createPerson, { ...draft, username: 'bea' })
  await bus.request(createPerson, { ...draft, username: 'cleo', email: 'cleo.b@example.com' })
  const logIn = (username: string, wrong = 'a wrong one') =>
    api.post('/oauth2/token', { grant_type: 'password', username, password: wrong, ...client })
  for (const name of ['bea', 'cleo', 'nobody']) {
    const before = await accounts()
    for (const way of [name, `default/${name}`, name.toUpperCase(), `Default/${name}`, `${name}@default.invalid`])
      t.equal((await logIn(way)).status, 401, way)
    t.equal((await accounts()) - before, 1, name)
  }
  const before = await accounts()
  await logIn('cleo.b@example.com')
  t.equal(await accounts(), before, 'of a person the address too')
  const me = api.as(((await logIn('cleo', password)).body as { access_token: string }).access_token)
  const change = { old_password: 'a wrong one', new_password: 'another password' }
  await me.put('/user/password', change)
  await logIn('default/cleo')
  t.equal(await accounts(), before, 'and the old password of a change')
})
