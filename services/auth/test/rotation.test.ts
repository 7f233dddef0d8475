import { connectBus, createGuard } from '@fleetgate/kit'
import { createSecrets, loadKeyRing, openStore } from '@fleetgate/store'
import { changeKey, quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { createKeyStore } from '../src/keys/keyStore.js'
import { activeAfterMs, openSigningKeys } from '../src/keys/signingKeys.js'
import { person, refresh, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
const replica = await startAuthFor(t, parts)
await api.register(person('admin'))

const who = {
  userId: '1',
  tenantId: 'default',
  email: 'a@example.com',
  nickname: 'a',
  isSuperAdmin: false,
  codes: new Set<string>(),
  version: 1
}

const kidOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split('.')[0] ?? '', 'base64url').toString()).kid as string
const listed = async (from = api) =>
  (await from.get<{ keys: { kid: string }[] }>('/oauth2/jwks')).body.keys.map(({ kid }) => kid)

await t.test('signs with a new key soon, and both are accepted everywhere meanwhile', async (t) => {
  const bus = await connectBus({ name: 'elsewhere', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const guard = await createGuard({ bus, log: quietLog })
  t.teardown(() => guard.close())
  const before = await tokensOf(api, 'admin')
  const admin = api.as(before.access_token)
  const answers = await Promise.all(
    [api, replica].map((one) =>
      one.as(before.access_token).post<{ data: { kid: string; active_at: string } }>('/oauth2/keys/rotate')
    )
  )
  const [first, second] = answers
  t.equal(first?.status, 200)
  t.same(first?.body.data.kid, second?.body.data.kid, 'replicas at the same moment agree')
  const kid = first?.body.data.kid ?? ''
  t.same(await listed(), [kid, kidOf(before.access_token)])

  const after = await until(
    async () => {
      const tokens = await refresh(api, (await tokensOf(api, 'admin')).refresh_token)
      return kidOf(tokens.body.access_token) === kid ? tokens.body : undefined
    },
    { what: 'a token of the new key' }
  )
  for (const one of [api, replica]) {
    t.equal((await one.as(before.access_token).get('/user')).status, 200)
    t.equal((await one.as(after.access_token).get('/user')).status, 200)
  }
  for (const { access_token } of [before, after]) t.ok(await guard.verify({ bearer: access_token }, ''))
  t.equal((await admin.post('/user/members', person('bob'))).status, 200)
  await until(async () => (await listed(replica))[0] === kid, { what: 'the replica to list it', deadlineMs: 15_000 })
})

await t.test('is for super admins of the first tenant', async (t) => {
  const admin = api.as((await tokensOf(api, 'admin')).access_token)
  await admin.post('/user/tenants', { ...person('boss'), tenant_id: 'other', name: 'Other' })
  for (const name of ['bob', 'boss']) {
    const { access_token } = await tokensOf(api, name)
    t.equal((await api.as(access_token).post('/oauth2/keys/rotate')).status, 403, name)
  }
  t.equal((await api.post('/oauth2/keys/rotate')).status, 401)
})

await t.test('what the old secrets key sealed is sealed anew with the new one, which then is enough', async (t) => {
  const { access_token, refresh_token } = await tokensOf(api, 'admin')
  const admin = api.as(access_token)
  const { user_id } = (await admin.get<{ data: { user_id: string } }>('/user')).body.data
  const made = await admin.post<{ credential: { access: string; secret: string } }>('/v3.0/OS-CREDENTIAL/credentials', {
    credential: { user_id, description: 'robot' }
  })
  const { access, secret } = made.body.credential
  const keys = await listed()
  const change = await changeKey(t, parts, 'fleetgate_auth')
  t.same(change.before, { service_tokens: 1, signing_keys: 2 * keys.length })
  await startAuthFor(t, parts, { SECRETS_KEY_FILE: change.both })
  await change.sealedAnew()

  const later = await startAuthFor(t, parts, { SECRETS_KEY_FILE: change.newest })
  t.equal((await later.asKey({ accessKey: access, secret }).get('/v3/projects')).status, 200)
  t.same(await listed(later), keys)
  t.equal((await refresh(later, refresh_token)).status, 200)
})

await t.test('forgets the old key when its last token has expired, and not before', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'rotation', log: quietLog })
  t.teardown(() => store.close())
  const keyStore = createKeyStore(store)
  await store.sync()
  let clock = Date.UTC(2030, 0, 1)
  const secrets = createSecrets({ keys: loadKeyRing({ file: parts.keyFile }) })
  const options = { store: keyStore, secrets, lifetime: 3600, now: () => clock }
  const keys = await openSigningKeys(options)
  const other = await openSigningKeys(options)
  const caller = { ...who, isSuperAdmin: true }
  const old = keys.kid
  const seed = keys.refreshSeed.toString('hex')
  const { kid } = await keys.rotate(caller)
  t.equal(keys.kid, old, 'listed first')
  t.equal((await other.rotate(caller)).kid, kid, 'asked again meanwhile, it is the same')
  clock += activeAfterMs
  t.equal(keys.kid, kid)
  t.equal(keys.refreshSeed.toString('hex'), seed)
  clock += 3600_000
  await keys.reload()
  t.same(
    keys.publicKeys.map((key) => key.kid),
    [kid, old]
  )
  clock += 120_000
  await keys.reload()
  t.same(
    keys.publicKeys.map((key) => key.kid),
    [kid]
  )
  t.equal((await keyStore.list()).length, 1)
  t.equal((await openSigningKeys(options)).refreshSeed.toString('hex'), seed)

  for (let i = 0; i < 4; i++) {
    await keys.rotate(caller)
    clock += activeAfterMs
  }
  await t.rejects(keys.rotate(caller), { code: 'invalid_state' })
})
