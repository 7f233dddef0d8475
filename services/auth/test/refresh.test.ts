import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { person, refresh, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
const strict = await startAuthFor(t, parts, { REFRESH_GRACE: '0' })
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_auth', log: quietLog })
t.teardown(() => store.close())
const sessions = store.connection.collection('sessions')
await api.register(person('ann'))

await t.test('keeps only hashes of refresh tokens', async (t) => {
  const { refresh_token } = await tokensOf(api, 'ann')
  const text = JSON.stringify(await sessions.find().toArray())
  for (const part of refresh_token.split('.')) t.notMatch(text, part)
})

await t.test('renews with a refresh token that changes each time', async (t) => {
  const first = await tokensOf(api, 'ann')
  const second = await refresh(api, first.refresh_token)
  t.equal(second.status, 200)
  t.not(second.body.refresh_token, first.refresh_token)
  t.equal((await api.as(second.body.access_token).get('/user')).status, 200)
  t.equal((await refresh(api, second.body.refresh_token)).status, 200)
})

await t.test('gives fifty refreshes at once one successor and one session', async (t) => {
  await sessions.deleteMany({})
  const { refresh_token } = await tokensOf(api, 'ann')
  const replies = await Promise.all(Array.from({ length: 50 }, () => refresh(api, refresh_token)))
  t.same(new Set(replies.map(({ status }) => status)), new Set([200]))
  t.equal(new Set(replies.map(({ body }) => body.refresh_token)).size, 1)
  t.equal(await sessions.countDocuments(), 1)
  t.equal((await refresh(api, replies[0]?.body.refresh_token ?? '')).status, 200)
})

await t.test('ends the session when a used refresh token comes back later', async (t) => {
  const { refresh_token } = await tokensOf(strict, 'ann')
  const next = await refresh(strict, refresh_token)
  t.equal(next.status, 200)
  t.equal((await refresh(strict, refresh_token)).status, 401, 'the used one')
  t.equal((await refresh(strict, next.body.refresh_token)).status, 401, 'and the newest with it')
})

await t.test('ends the session even within the grace when the token is older than the last', async (t) => {
  const { refresh_token } = await tokensOf(api, 'ann')
  const second = await refresh(api, refresh_token)
  const third = await refresh(api, second.body.refresh_token)
  t.equal((await refresh(api, refresh_token)).status, 401)
  t.equal((await refresh(api, third.body.refresh_token)).status, 401)
})

await t.test('refuses an expired refresh token', async (t) => {
  const { refresh_token } = await tokensOf(api, 'ann')
  await sessions.updateMany({}, { $set: { expiresAt: Date.now() - 1 } })
  t.equal((await refresh(api, refresh_token)).status, 401)
})
