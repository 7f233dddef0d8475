import { createPrivateKey, createPublicKey } from 'node:crypto'
import { AppError, type Caller } from '@fleetgate/kit'
import { createSecrets, loadKeyRing, openStore } from '@fleetgate/store'
import { quietLog, type Session, sshKeyPair, startParts, testGuardKeys } from '@fleetgate/testkit'
import ssh2 from 'ssh2'
import t from 'tap'
import { createLogs } from '../src/logs/log.js'
import { createLogStore } from '../src/logs/logStore.js'
import { createPubkeys } from '../src/pubkeys/pubkey.js'
import { createPubkeyStore } from '../src/pubkeys/pubkeyStore.js'
import { type Failure, type Key, type Reply, serveKeys, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const api = await startClusterManagerFor(t, parts)
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_cluster_manager', log: quietLog })
t.teardown(() => store.close())
const stored = store.connection.collection('pubkeys')

/** A user with the codes for keys and nothing more. */
function user(userId: string, tenantId = 't1'): Session {
  const codes = ['key.view', 'key.edit']
  return api.as(guardKeys.token({ userId, tenantId, email: `${userId}@example.com`, codes }))
}

const ed25519 = sshKeyPair({ comment: 'me@host' })

async function names(session: Session, query = ''): Promise<string[]> {
  const reply = await session.get<Reply<Key[]>>(`/v1/pubkey${query}`)
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data.map(({ name }) => name)
}

await t.test('generates a pair whose private key its owner downloads once', async (t) => {
  const gen = user('gen')
  const made = await gen.post<Reply<string>>('/v1/pubkey/userSelfCreate', { name: 'my pair', user_id: 'gen' })
  t.same(made.body, { success: true, data: 'gen' })
  const [key] = (await gen.get<Reply<Key[]>>('/v1/pubkey?user_id=gen')).body.data
  t.match(key, { name: 'my pair', pubkeyValue: /^ssh-rsa \S+ my_pair$/, user_id: 'gen' })
  t.notMatch(JSON.stringify(key), /private|sealed/i)

  const before = await stored.findOne({ _id: key?._id as never })
  t.match(before?.sealedPrivateKey, /^v1\./)
  t.notMatch(JSON.stringify(before), 'PRIVATE KEY')

  const file = await gen.get('/v1/pubkey/downLoadKey/gen')
  t.equal(file.status, 200)
  t.match(file.headers.get('content-type'), /^text\/plain/)
  t.equal(file.headers.get('cache-control'), 'no-store')
  t.match(file.text, /^-----BEGIN RSA PRIVATE KEY-----\n/)
  const parsed = ssh2.utils.parseKey(key?.pubkeyValue ?? '')
  if (parsed instanceof Error) throw parsed
  t.ok(createPublicKey(parsed.getPublicPEM()).equals(createPublicKey(createPrivateKey(file.text))), 'the two fit')

  t.equal((await gen.get('/v1/pubkey/downLoadKey/gen')).status, 404)
  t.notOk('sealedPrivateKey' in ((await stored.findOne({ _id: key?._id as never })) ?? {}), 'gone from the database')
  t.equal((await gen.get(`/v1/pubkey/${key?._id}`)).status, 200, 'the public key stays')
})

await t.test('gives the private key to one of ten downloads at once', async (t) => {
  const rush = user('rush')
  await rush.post('/v1/pubkey/userSelfCreate', { name: 'rushed' })
  const replies = await Promise.all(Array.from({ length: 10 }, () => rush.get('/v1/pubkey/downLoadKey/rush')))
  t.same(replies.map(({ status }) => status).sort(), [200, ...Array(9).fill(404)])
})

await t.test('lets one of two that read the same sealed key take it', async (t) => {
  const slow = user('slow')
  await slow.post('/v1/pubkey/userSelfCreate', { name: 'contested' })
  const owner = { tenantId: 't1', userId: 'slow' }
  const pubkeys = createPubkeyStore(store)
  const [first, second] = [await pubkeys.findSealed(owner, undefined), await pubkeys.findSealed(owner, undefined)]
  if (!first || !second) throw new Error('no sealed key')
  t.equal(await pubkeys.takeSealed({ ...owner, tenantId: 't2' }, first), false)
  t.equal(await pubkeys.takeSealed(owner, first), true)
  t.equal(await pubkeys.takeSealed(owner, second), false)
})

await t.test('downloads the newest pair first, or the one that is named', async (t) => {
  const multi = user('multi')
  for (const name of ['one', 'two', 'three']) await multi.post('/v1/pubkey/userSelfCreate', { name })
  const keys = (await multi.get<Reply<Key[]>>('/v1/pubkey?user_id=multi')).body.data
  const nameOf = async (query: string) => {
    const { text } = await multi.get(`/v1/pubkey/downLoadKey/multi${query}`)
    const key = createPublicKey(createPrivateKey(text))
    return keys.find(({ pubkeyValue }) => {
      const parsed = ssh2.utils.parseKey(pubkeyValue)
      return !(parsed instanceof Error) && createPublicKey(parsed.getPublicPEM()).equals(key)
    })?.name
  }
  t.equal(await nameOf('?name=two'), 'two')
  t.equal(await nameOf(''), 'three')
  t.equal(await nameOf(''), 'one')
})

await t.test('keeps private keys from everybody else, super admins too', async (t) => {
  await user('owner').post('/v1/pubkey/userSelfCreate', { name: 'mine' })
  for (const token of [
    guardKeys.token({ userId: 'thief', codes: ['key.view', 'key.edit'] }),
    guardKeys.token({ userId: 'boss' }),
    guardKeys.token({ userId: 'boss', tenantId: 't2' })
  ]) {
    const reply = await api.as(token).get<Failure>('/v1/pubkey/downLoadKey/owner')
    t.equal(reply.status, 403)
    t.match(reply.body, { success: false, error: { code: 'E12004' } })
  }
  t.equal((await user('owner', 't2').get('/v1/pubkey/downLoadKey/owner')).status, 404, 'the same id in another tenant')
  t.equal((await user('owner').get('/v1/pubkey/downLoadKey/owner')).status, 200, 'it is still there')
})

await t.test('makes no keys in the name of others', async (t) => {
  const body = { name: 'planted', pubkeyValue: ed25519.public, user_id: 'owner' }
  t.equal((await user('thief').post('/v1/pubkey', body)).status, 403)
  t.equal((await user('thief').post('/v1/pubkey/userSelfCreate', body)).status, 403)
  t.same(await names(user('owner'), '?name=planted'), [])
})

await t.test('what was done is answered so, also where its end cannot be logged', async (t) => {
  const logStore = createLogStore(store)
  const put: typeof logStore.put = async (entry) => {
    if (entry.status !== 'start') throw new AppError('unavailable', 'the database cannot be reached')
    await logStore.put(entry)
  }
  const pubkeys = createPubkeys({
    store: createPubkeyStore(store),
    secrets: createSecrets({ keys: loadKeyRing({ file: parts.keyFile }) }),
    logs: createLogs({ store: { ...logStore, put }, now: Date.now }),
    keyBits: 2048,
    now: Date.now
  })
  const caller = { tenantId: 't1', userId: 'logged', email: 'logged@example.com' } as Caller
  await t.resolves(pubkeys.upload({ name: 'kept', value: ed25519.public }, caller))
  t.same(await names(user('logged'), '?name=kept'), ['kept'])
})
