import { connectBus, listNames, listUserNames, type Static, userRevoked } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Failure, person, refresh, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_auth', log: quietLog })
t.teardown(() => store.close())
const stored = store.connection.collection('users')
const bus = await connectBus({ name: 'test', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
const revocations: Static<typeof userRevoked.data>[] = []
await bus.watch(userRevoked, { sinceMs: 60_000 }, (event) => void revocations.push(event))

await api.register(person('admin'))
const admin = api.as((await tokensOf(api, 'admin')).access_token)
const adminId = await idOf('admin')

interface Me {
  data: { user_id: string; tenant_id: string }
}

async function idOf(name: string): Promise<string> {
  const { access_token } = await tokensOf(api, name)
  return (await api.as(access_token).get<Me>('/user')).body.data.user_id
}

/** Adds a user without a role. */
async function addMember(name: string): Promise<string> {
  const reply = await admin.post<{ data: { user_id: string } }>('/user/members', person(name))
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data.user_id
}

async function isRefused(token: string): Promise<boolean> {
  return (await api.as(token).get('/user')).status === 401
}

/** Refused by the token itself, before anybody looks into the database. */
async function isRevoked(token: string): Promise<boolean> {
  const { status, body } = await api.as(token).get<Failure>('/user')
  return status === 401 && body.error_message.includes('revoked')
}

await t.test('lets a super admin add users and refuses a taken address whatever its case', async (t) => {
  t.equal(await addMember('bob'), await idOf('bob'))
  const again = await admin.post<Failure>('/user/members', { ...person('bob'), email: 'BOB@example.com' })
  t.equal(again.status, 409)
  t.equal(again.body.error_code, 'user_register_email_exist')
})

await t.test('lets one of ten equal additions at once through', async (t) => {
  const replies = await Promise.all(Array.from({ length: 10 }, () => admin.post('/user/members', person('twin'))))
  t.same(replies.map(({ status }) => status).sort(), [200, ...Array(9).fill(409)])
})

await t.test('refuses user management to people without the role', async (t) => {
  const bob = api.as((await tokensOf(api, 'bob')).access_token)
  const tenant = { ...person('x'), tenant_id: 'x', name: 'X' }
  const replies = [
    await bob.post<Failure>('/user/members', person('eve')),
    await bob.delete<Failure>(`/user/members/${adminId}`),
    await bob.post<Failure>('/user/batch-delete', { user_id_list: [adminId] }),
    await bob.post<Failure>('/user/tenants', tenant)
  ]
  for (const { status, body } of replies) {
    t.equal(status, 403)
    t.equal(body.error_code, 'forbidden_permission')
  }
})

await t.test('ends every token of a deleted user within a second and frees the address', async (t) => {
  const id = await addMember('carl')
  const tokens = await tokensOf(api, 'carl')
  t.equal(await isRefused(tokens.access_token), false)
  t.equal((await admin.delete(`/user/members/${id}`)).status, 200)
  await until(() => isRevoked(tokens.access_token), { what: 'the token to die', deadlineMs: 1000 })
  t.equal((await refresh(api, tokens.refresh_token)).status, 401)
  await t.rejects(tokensOf(api, 'carl'))
  const event = await until(() => revocations.find(({ userId }) => userId === id), { what: 'the event' })
  t.match(event, { tenantId: 'default', minVersion: Number.MAX_SAFE_INTEGER })
  t.not(await addMember('carl'), id)
})

await t.test('keeps nothing of a deleted user but id, nickname and address', async (t) => {
  const id = await addMember('dora')
  await admin.delete(`/user/members/${id}`)
  const left = await stored.findOne({ _id: id as never })
  t.notMatch(JSON.stringify(left), /dora|\$2/)
  const kept = await store.connection.collection('former_users').findOne({ _id: id as never })
  t.match(kept, { _id: id, tenantId: 'default', nickname: 'dora', email: person('dora').email })
  t.same(Object.keys(kept ?? {}).filter((key) => key !== '__v').length, 4, 'and nothing else')
})

await t.test('tells who created something when the creator is deleted, and that this is so', async (t) => {
  const id = await addMember('mira')
  await admin.post('/user/roles/1/associate-user', { user_ids: [id] })
  const mira = api.as((await tokensOf(api, 'mira')).access_token)
  const role = (await mira.post<{ data: { role_id: string } }>('/user/roles', { name: 'made by mira' })).body.data
  const item = { id: '5', name: 'Made by Mira', userId: id }
  const named = await bus.serve(listNames, async () => ({ isKnown: true, total: 1, items: [item] }))
  t.teardown(() => named.stop())

  type Rows = { data: { content: Record<string, unknown>[] } }
  const dashboard = async () =>
    (await admin.post<Rows>(`/user/roles/${role.role_id}/undistributed-dashboards`, {})).body.data.content[0]
  const deed = async () =>
    (await admin.post<Rows>('/user/audit/search', { user_id: id, action: 'role.create' })).body.data.content[0]
  const { email } = person('mira')
  const alive = { user_id: id, user_nickname: 'mira', user_deleted: false }
  t.match(await dashboard(), { ...alive, user_email: email })
  t.match(await deed(), { ...alive, email })

  t.equal((await admin.delete(`/user/members/${id}`)).status, 200)
  const gone = { user_id: id, user_nickname: 'mira (deleted)', user_deleted: true }
  t.match(await dashboard(), { ...gone, user_email: email })
  t.match(await deed(), { ...gone, email })
  await stored.deleteOne({ _id: id as never })
  t.match(await dashboard(), { ...gone, user_email: email }, 'for good')

  const names = (tenantId: string) => bus.request(listUserNames, { tenantId, ids: [id, adminId, '999', id] })
  const byId = new Map((await names('default')).users.map((user) => [user.id, user]))
  t.same([...byId.keys()].sort(), [id, adminId].sort())
  t.same(byId.get(id), { id, nickname: 'mira', email, isDeleted: true })
  t.match(byId.get(adminId), { nickname: 'admin', isDeleted: false })
  t.same((await names('other')).users, [], 'each tenant its own')
})

await t.test('deletes many, passing over unknown ids and taking numbers too', async (t) => {
  const ids = [await addMember('many1'), await addMember('many2')]
  const reply = await admin.post('/user/batch-delete', { user_id_list: [...ids, ids[0], '999', 998] })
  t.equal(reply.status, 200)
  await t.rejects(tokensOf(api, 'many1'))
  await t.rejects(tokensOf(api, 'many2'))
  t.equal((await admin.delete('/user/members/999')).status, 200)
  t.equal((await admin.post('/user/batch-delete', { user_id_list: [] })).status, 200)
})

await t.test('does not let you delete yourself, nor others in the same request', async (t) => {
  const id = await addMember('spared')
  t.equal((await admin.delete(`/user/members/${adminId}`)).status, 403)
  t.equal((await admin.post('/user/batch-delete', { user_id_list: [id, adminId] })).status, 403)
  t.ok(await tokensOf(api, 'spared'))
  t.ok(await tokensOf(api, 'admin'))
})

await t.test('refuses malformed ids and lists', async (t) => {
  for (const id of ['abc', '-1', '1.5', '%7B%22$gt%22:%22%22%7D', '1'.repeat(20)]) {
    t.equal((await admin.delete(`/user/members/${id}`)).status, 400, id)
  }
  for (const list of [undefined, 'all', { $gt: '' }, [{ $gt: '' }], [null], [1.5], [-1], Array(1001).fill('1')]) {
    const reply = await admin.post<Failure>('/user/batch-delete', { user_id_list: list })
    t.equal(reply.status, 400, JSON.stringify(list)?.slice(0, 40))
    t.match(reply.body.error_message, 'user_id_list')
  }
})

await t.test('changes your own password and ends all your tokens', async (t) => {
  const id = await addMember('paula')
  const old = person('paula').password
  const tokens = await tokensOf(api, 'paula')
  const paula = api.as(tokens.access_token)

  const wrong = await paula.put<Failure>('/user/password', {
    old_password: 'a wrong one',
    new_password: 'new password'
  })
  t.equal(wrong.status, 400)
  t.match(wrong.body, { error_code: 'parameter_syntax_error', error_message: /old password/ })
  const short = await paula.put<Failure>('/user/password', { old_password: old, new_password: 'short' })
  t.equal(short.status, 400)
  t.match(short.body.error_message, 'new_password')
  const hostile = await paula.put('/user/password', { old_password: { $gt: '' }, new_password: 'new password' })
  t.equal(hostile.status, 400)

  t.equal((await paula.put('/user/password', { old_password: old, new_password: 'new password' })).status, 200)
  await until(() => isRevoked(tokens.access_token), { what: 'the token to die', deadlineMs: 1000 })
  t.equal((await refresh(api, tokens.refresh_token)).status, 401)
  await t.rejects(tokensOf(api, 'paula'))
  const fresh = await tokensOf(api, 'paula', 'new password')
  t.equal(await isRefused(fresh.access_token), false)
  t.match(await until(() => revocations.find(({ userId }) => userId === id), { what: 'the event' }), { minVersion: 2 })
})

await t.test('lets one of several password changes at once through', async (t) => {
  await addMember('quin')
  const quin = api.as((await tokensOf(api, 'quin')).access_token)
  const replies = await Promise.all(
    ['new password 1', 'new password 2', 'new password 3'].map(async (password) => {
      const change = { old_password: person('quin').password, new_password: password }
      return { password, status: (await quin.put('/user/password', change)).status }
    })
  )
  const [winner, ...others] = replies.filter(({ status }) => status === 200)
  t.same(others, [])
  t.ok(await tokensOf(api, 'quin', winner?.password))
})

await t.test('publishes a revocation that NATS missed once it is back', async (t) => {
  const id = await addMember('nora')
  const { access_token } = await tokensOf(api, 'nora')
  await parts.killNats()
  t.equal((await admin.delete(`/user/members/${id}`)).status, 200)
  await parts.startNats()
  await until(() => isRevoked(access_token), { what: 'the token to die', deadlineMs: 20_000 })
  t.ok(await until(() => revocations.find(({ userId }) => userId === id), { what: 'the event', deadlineMs: 20_000 }))
})
