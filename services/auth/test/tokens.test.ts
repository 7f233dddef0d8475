import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { connectBus, listPublicKeys, verifyBasic } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import jwt from 'jsonwebtoken'
import t from 'tap'
import { client, type Failure, person, startAuthFor, type TokenFields, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts, {}, 'real')
const brief = await startAuthFor(t, parts, { ACCESS_TOKEN_TTL: '60' }, 'real')
await api.register(person('ann'))

function ask(fields: Record<string, unknown>) {
  return api.post<TokenFields & Failure>('/oauth2/token', fields)
}

await t.test('answers a log-in as RFC 6749 and as Beaver at once, for a form and for JSON', async (t) => {
  const fields = { grant_type: 'password', username: person('ann').email, password: person('ann').password, ...client }
  for (const body of [new URLSearchParams(fields), fields]) {
    const reply = await api.post<TokenFields & { data: TokenFields }>('/oauth2/token', body)
    t.equal(reply.status, 200)
    const { access_token, refresh_token, token_type, expires_in } = reply.body
    t.same(reply.body.data, { access_token, refresh_token, token_type, expires_in })
    t.match(reply.body, { status: 'Success', request_id: /^[0-9a-f]{32}$/, token_type: 'Bearer', expires_in: 86400 })
    t.equal(reply.headers.get('cache-control'), 'no-store')
    t.equal((await api.as(access_token).get('/user')).status, 200)
  }
})

await t.test('signs tokens that its published key verifies', async (t) => {
  const { access_token } = await tokensOf(brief, 'ann')
  const jwks = await api.get<{ keys: (JsonWebKey & { kid: string })[] }>('/oauth2/jwks')
  t.same(Object.keys(jwks.body), ['keys'], 'no envelope')
  const { header } = jwt.decode(access_token, { complete: true }) ?? {}
  const key = jwks.body.keys.find(({ kid }) => kid === header?.kid)
  t.match(key, { kty: 'RSA', use: 'sig', alg: 'RS256' })
  t.notOk(key && 'd' in key, 'nothing private')
  const claims = jwt.verify(access_token, createPublicKey({ key: key ?? {}, format: 'jwk' })) as jwt.JwtPayload
  t.match(claims, {
    iss: 'fleetgate',
    sub: person('ann').email,
    USER_ID: /^\d+$/,
    TENANT_ID: 'default',
    nickname: 'ann',
    email: person('ann').email,
    createdAt: Number,
    ver: 1,
    adm: true,
    codes: []
  })
  t.equal((claims.exp ?? 0) - (claims.iat ?? 0), 60)
})

await t.test('refuses every wrong grant with 401 and says the same of unknown users and wrong passwords', async (t) => {
  const right = { grant_type: 'password', username: person('ann').email, password: person('ann').password, ...client }
  const wrong = {
    password: { ...right, password: 'not the password' },
    user: { ...right, username: 'nobody@example.com' },
    client: { ...right, client_id: 'other' },
    secret: { ...right, client_secret: 'other' },
    noClient: { ...right, client_id: undefined, client_secret: undefined },
    noUser: { ...right, username: undefined },
    noGrant: { ...right, grant_type: undefined },
    otherGrant: { ...right, grant_type: 'client_credentials' },
    noRefresh: { ...right, grant_type: 'refresh_token' },
    badRefresh: { ...right, grant_type: 'refresh_token', refresh_token: 'made.up' },
    forgedRefresh: { ...right, grant_type: 'refresh_token', refresh_token: `${'A'.repeat(22)}.${'A'.repeat(43)}` }
  }
  const messages: Record<string, string> = {}
  for (const [name, body] of Object.entries(wrong)) {
    const reply = await ask(body)
    t.equal(reply.status, 401, name)
    t.equal(reply.body.error_code, 'authentication_failed', name)
    messages[name] = reply.body.error_message
  }
  t.equal(messages.user, messages.password)
  t.match(messages.noUser, 'username')
  t.match(messages.otherGrant, /^unsupported_grant_type/)
})

