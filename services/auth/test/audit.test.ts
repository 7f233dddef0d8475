import { connectBus, grantToCreator, resourceCreated, resourceDeleted } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { createAudit } from '../src/audit/audit.js'

import { createAuditStore } from '../src/audit/auditStore.js'
import { type Failure, person, refresh, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
await api.register(person('admin'))
const admin = api.as((await tokensOf(api, 'admin')).access_token)

interface Entry {
  created_at: string
  action: string
  targets: string[]
  user_id: string
  email: string
  address: string
  request_id: string
  result: string
  error?: string
}
interface Found extends Failure {
  data: { total: number; page_size: number; page_number: number; content: Entry[] }
}

async function search(filter: object = {}, who = admin): Promise<Found['data']> {
  const reply = await who.post<Found>('/user/audit/search', filter)
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data
}

await t.test('keeps who did what to whom, when and from where', async (t) => {
  const before = Date.now()
  const reply = await admin.post<{ data: { user_id: string }; request_id: string }>('/user/members', person('bob'))
  const { content } = await search({ action: 'user.create' })
  t.match(content[0], {
    email: person('admin').email,
    user_id: /^\d+$/,
    address: '127.0.0.1',
    request_id: reply.body.request_id,
    result: 'succeeded'
  })
  t.ok(content[0]?.targets.includes(reply.body.data.user_id))
  t.ok(content[0]?.targets.includes(person('bob').email))
  t.ok(Number(content[0]?.created_at) >= before)
  t.notMatch(JSON.stringify(content), person('bob').password)
})

await t.test('keeps the first registration, and refusals of signed-in people, not of strangers', async (t) => {
  t.match((await search({ action: 'user.register' })).content, [{ email: person('admin').email, result: 'succeeded' }])
  t.equal((await api.post('/user/register', person('stranger'))).status, 403)
  t.equal((await search({ action: 'user.register' })).total, 1)
  const bob = api.as((await tokensOf(api, 'bob')).access_token)
  t.equal((await bob.post('/user/members', person('eve'))).status, 403)
  t.match((await search({ target: person('eve').email })).content, [{ result: 'refused', error: 'forbidden' }])
})

await t.test('finds by user, action, target and time, in pages, newest first', async (t) => {
  for (const name of ['p1', 'p2', 'p3']) await admin.post('/user/members', person(name))
  const adminId = (await search({ action: 'user.create', target: person('p1').email })).content[0]?.user_id ?? ''
  const first = await search({ user_id: adminId, action: 'user.create', page_size: 2 })
  t.equal(first.total, 4)
  t.equal(first.content.length, 2)
  t.ok(first.content[0]?.targets.includes(person('p3').email))
  const second = await search({
    user_id: Number(adminId) > 2 ** 53 ? adminId : adminId,
    action: 'user.create',
    page_size: 2,
    page_number: 2
  })
  t.ok(second.content[0]?.targets.includes(person('p1').email))
  const at = Number(second.content[0]?.created_at)
  t.equal((await search({ user_id: adminId, action: 'user.create', to: at - 1 })).content.length, 1)
  t.ok((await search({ action: 'user.create', from: String(at) })).content.length >= 3)
  t.equal((await search({ from: Date.now() + 60_000 })).total, 0)
  t.equal((await search({ action: 'no.such' })).total, 0)
})

await t.test('names every member of a list that is deleted', async (t) => {
  const ids: string[] = []
  for (const name of ['d1', 'd2']) {
    ids.push((await admin.post<{ data: { user_id: string } }>('/user/members', person(name))).body.data.user_id)
  }
  await admin.post('/user/batch-delete', { user_id_list: ids })
  for (const id of ids) t.match((await search({ target: id, action: 'user.delete' })).content, [{ targets: ids }])
})

await t.test('keeps what roles get and lose because devices made and deleted something, once', async (t) => {
  const bus = await connectBus({ name: 'devices', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const made = await admin.post<{ data: { user_id: string } }>('/user/members', person('maker'))
  const userId = made.body.data.user_id
  const role = await admin.post<{ data: { role_id: string } }>('/user/roles', { name: 'makers' })
  const roleId = role.body.data.role_id
  await admin.post(`/user/roles/${roleId}/associate-user`, { user_ids: [userId] })
  const resource = { id: '4711', type: 'DASHBOARD' as const }
  const tenantId = 'default'
  await bus.request(grantToCreator, { tenantId, userId, resource })
  const granted = await search({ target: resource.id })
  t.match(granted.content, [
    { action: 'role.associate-resource', user_id: userId, email: person('maker').email, targets: [roleId, '4711'] }
  ])
  await bus.publish(resourceCreated, { tenantId, userId, resource, at: Date.now() })
  const second = { id: '4712', type: 'DASHBOARD' as const }
  await bus.publish(resourceCreated, { tenantId, userId, resource: second, at: Date.now() })
  await until(async () => (await search({ target: second.id })).total === 1, { what: 'the record of an event' })
  for (let i = 0; i < 2; i++) await bus.publish(resourceDeleted, { tenantId, resource, at: Date.now() })
  await bus.publish(resourceDeleted, { tenantId, resource: second, at: Date.now() })
  await until(async () => (await search({ target: second.id })).total === 2, { what: 'the record of a deletion' })
  t.match((await search({ target: resource.id })).content, [
    { action: 'role.disassociate-resource', user_id: '', targets: [roleId, '4711'], result: 'succeeded' },
    { action: 'role.associate-resource', result: 'succeeded' }
  ])
  t.equal((await search({ target: resource.id })).total, 2, 'what changed nothing is not recorded')
})

await t.test('keeps that a session was ended because its refresh token was used again', async (t) => {
  const { refresh_token } = await tokensOf(api, 'maker')
  const next = (await refresh(api, refresh_token)).body.refresh_token
  await refresh(api, next)
  t.equal((await search({ action: 'session.end-reused' })).total, 0)
  t.equal((await refresh(api, refresh_token)).status, 401)
  t.equal((await refresh(api, refresh_token)).status, 401)
  const { content, total } = await search({ action: 'session.end-reused' })
  t.equal(total, 1)
  t.match(content, [{ email: person('maker').email, address: '127.0.0.1', request_id: /^\w+$/, result: 'succeeded' }])
})

await t.test('is for super admins, who see their own tenant', async (t) => {
  const bob = api.as((await tokensOf(api, 'bob')).access_token)
  t.equal((await bob.post('/user/audit/search', {})).status, 403)
  await admin.post('/user/tenants', { ...person('boss'), tenant_id: 'other', name: 'Other' })
  const boss = api.as((await tokensOf(api, 'boss')).access_token)
  t.equal((await search({}, boss)).total, 0)
  await boss.post('/user/members', person('theirs'))
  t.equal((await search({}, boss)).total, 1)
  t.equal((await search({ target: person('theirs').email })).total, 0)
})

await t.test('refuses hostile filters', async (t) => {
  const bad = [
    { action: { $gt: '' } },
    { target: ['x'] },
    { user_id: { $ne: '' } },
    { from: 'x' },
    { to: {} },
    { page_size: 0 }
  ]
  for (const filter of bad)
    t.equal((await admin.post('/user/audit/search', filter)).status, 400, JSON.stringify(filter))
})

await t.test('leaves a record of what died in the middle, and forgets after the retention', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'audit_alone', log: quietLog })
  t.teardown(() => store.close())
  const auditStore = createAuditStore(store)
  await store.sync()
  let clock = Date.UTC(2030, 0, 1)
  const audit = createAudit({ store: auditStore, namesOf: async () => new Map(), now: () => clock, log: quietLog })
  const deed = { tenantId: 't', action: 'a', targets: ['x'], userId: '1', email: 'e', address: 'i', requestId: 'r' }
  const seen = async () =>
    (await auditStore.search({ tenantId: 't' }, { offset: 0, limit: 9 })).items.map((e) => e.result)
  await audit.around(deed, async () => t.same(await seen(), ['started']))
  await t.rejects(audit.around(deed, () => Promise.reject(new Error('bug'))))
  clock += 1000
  await audit.done(deed)
  t.same((await seen()).sort(), ['failed', 'succeeded', 'succeeded'])
  await auditStore.purge(clock)
  t.same(await seen(), ['succeeded'])
})
