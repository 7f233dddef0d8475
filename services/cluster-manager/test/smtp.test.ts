import { openStore } from '@fleetgate/store'
import { mailServerCertificate, quietLog, type Session, startParts, testGuardKeys } from '@fleetgate/testkit'
import t from 'tap'
import { type Failure, type Reply, serveKeys, startClusterManagerFor } from './support.js'

t.setTimeout(120_000)

interface Server {
  _id: string
  name: string
  address: string
  has_passwd: boolean
  port: number
  security: string
  from: string
}

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const api = await startClusterManagerFor(t, parts)
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_cluster_manager', log: quietLog })
t.teardown(() => store.close())

function admin(tenantId: string, codes = ['smtp.view', 'smtp.edit']): Session {
  return api.as(guardKeys.token({ userId: 'a', tenantId, codes }))
}

/** As the document has it. */
const documented = { name: 'username', address: 'smtp.qiye.163.com', passwd: 'swordfish-1' }

await t.test('adds, lists, replaces and deletes as the document shows it', async (t) => {
  const ann = admin('doc')
  const made = await ann.post<Reply<Server>>('/v1/smtp', documented)
  t.match(made, {
    status: 200,
    body: { success: true, data: { _id: /^[0-9a-f]{24}$/, name: 'username', address: 'smtp.qiye.163.com' } }
  })
  const id = made.body.data._id
  t.match(made.body.data, { has_passwd: true, port: 587, security: 'starttls', from: 'username@smtp.qiye.163.com' })
  const listed = await ann.get<Reply<Server[]>>('/v1/smtp?count=true&skip=&limit=&sort=&address=')
  t.strictSame(listed.body, { success: true, count: 1, data: [made.body.data] })
  t.strictSame((await ann.get(`/v1/smtp/${id}`)).body, { success: true, data: made.body.data })

  const replaced = await ann.put(`/v1/smtp/${id}`, { ...documented, passwd: 'swordfish-2' })
  t.strictSame(replaced.body, { success: true, data: { created: false, url: `/v1/smtp/${id}` } })
  t.strictSame((await ann.delete(`/v1/smtp/${id}`)).body, { success: true, data: null })
  t.match(await ann.delete(`/v1/smtp/${id}`), { status: 404, body: { success: false, error: { code: 'E50004' } } })
  t.equal((await ann.put(`/v1/smtp/${id}`, documented)).status, 404)
  t.strictSame((await ann.get('/v1/smtp?count=true')).body, { success: true, count: 0, data: [] })
})

await t.test('finds by part of the address, sorted and paged', async (t) => {
  const ann = admin('lists')
  for (const address of ['b.example.com', 'a.example.com', 'c.example.org']) {
    await ann.post('/v1/smtp', { ...documented, address })
  }
  const found = async (query: string) =>
    (await ann.get<Reply<Server[]>>(`/v1/smtp?${query}`)).body.data.map(({ address }) => address)
  t.strictSame(await found('sort=address'), ['a.example.com', 'b.example.com', 'c.example.org'])
  t.strictSame(await found('sort=-address&address=EXAMPLE.com'), ['b.example.com', 'a.example.com'])
  t.strictSame(await found('sort=address&skip=1&limit=1'), ['b.example.com'])
  t.equal((await ann.get<Reply<Server[]>>('/v1/smtp?count=true&limit=1')).body.count, 3)
  t.strictSame(await found('address=.*'), [], 'no pattern is taken from outside')
})

await t.test('seals the password and tells it nobody', async (t) => {
  const ann = admin('quiet')
  const made = await ann.post<Reply<Server>>('/v1/smtp', documented)
  const id = made.body.data._id
  const texts = [made.text, (await ann.get('/v1/smtp')).text, (await ann.get(`/v1/smtp/${id}`)).text]
  const kept = await store.connection.collection('smtp_servers').findOne({ _id: id as never })
  t.match(kept?.sealedPassword, /^v1\./)
  for (const text of [...texts, JSON.stringify(kept)]) t.notOk(text.includes('swordfish'))
  for (const text of texts) t.notMatch(text, /"passwd"|sealed/)
})

