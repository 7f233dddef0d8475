import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { type Failure, person, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_auth', log: quietLog })
t.teardown(() => store.close())
const stored = store.connection.collection('users')
await api.register(person('admin'))
const admin = api.as((await tokensOf(api, 'admin')).access_token)

interface Me {
  data: { user_id: string; tenant_id: string }
}

await t.test('gives each tenant its own super admin, who reaches no other tenant', async (t) => {
  const tenant = { ...person('tina'), tenant_id: 't2', name: 'Second' }
  const made = await admin.post<{ data: unknown }>('/user/tenants', tenant)
  t.equal(made.status, 200)
  t.match(made.body.data, { tenant_id: 't2', user_id: /^\d+$/ })
  const tina = api.as((await tokensOf(api, 'tina')).access_token)
  t.match((await tina.get<Me>('/user')).body.data, { tenant_id: 't2', is_super_admin: true })

  const added = await admin.post<Me>('/user/members', person('victim'))
  const victim = added.body.data.user_id
  const adminId = (await admin.get<Me>('/user')).body.data.user_id
  t.equal((await tina.delete(`/user/members/${victim}`)).status, 200, 'as an unknown id')
  t.equal((await tina.post('/user/batch-delete', { user_id_list: [victim, adminId] })).status, 200)
  t.ok(await tokensOf(api, 'victim'))
  t.ok(await tokensOf(api, 'admin'))
  t.equal((await tina.post('/user/tenants', { ...person('x'), tenant_id: 't3', name: 'X' })).status, 403)

  t.equal((await tina.post('/user/members', person('tom'))).status, 200)
  const tom = api.as((await tokensOf(api, 'tom')).access_token)
  t.match((await tom.get<Me>('/user')).body.data, { tenant_id: 't2', is_super_admin: false })
})

await t.test('refuses a taken or malformed tenant id and makes nothing of it', async (t) => {
  for (const tenant_id of ['t2', 'default']) {
    const reply = await admin.post<Failure>('/user/tenants', { ...person('uma'), tenant_id, name: 'U' })
    t.equal(reply.status, 409, tenant_id)
  }
  for (const tenant_id of ['', 'a b', 'a.b', '*', 'x'.repeat(65), { $gt: '' }, 5]) {
    const reply = await admin.post<Failure>('/user/tenants', { ...person('uma'), tenant_id, name: 'U' })
    t.equal(reply.status, 400, String(tenant_id))
  }
  const takenEmail = await admin.post<Failure>('/user/tenants', { ...person('victim'), tenant_id: 't4', name: 'U' })
  t.match(takenEmail.body, { error_code: 'user_register_email_exist' })
  t.equal(await stored.countDocuments({ $or: [{ tenantId: 't4' }, { email: person('uma').email }] }), 0)
})
