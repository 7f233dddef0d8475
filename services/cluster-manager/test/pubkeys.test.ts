import { openStore } from '@fleetgate/store'
import { quietLog, type Session, sshKeyPair, startParts, testGuardKeys } from '@fleetgate/testkit'
import ssh2 from 'ssh2'
import t from 'tap'
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
const rsa = ssh2.utils.generateKeyPairSync('rsa', { bits: 2048, comment: 'rsa@host' })

async function upload(session: Session, name: string, pubkeyValue = ed25519.public): Promise<Key> {
  const reply = await session.post<Reply<Key>>('/v1/pubkey', { name, pubkeyValue })
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data
}

async function names(session: Session, query = ''): Promise<string[]> {
  const reply = await session.get<Reply<Key[]>>(`/v1/pubkey${query}`)
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data.map(({ name }) => name)
}

await t.test('uploads and answers the key as the document shows it', async (t) => {
  const ann = user('ann')
  const body = { pubkeyValue: `${rsa.public}\n`, name: 'pubkey', user_id: 'ann' }
  const made = await ann.post<Reply<Key>>('/v1/pubkey', body, { 'x-ignored': '1' })
  t.equal(made.status, 200)
  t.equal(made.body.success, true)
  t.match(made.body.data, {
    _id: /^[0-9a-f]{24}$/,
    pubkeyValue: rsa.public,
    name: 'pubkey',
    owner: 'ann@example.com',
    user_id: 'ann',
    isuse: false,
    tenant_id: 't1',
    time_create: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
  })
  const read = await ann.get<Reply<Key>>(`/v1/pubkey/${made.body.data._id}`)
  t.same(read.body, { success: true, data: made.body.data })
  const token = guardKeys.token({ userId: 'ann' })
  t.equal((await api.get(`/v1/pubkey/${made.body.data._id}`, { 'x-auth-token': token })).status, 200)
})

await t.test('refuses what is no public key and keeps nothing of it', async (t) => {
  const hostile = user('hostile')
  for (const pubkeyValue of [
    'hhghghghghghg',
    '',
    ed25519.private,
    'x'.repeat(17000),
    { $gt: '' },
    5,
    null,
    undefined
  ]) {
    const reply = await hostile.post<Failure>('/v1/pubkey', { name: 'bad', pubkeyValue })
    t.equal(reply.status, 400)
    t.match(reply.body, { success: false, error: { code: 'E12002', message: /pubkeyValue/ } })
  }
  t.same(await names(hostile, '?user_id=hostile'), [])
})

await t.test('refuses bad names, ids and bodies', async (t) => {
  const hostile = user('hostile')
  for (const name of [undefined, '', ' ', ' a', 'a\nb', 'n'.repeat(65), 5, { $gt: '' }]) {
    for (const path of ['/v1/pubkey', '/v1/pubkey/userSelfCreate']) {
      const reply = await hostile.post<Failure>(path, { name, pubkeyValue: ed25519.public })
      t.equal(reply.status, 400, JSON.stringify(name))
      t.match(reply.body.error, { code: 'E12002', message: /name/ })
    }
  }
  for (const id of ['x', '59C21FAF284AE3000BF663F4', '%7B%22$gt%22:%22%22%7D', '0'.repeat(25)]) {
    t.equal((await hostile.get(`/v1/pubkey/${id}`)).status, 400, id)
    t.equal((await hostile.delete(`/v1/pubkey/${id}`)).status, 400, id)
  }
  const json = { 'content-type': 'application/json' }
  t.equal((await hostile.send('POST', '/v1/pubkey', '{"name"', json)).status, 400)
  t.equal((await hostile.post('/v1/pubkey', { name: 'a', pubkeyValue: 'x'.repeat(1_100_000) })).status, 413)
  t.equal((await hostile.get('/v1/pubkey/downLoadKey/%7B%22$gt%22:%22%22%7D')).status, 400)
})

await t.test('refuses a taken name of the same owner, also of ten at once', async (t) => {
  const tim = user('tim')
  const body = { name: 'taken', pubkeyValue: ed25519.public }
  const replies = await Promise.all(Array.from({ length: 10 }, () => tim.post<Failure>('/v1/pubkey', body)))
  t.same(replies.map(({ status }) => status).sort(), [200, ...Array(9).fill(409)])
  const refused = replies.find(({ status }) => status === 409)
  t.match(refused?.body, { success: false, error: { code: 'E50003' } })
  t.equal((await tim.post('/v1/pubkey/userSelfCreate', { name: 'taken' })).status, 409)
  t.ok(await upload(user('tom'), 'taken'), 'of another owner it is free')
})

await t.test('makes pairs one after the other, and refuses more than it can soon make', async (t) => {
  const eve = user('eve', 'pairs')
  const make = (name: string) => eve.post<Reply<string> & Failure>('/v1/pubkey/userSelfCreate', { name })
  const replies = await Promise.all(Array.from({ length: 24 }, (_, at) => make(`pair${at}`)))
  const made = replies.filter(({ status }) => status === 200)
  const refused = replies.filter(({ status }) => status === 429)
  t.equal(made.length + refused.length, 24)
  t.ok(made.length >= 8 && refused.length > 0, `${made.length} made`)
  t.match(refused[0]?.body, { success: false, error: { message: /too many key pairs/ } })
  t.equal((await names(eve)).length, made.length, 'nothing is kept of what was refused')
  t.equal((await make('later')).status, 200)
})