await t.test('takes as long for unknown and disabled users as for a wrong password', async (t) => {
  const admin = api.as((await tokensOf(api, 'ann')).access_token)
  const added = await admin.post<{ data: { user_id: string } }>('/user/members', person('off'))
  const disabled = await admin.put(`/user/members/${added.body.data.user_id}/status`, { status: 'DISABLED' })
  t.equal(disabled.status, 200)
  const asked = {
    wrong: { username: person('ann').email, password: 'not the password' },
    unknown: { username: 'nobody@example.com', password: 'not the password' },
    disabled: { username: person('off').email, password: person('off').password },
    impossible: { username: person('ann').email, password: 'x'.repeat(100) }
  }
  const times: Record<string, number[]> = {}
  // In turn, so that whatever else the machine does hits all of them alike.
  for (let i = 0; i < 7; i++) {
    for (const [name, fields] of Object.entries(asked)) {
      const start = performance.now()
      t.equal((await ask({ grant_type: 'password', ...fields, ...client })).status, 401)
      times[name] = [...(times[name] ?? []), performance.now() - start]
    }
  }
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_auth', log: quietLog })
  t.teardown(() => store.close())
  for (const { passwordHash } of await store.connection.collection('users').find().toArray()) {
    t.match(passwordHash, /^\$2b\$10\$/, 'what these times are about')
  }
  const median = (name: string) => times[name]?.sort((a, b) => a - b)[3] ?? 0
  // An answer without a password check takes less than a tenth.
  for (const name of Object.keys(asked)) {
    t.ok(median(name) > median('wrong') / 4, `${name} ${median(name)} ms, wrong ${median('wrong')} ms`)
  }
})

await t.test('refuses wrong types and oversized fields as bad input', async (t) => {
  const right = { grant_type: 'password', username: person('ann').email, password: person('ann').password, ...client }
  for (const bad of [{ username: { $gt: '' } }, { password: { $gt: '' } }, { username: ['a'] }, { grant_type: 1 }]) {
    const reply = await ask({ ...right, ...bad })
    t.equal(reply.status, 400)
    t.match(reply.body.error_message, Object.keys(bad)[0] ?? '')
  }
  t.equal((await ask({ ...right, password: 'x'.repeat(2000) })).status, 400)
  const operators = new URLSearchParams({ grant_type: 'password', 'username[$gt]': '', 'password[$gt]': '', ...client })
  t.equal((await api.post('/oauth2/token', operators)).status, 401)
})

await t.test('logs in the way of Linker', async (t) => {
  const { email, password } = person('ann')
  const reply = await api.post<{ success: boolean; data: Record<string, string> }>('/v1/user/login', {
    username: email,
    password
  })
  t.equal(reply.status, 200)
  t.equal(reply.body.success, true)
  const { id = '', token, userId, user_id } = reply.body.data
  t.equal(id, token)
  t.equal(userId, user_id)
  const me = await api.get<{ data: { user_id: string } }>('/user', { 'x-auth-token': id })
  t.equal(me.body.data.user_id, userId)

  const wrong = await api.post('/v1/user/login', { username: email, password: 'not the password' })
  t.equal(wrong.status, 401)
  t.match(wrong.body, { success: false, error: { code: 'E12004' } })
  const hostile = await api.post('/v1/user/login', { username: { $gt: '' }, password })
  t.equal(hostile.status, 400)
  t.match(hostile.body, { success: false, error: { code: 'E12002', message: /username/ } })
})

await t.test('answers the other services over RPC', async (t) => {
  const bus = await connectBus({ name: 'test', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const { keys } = await bus.request(listPublicKeys, {})
  t.equal(keys.length, 1)
  t.match(keys[0]?.pem, /BEGIN PUBLIC KEY/)

  const { email, password } = person('ann')
  const caller = await bus.request(verifyBasic, { username: email, password, address: '10.0.0.1' })
  t.match(caller, { email, tenantId: 'default', isSuperAdmin: true, version: 1 })
  const refused = bus.request(verifyBasic, { username: email, password: 'not the password', address: '10.0.0.1' })
  await t.rejects(refused, { code: 'bad_credentials' })
})

await t.test('refuses requests without a token, and with one that is not ours', async (t) => {
  t.equal((await api.get('/user')).status, 401)
  t.equal((await api.as('nonsense').get('/user')).status, 401)
  const { access_token } = await tokensOf(api, 'ann')
  const [head, , signature] = access_token.split('.')
  const claims = { ...(jwt.decode(access_token) as object), USER_ID: '1' }
  const forged = [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
  t.equal((await api.as(forged).get('/user')).status, 401)
})