await t.test('keeps the password only for the same log-in at the same place', async (t) => {
  const ann = admin('moved')
  const made = await ann.post<Reply<Server>>('/v1/smtp', documented)
  const path = `/v1/smtp/${made.body.data._id}`
  const { passwd, ...silent } = documented
  t.equal((await ann.put(path, { ...silent, from: 'ops@example.com' })).status, 200)
  t.match((await ann.get(path)).body, { data: { from: 'ops@example.com', has_passwd: true } })
  for (const change of [
    { address: 'evil.example.com' },
    { port: 2525 },
    { security: 'none' },
    { name: 'me' },
    { ca_cert: mailServerCertificate }
  ]) {
    const moved = await ann.put(path, { ...silent, ...change })
    t.match(moved, { status: 400, body: { error: { message: /passwd/ } } }, JSON.stringify(change))
  }
  t.match((await ann.get(path)).body, { data: { address: documented.address, security: 'starttls' } })
  t.equal((await ann.put(path, { ...documented, passwd, address: 'new.example.com' })).status, 200)
  t.equal((await ann.put(path, { ...documented, passwd: '', address: 'open.example.com' })).status, 200)
  t.match((await ann.get(path)).body, { data: { has_passwd: false } })
})

await t.test('refuses what no server can be reached with, naming the field, and keeps nothing', async (t) => {
  const ann = admin('bad')
  const bad: [change: Record<string, unknown>, field: RegExp][] = [
    [{ name: undefined }, /name/],
    [{ name: 'a\r\nb' }, /name/],
    [{ name: { $gt: '' } }, /name/],
    [{ name: 'two words' }, /from/],
    [{ address: undefined }, /address/],
    [{ address: '' }, /address/],
    [{ address: 'no host' }, /address/],
    [{ address: 'smtp://x' }, /address/],
    [{ address: '300.1.1.1' }, /address/],
    [{ address: '-a.example.com' }, /address/],
    [{ address: 'a\n.example.com' }, /address/],
    [{ address: { $gt: '' } }, /address/],
    [{ passwd: 7 }, /passwd/],
    [{ passwd: 'a\nb' }, /passwd/],
    [{ port: 0 }, /port/],
    [{ port: 65_536 }, /port/],
    [{ port: '25' }, /port/],
    [{ security: 'ssl' }, /security/],
    [{ security: 'none' }, /security/],
    [{ from: 'nobody' }, /from/],
    [{ from: 'a@example.com\r\nBcc: b@example.com' }, /from/],
    [{ ca_cert: 'pem' }, /ca_cert/]
  ]
  for (const [change, field] of bad) {
    const reply = await ann.post<Failure>('/v1/smtp', { ...documented, ...change })
    t.match(reply, { status: 400, body: { error: { code: 'E12002', message: field } } }, JSON.stringify(change))
  }
  t.equal((await ann.send('POST', '/v1/smtp', '{"name":', { 'content-type': 'application/json' })).status, 400)
  for (const path of ['/v1/smtp?sort=passwd', '/v1/smtp?skip=-1', '/v1/smtp/1', '/v1/smtp/mails?state=LOST']) {
    t.equal((await ann.get(path)).status, 400, path)
  }
  t.strictSame((await ann.get('/v1/smtp?count=true')).body, { success: true, count: 0, data: [] })
})

await t.test('refuses the same log-in at the same address twice, also of two at once', async (t) => {
  const ann = admin('twice')
  const replies = await Promise.all(Array.from({ length: 5 }, () => ann.post('/v1/smtp', documented)))
  t.strictSame(replies.map(({ status }) => status).sort(), [200, 409, 409, 409, 409])
  const other = await ann.post<Reply<Server>>('/v1/smtp', { ...documented, address: 'other.example.com' })
  t.equal((await ann.put(`/v1/smtp/${other.body.data._id}`, documented)).status, 409)
})

await t.test('is for those with the codes, each in their own tenant', async (t) => {
  const made = await admin('mine').post<Reply<Server>>('/v1/smtp', documented)
  const path = `/v1/smtp/${made.body.data._id}`
  const other = admin('theirs')
  t.equal((await other.get(path)).status, 404)
  t.equal((await other.put(path, documented)).status, 404)
  t.equal((await other.delete(path)).status, 404)
  t.strictSame((await other.get('/v1/smtp')).body, { success: true, data: [] })
  const reader = admin('mine', ['smtp.view'])
  t.equal((await reader.get(path)).status, 200)
  t.equal((await reader.get('/v1/smtp/mails')).status, 200)
  t.equal((await reader.post('/v1/smtp', documented)).status, 403)
  t.equal((await reader.put(path, documented)).status, 403)
  t.equal((await reader.delete(path)).status, 403)
  const nobody = admin('mine', ['cluster.edit', 'key.edit'])
  for (const route of ['/v1/smtp', '/v1/smtp/mails', path]) t.equal((await nobody.get(route)).status, 403)
  t.equal((await api.get('/v1/smtp')).status, 401)
})