await t.test('lists with filters, order, pages and a count', async (t) => {
  const lea = user('lea', 'lists')
  for (const name of ['b.one', 'a.one', 'c+two']) await upload(lea, name)
  await upload(user('max', 'lists'), 'd.one')
  t.same((await names(lea)).sort(), ['a.one', 'b.one', 'c+two', 'd.one'])
  t.same(await names(lea, '?sort=name&user_id=lea'), ['a.one', 'b.one', 'c+two'])
  t.same(await names(lea, '?sort=-name&limit=2'), ['d.one', 'c+two'])
  t.same(await names(lea, '?sort=name&skip=1&limit=2'), ['b.one', 'c+two'])
  t.same(await names(lea, '?sort=name&name=.ONE'), ['a.one', 'b.one', 'd.one'])
  t.same(await names(lea, '?name=c%2B'), ['c+two'])
  t.same(await names(lea, '?name=.*'), [], 'a pattern means itself')
  t.same(await names(lea, '?name=&skip=&limit=&sort=name&user_id=max'), ['d.one'], 'empty parameters count as absent')

  const counted = await lea.get<Reply<Key[]>>('/v1/pubkey?count=true&limit=1')
  t.equal(counted.body.count, 4)
  t.equal(counted.headers.get('x-object-count'), '4')
  t.equal((await lea.get<Reply<Key[]>>('/v1/pubkey')).body.count, undefined)
  for (const query of [
    '?limit=-1',
    '?skip=x',
    '?sort=sealedPrivateKey',
    '?user_id[$ne]=x&user_id=a b',
    '?count=maybe'
  ]) {
    t.equal((await lea.get(`/v1/pubkey${query}`)).status, 400, query)
  }
})

await t.test('deletes, but not what others own or a cluster uses', async (t) => {
  const del = user('del')
  const { _id } = await upload(del, 'to delete')
  t.equal((await user('other').delete(`/v1/pubkey/${_id}`)).status, 403)
  const used = await upload(del, 'in use')
  await stored.updateOne({ _id: used._id as never }, { $set: { isUsed: true } })
  const refused = await del.delete<Failure>(`/v1/pubkey/${used._id}`)
  t.equal(refused.status, 409)
  t.equal(refused.body.error.code, 'E50016')
  t.same((await del.delete(`/v1/pubkey/${_id}`)).body, { success: true, data: null })
  t.equal((await del.delete(`/v1/pubkey/${_id}`)).status, 404)
  t.equal((await del.get(`/v1/pubkey/${_id}`)).status, 404)
  const byAdmin = await upload(del, 'for the admin')
  t.equal((await api.as(guardKeys.token({ userId: 'boss' })).delete(`/v1/pubkey/${byAdmin._id}`)).status, 200)
})

await t.test('shows nothing of another tenant', async (t) => {
  const { _id } = await upload(user('sue', 'mine'), 'private')
  const admin = api.as(guardKeys.token({ userId: 'sue', tenantId: 'theirs' }))
  t.same(await names(admin), [])
  t.equal((await admin.get(`/v1/pubkey/${_id}`)).status, 404)
  t.equal((await admin.delete(`/v1/pubkey/${_id}`)).status, 404)
  t.equal((await user('sue', 'mine').get(`/v1/pubkey/${_id}`)).status, 200)
})

await t.test('asks for the function codes', async (t) => {
  const viewer = api.as(guardKeys.token({ userId: 'v', codes: ['key.view'] }))
  t.equal((await viewer.get('/v1/pubkey')).status, 200)
  t.equal((await viewer.post('/v1/pubkey', { name: 'a', pubkeyValue: ed25519.public })).status, 403)
  t.equal((await viewer.post('/v1/pubkey/userSelfCreate', { name: 'a' })).status, 403)
  t.equal((await viewer.get('/v1/pubkey/downLoadKey/v')).status, 403)
  t.equal((await api.as(guardKeys.token({ codes: ['key.edit'] })).get('/v1/pubkey')).status, 403)
  t.equal((await api.get('/v1/pubkey')).status, 401)
})

await t.test('tells of a key whose owner is deleted', async (t) => {
  const { _id } = await upload(user('gone', 'left'), 'kept')
  await upload(user('here', 'left'), 'other')
  const admin = api.as(guardKeys.token({ userId: 'boss', tenantId: 'left' }))
  const list = (await admin.get<Reply<Key[]>>('/v1/pubkey?sort=name')).body.data
  t.same(
    list.map(({ owner, owner_deleted }) => [owner, owner_deleted]),
    [
      ['gone@example.com (deleted)', true],
      ['here@example.com', undefined]
    ]
  )
  const one = (await admin.get<Reply<Key>>(`/v1/pubkey/${_id}`)).body.data
  t.match(one, { owner: 'gone@example.com (deleted)', owner_deleted: true })
})
