import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { person, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)

await t.test('agrees on one signing key when four replicas start at once', async (t) => {
  const replicas = await Promise.all([1, 2, 3, 4].map(() => startAuthFor(t, parts)))
  const sets = await Promise.all(replicas.map(async (api) => (await api.get('/oauth2/jwks')).text))
  t.equal(new Set(sets).size, 1)
  t.equal((JSON.parse(sets[0] ?? '') as { keys: unknown[] }).keys.length, 1)

  const [first, second] = replicas
  if (!first || !second) throw new Error('unreachable')
  await first.register(person('ann'))
  const { access_token } = await tokensOf(first, 'ann')
  t.equal((await second.as(access_token).get('/user')).status, 200)
})

await t.test('keeps the key over a restart, sealed', async (t) => {
  const api = await startAuthFor(t, parts)
  const { access_token } = await tokensOf(api, 'ann')
  const later = await startAuthFor(t, parts)
  t.equal((await later.as(access_token).get('/user')).status, 200)

  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_auth', log: quietLog })
  t.teardown(() => store.close())
  const [stored] = await store.connection.collection('signing_keys').find().toArray()
  t.notMatch(JSON.stringify(stored), 'PRIVATE KEY')
  t.match(stored?.sealedPrivatePem, /^v1\./)
})

await t.test('does not start with another secrets key', async (t) => {
  const other = join(parts.dir, 'other.key')
  writeFileSync(other, `other:${Buffer.alloc(32, 7).toString('base64')}\n`, { mode: 0o600 })
  await t.rejects(startAuthFor(t, parts, { SECRETS_KEY_FILE: other }))
})
