import {
  type Caller,
  connectBus,
  createGuard,
  grantToCreator,
  listGrants,
  listRoleCodes,
  resourceCreated
} from '@fleetgate/kit'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { person, refresh, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
await api.register(person('admin'))
const admin = api.as((await tokensOf(api, 'admin')).access_token)

/** Another service: a connection and a guard of its own. */
const bus = await connectBus({ name: 'other', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
let asked = 0
const counting = {
  watch: bus.watch.bind(bus),
  request: ((...question: Parameters<typeof bus.request>) => {
    asked += 1
    return bus.request(...question)
  }) as typeof bus.request
}
const guard = await createGuard({ bus: counting, log: quietLog })
t.teardown(() => guard.close())

const menu = { dashboardView: '1001', jobView: '10001', jobRun: '10003' }

async function addMember(name: string): Promise<string> {
  const reply = await admin.post<{ data: { user_id: string } }>('/user/members', person(name))
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data.user_id
}

async function addRole(name: string, menuIds: string[]): Promise<string> {
  const reply = await admin.post<{ data: { role_id: string } }>('/user/roles', { name })
  const id = reply.body.data.role_id
  await post(`/user/roles/${id}/associate-menu`, { menu_ids: menuIds })
  return id
}

async function post(path: string, body: object): Promise<void> {
  const reply = await admin.post(path, body)
  if (reply.status !== 200) throw new Error(reply.text)
}

const link = (role: string, user: string) => post(`/user/roles/${role}/associate-user`, { user_ids: [user] })
const unlink = (role: string, user: string) => post(`/user/roles/${role}/disassociate-user`, { user_ids: [user] })
const callerOf = (token: string): Promise<Caller> => guard.verify({ bearer: token }, '')

/** The measure of all this: from the answer of auth to the effect in another service. */
function withinASecond(token: string, is: (caller: Caller) => boolean, what: string): Promise<unknown> {
  return until(async () => is(await callerOf(token)), { what, deadlineMs: 1000 })
}

await t.test('a change of roles reaches a token signed before it, in another service, within a second', async (t) => {
  const user = await addMember('ann')
  const { access_token } = await tokensOf(api, 'ann')
  t.same([...(await callerOf(access_token)).codes], [])
  const role = await addRole('jobs', [menu.jobView])
  const second = await addRole('dashboards', [menu.dashboardView])

  await link(role, user)
  await withinASecond(access_token, ({ codes }) => codes.has('job.view'), 'the first role')
  await link(second, user)
  await withinASecond(access_token, ({ codes }) => codes.size === 2, 'the union of both')
  await post(`/user/roles/${role}/associate-menu`, { menu_ids: [menu.jobRun] })
  await withinASecond(access_token, ({ codes }) => codes.has('job.run') && !codes.has('job.view'), 'other menus')
  await unlink(role, user)
  await withinASecond(access_token, ({ codes }) => [...codes].join() === 'dashboard.view', 'the role to go')
  await link('1', user)
  await withinASecond(access_token, ({ isSuperAdmin }) => isSuperAdmin, 'the super admin')
  await unlink('1', user)
  await withinASecond(access_token, ({ isSuperAdmin }) => !isSuperAdmin, 'the super admin to go')
})

await t.test('nobody asks auth per request', async (t) => {
  const { access_token } = await tokensOf(api, 'ann')
  await callerOf(access_token)
  const before = asked
  for (let i = 0; i < 500; i++) await callerOf(access_token)
  t.equal(asked, before)
})

await t.test('fresh and renewed tokens carry the roles, and HTTP Basic does', async (t) => {
  const user = await addMember('ben')
  const early = await tokensOf(api, 'ben')
  const role = await addRole('runners', [menu.jobRun])
  await link(role, user)
  const renewed = (await refresh(api, early.refresh_token)).body.access_token
  for (const token of [(await tokensOf(api, 'ben')).access_token, renewed]) {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    t.match(claims, { roles: [role], gv: 1, adm: false, codes: [] })
    t.same([...(await callerOf(token)).codes], ['job.run'])
  }
  const caller = await guard.basic(person('ben').email, person('ben').password, '127.0.0.1')
  t.match(caller, { roleIds: [role], rolesVersion: 1 })
  t.ok(caller.codes.has('job.run'))
})

await t.test('a service that starts later knows the roles and the overrides', async (t) => {
  const user = await addMember('cleo')
  const { access_token } = await tokensOf(api, 'cleo')
  await link(await addRole('late', [menu.jobView]), user)
  const late = await createGuard({ bus, log: quietLog })
  t.teardown(() => late.close())
  t.ok(late.token(access_token).codes.has('job.view'), 'at once, from a token that says nothing of it')
})

await t.test('an effect that NATS missed comes once it is back', async (t) => {
  const user = await addMember('dora')
  const { access_token } = await tokensOf(api, 'dora')
  const role = await addRole('missed', [menu.jobView])
  await parts.killNats()
  await link(role, user)
  await parts.startNats()
  const isThere = async () => (await callerOf(access_token)).codes.has('job.view')
  t.ok(await until(isThere, { what: 'the effect', deadlineMs: 20_000 }))
})

await t.test('lists the codes of roles page by page, each once', async (t) => {
  const found: string[] = []
  let after: string | undefined = ''
  while (after !== undefined) {
    const page: { roles: { roleId: string }[]; next?: string | undefined } = await bus.request(listRoleCodes, {
      after,
      limit: 2
    })
    found.push(...page.roles.map(({ roleId }) => roleId))
    after = page.next
  }
  t.equal(new Set(found).size, found.length)
  t.equal(found.length, (await bus.request(listRoleCodes, { after: '', limit: 500 })).roles.length)
})

await t.test('tells services what is granted, to creators too', async (t) => {
  const tenantId = 'default'
  const userId = await addMember('gil')
  const ask = (of: object = {}) => bus.request(listGrants, { tenantId, userId, offset: 0, ...of })
  t.same(await ask(), { all: false, resources: [], roleIds: [] })
  const role = await addRole('makers', [])
  await link(role, userId)
  await post(`/user/roles/${role}/associate-resource`, { resources: [{ id: 'd1', type: 'DEVICE' }] })
  await bus.request(grantToCreator, { tenantId, userId, resource: { id: '5', type: 'DASHBOARD' } })
  const both = [
    { id: 'd1', type: 'DEVICE' },
    { id: '5', type: 'DASHBOARD' }
  ]
  t.same(await ask(), { all: false, resources: both, roleIds: [role] })
  t.match(await ask({ types: ['DASHBOARD'] }), { resources: [{ id: '5' }] })
  await bus.publish(resourceCreated, { tenantId, userId, resource: { id: '6', type: 'DASHBOARD' }, at: Date.now() })
  await until(async () => (await ask()).resources.length === 3, { what: 'the grant by the event' })
  for (let start = 0; start < 4000; start += 1000) {
    const resources = Array.from({ length: 1000 }, (_, i) => ({ id: `e${start + i}`, type: 'ENTITY' }))
    await post(`/user/roles/${role}/associate-resource`, { resources })
  }
  const first = await ask()
  t.equal(first.resources.length, 4000)
  t.match((await ask({ offset: first.next })).resources.length, 3, 'the rest on a second page')
  t.same(await ask({ tenantId: 'other' }), { all: false, resources: [], roleIds: [] }, 'unknown there')
  await link('1', userId)
  t.match(await ask(), { all: true, resources: [] })
  for (const [status, all] of [
    ['DISABLED', false],
    ['ENABLED', true]
  ] as const) {
    t.equal((await admin.put(`/user/members/${userId}/status`, { status })).status, 200)
    t.match(await ask(), { all }, status)
  }
  await admin.delete(`/user/members/${userId}`)
  t.same(await ask(), { all: false, resources: [], roleIds: [] })
})
