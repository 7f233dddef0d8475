import { connectBus, listNames } from '@fleetgate/kit'
import { quietLog, type Session, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { client, person, startAuthFor } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
/** Devices, for the names of what it owns. */
const devices = await connectBus({ name: 'devices', url: parts.natsUrl, log: quietLog })
t.teardown(() => devices.close())

interface Wish {
  id?: string
  body?: unknown
  as?: Session
}

const asked = new Set<string>()
let admin: Session = api

/** Asks a route as the API reference prints it, `POST /user/roles/{id}/members`; answers the body. */
async function askBare(route: string, { id = '', body, as = admin }: Wish = {}): Promise<Record<string, unknown>> {
  asked.add(route)
  const [method = '', path = ''] = route.split(' ')
  const json = { 'content-type': 'application/json' }
  const isJson = body !== undefined && !(body instanceof URLSearchParams)
  const sent = isJson ? JSON.stringify(body) : (body as URLSearchParams | undefined)
  const reply = await as.send<Record<string, unknown>>(method, path.replace(/\{\w+\}/, id), sent, isJson ? json : {})
  if (reply.status > 204) throw new Error(`${route}: ${reply.status} ${reply.text}`)
  return reply.body
}

/** The same for routes in the envelope of Beaver; answers its `data`. */
async function ask<T = unknown>(route: string, wish: Wish = {}): Promise<T> {
  const { status, request_id, data, ...more } = await askBare(route, wish)
  t.match({ status, request_id }, { status: 'Success', request_id: /^[0-9a-f]{32}$/ }, route)
  t.same(more, {}, `nothing beside the envelope of ${route}`)
  return data as T
}

interface Page {
  content: Record<string, unknown>[]
  total: number
}

const nothing = undefined
const digits = /^\d+$/
const time = /^\d{13}$/

async function signIn(name: string, password = person(name).password): Promise<Session> {
  const body = new URLSearchParams({ grant_type: 'password', username: person(name).email, password, ...client })
  return api.as(String((await askBare('POST /oauth2/token', { body, as: api })).access_token))
}

const add = (name: string) =>
  ask<{ user_id: string }>('POST /user/members', { body: person(name) }).then(({ user_id }) => user_id)

await t.test('registration and tokens', async (t) => {
  t.same(await ask('GET /user/status'), { init: false })
  t.equal(await ask('POST /user/register', { body: person('admin') }), nothing)
  t.same(await ask('GET /user/status'), { init: true })

  const { email, password } = person('admin')
  const form = new URLSearchParams({ grant_type: 'password', username: email, password, ...client })
  const issued = await askBare('POST /oauth2/token', { body: form })
  const fields = { access_token: String, expires_in: 86400, refresh_token: String }
  t.match(issued, { ...fields, data: fields })
  const again = { grant_type: 'refresh_token', refresh_token: issued.refresh_token, ...client }
  t.match(await askBare('POST /oauth2/token', { body: again }), fields)
  t.match(await askBare('GET /oauth2/jwks'), { keys: [{ kty: 'RSA', use: 'sig', alg: 'RS256', kid: String }] })
  const linker = await askBare('POST /v1/user/login', { body: { username: email, password } })
  t.match(linker, { success: true, data: { id: String, userId: digits, username: email } })
  admin = api.as(String(issued.access_token))
})

await t.test('oneself and the members', async (t) => {
  const me = await ask<{ menus: unknown[] }>('GET /user')
  const role = { role_id: '1', role_name: 'super_admin' }
  t.match(me, { tenant_id: 'default', user_id: digits, nickname: 'admin', email: person('admin').email })
  t.match(me, { created_at: time, roles: [role], super_admin: true, is_super_admin: true, status: 'ENABLED' })
  t.match(me.menus[0], { menu_id: digits, code: String, name: String, type: 'MENU' })

  const id = await add('bob')
  const edited = { email: person('bobby').email, nickname: 'Bobby' }
  t.equal(await ask('PUT /user/members/{id}', { id, body: edited }), nothing)
  const found = await ask<Page>('POST /user/members/search', { body: { keyword: 'bobby' } })
  t.match(found, { total: 1, page_number: 1, page_size: 10 })
  t.match(found.content, [{ tenant_id: 'default', user_id: id, created_at: time, status: 'ENABLED', ...edited }])

  const password = 'set by the admin'
  t.equal(await ask('PUT /user/members/{id}/change-password', { id, body: { password } }), nothing)
  const bob = await signIn('bobby', password)
  const own = { old_password: password, new_password: 'chosen by bob' }
  t.equal(await ask('PUT /user/password', { body: own, as: bob }), nothing)
  t.ok(await signIn('bobby', own.new_password))
  t.equal(await ask('PUT /user/members/{id}/status', { id, body: { status: 'DISABLED' } }), nothing)
  t.equal(await ask('PUT /user/members/{id}/status', { id, body: { status: 'ENABLED' } }), nothing)

  t.equal(await ask('DELETE /user/members/{id}', { id }), nothing)
  const ids = [await add('one'), await add('two')]
  t.equal(await ask('POST /user/batch-delete', { body: { user_id_list: ids } }), nothing)
  t.match(await ask<Page>('POST /user/members/search', { body: {} }), { total: 1 })
})

await t.test('menus', async (t) => {
  const draft = { code: 'reports', name: 'Reports', type: 'MENU', parent_id: '1000' }
  const { menu_id: id } = await ask<{ menu_id: string }>('POST /user/menus', { body: draft })
  t.match(id, digits)
  t.equal(await ask('PUT /user/menus/{id}', { id, body: { name: 'Figures', type: 'FUNCTION' } }), nothing)
  type Node = { menu_id: string; children: Node[] }
  const dashboards = (await ask<Node[]>('GET /user/menus')).find(({ menu_id }) => menu_id === '1000')
  const changed = { menu_id: id, code: 'reports', name: 'Figures', type: 'FUNCTION', parent_id: '1000' }
  t.match(dashboards, { code: 'dashboard', type: 'MENU' })
  t.match(dashboards?.children.at(-1), { ...changed, children: [] })
  t.equal(await ask('DELETE /user/menus/{id}', { id }), nothing)
})

await t.test('roles, their users and their menus', async (t) => {
  const body = { name: 'operators', description: 'run jobs' }
  const { role_id: id } = await ask<{ role_id: string }>('POST /user/roles', { body })
  t.match(id, digits)
  t.equal(await ask('PUT /user/roles/{id}', { id, body: { ...body, description: 'run all jobs' } }), nothing)
  const userId = await add('carl')
  const row = { user_id: userId, nickname: 'carl', email: person('carl').email }
  const lacking = await ask<Page>('POST /user/roles/{id}/undistributed-users', { id, body: { keyword: 'carl' } })
  t.same(lacking.content, [row])
  t.equal(await ask('POST /user/roles/{id}/associate-user', { id, body: { user_ids: [userId] } }), nothing)
  const [found] = (await ask<Page>('POST /user/roles/search', { body: { keyword: 'operators' } })).content
  t.match(found, { role_id: id, name: 'operators', description: 'run all jobs', created_at: time })
  t.match(found, { user_role_count: 1, role_integration_count: 0 })
  const member = { role_id: id, user_id: userId, user_nickname: 'carl', user_email: row.email }
  t.same(await ask('GET /user/roles/{id}/members', { id }), [member])
  t.same((await ask<Page>('POST /user/roles/{id}/members', { id, body: {} })).content, [member])

  t.equal(await ask('POST /user/roles/{id}/associate-menu', { id, body: { menu_ids: ['10001'] } }), nothing)
  const menu = { menu_id: '10001', code: 'job.view', name: String, type: 'FUNCTION', parent_id: '10000' }
  t.match(await ask('GET /user/roles/{id}/menus', { id }), [menu])
  const ofUser = await ask<{ menu_id: string }[]>('GET /user/members/{id}/menus', { id: userId })
  t.match(
    ofUser.find(({ menu_id }) => menu_id === '10001'),
    menu
  )

  t.equal(await ask('POST /user/roles/{id}/disassociate-user', { id, body: { user_ids: [userId] } }), nothing)
  t.same(await ask('GET /user/roles/{id}/members', { id }), [])
  t.equal(await ask('DELETE /user/roles/{id}', { id }), nothing)
})

await t.test('roles and what they are granted', async (t) => {
  const { user_id: userId } = await ask<{ user_id: string }>('GET /user')
  const device = { id: '7', name: 'Pump', createdAt: 1700000000000, userId, parentId: 'mqtt', parentName: 'MQTT' }
  const integration = { id: 'mqtt', name: 'MQTT', deviceCount: 3, entityCount: 9 }
  const named = { DEVICE: device, DASHBOARD: device, INTEGRATION: integration, ENTITY: device, WORKFLOW: device }
  await devices.serve(listNames, async ({ type }) => ({ isKnown: true, total: 1, items: [named[type]] }))
  const creator = { user_id: userId, user_nickname: 'admin', user_email: person('admin').email, user_deleted: false }
  const deviceRow = {
    device_id: '7',
    device_name: 'Pump',
    created_at: '1700000000000',
    integration_id: 'mqtt',
    integration_name: 'MQTT',
    ...creator
  }
  const dashboardRow = { dashboard_id: '7', dashboard_name: 'Pump', created_at: '1700000000000', ...creator }
  const integrationRow = { integration_id: 'mqtt', integration_name: 'MQTT', device_num: 3, entity_num: 9 }

  const { role_id: id } = await ask<{ role_id: string }>('POST /user/roles', { body: { name: 'granted' } })
  const list = async (what: string) =>
    (await ask<Page>(`POST /user/roles/{id}/${what}`, { id, body: { keyword: '' } })).content
  t.same(await list('undistributed-dashboards'), [dashboardRow])
  t.same(await list('undistributed-integrations'), [integrationRow])
  t.same(await list('undistributed-devices'), [deviceRow])
  const resources = [
    { id: '7', type: 'DEVICE' },
    { id: '7', type: 'DASHBOARD' },
    { id: 'mqtt', type: 'INTEGRATION' }
  ]
  t.equal(await ask('POST /user/roles/{id}/associate-resource', { id, body: { resources } }), nothing)
  t.same(await list('dashboards'), [dashboardRow])
  t.same(await list('integrations'), [integrationRow])
  t.same(await list('devices'), [{ ...deviceRow, role_integration: false }])
  const granted = await ask<Page>('POST /user/roles/{id}/resources', { id, body: { resource_type: 'DEVICE' } })
  t.same(granted.content, [{ resource_id: '7', resource_type: 'DEVICE' }])
  const question = { resource_type: 'DEVICE', resource_id: '7' }
  t.same(await ask('POST /user/members/{id}/permission', { id: userId, body: question }), { has_permission: true })
  t.same(await ask('POST /user/members/{id}/permission', { id: '1', body: question }), { has_permission: false })
  t.equal(await ask('POST /user/roles/{id}/disassociate-resource', { id, body: { resources } }), nothing)
  t.same(await list('resources'), [])
})

await t.test('what the document does not have: tenants, service tokens, keys, the record of changes', async (t) => {
  const tenant = { ...person('boss'), tenant_id: 'other', name: 'Other' }
  t.match(await ask('POST /user/tenants', { body: tenant }), { tenant_id: 'other', user_id: digits })
  const draft = { name: 'robot', codes: ['job.view'] }
  const made = await ask<{ id: string; token: string }>('POST /user/tokens', { body: draft })
  t.match(made.token, /^fgt_/)
  const listed = { id: made.id, created_at: time, expires_at: time, user_id: digits, ...draft }
  t.match(await ask('GET /user/tokens'), [listed])
  t.match((await ask<Page>('POST /user/tokens/search', { body: {} })).content, [listed])
  t.equal(await ask('DELETE /user/tokens/{id}', { id: made.id }), nothing)
  t.match(await ask('POST /oauth2/keys/rotate'), { kid: String })
  const [last] = (await ask<Page>('POST /user/audit/search', { body: {} })).content
  t.match(last, { action: 'signing-key.rotate', result: 'succeeded', user_nickname: 'admin', created_at: time })
})

await t.test('IAM: log-in, project and account, access keys', async (t) => {
  const { email, password } = person('admin')
  const domain = { name: 'default' }
  const identity = { methods: ['password'], password: { user: { name: email, password, domain } } }
  const body = { auth: { identity, scope: { project: { name: 'default' } } } }
  const tenant = { id: 'default', name: 'default' }
  const utc = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/
  const place = { ...tenant, description: '', enabled: true }
  t.match(await askBare('POST /v3/auth/tokens', { body }), {
    token: {
      methods: ['password'],
      issued_at: utc,
      expires_at: utc,
      user: { id: digits, name: email, domain: tenant, password_expires_at: '' },
      roles: [{ id: '1', name: 'super_admin' }],
      project: { ...tenant, domain: tenant },
      catalog: [{ type: 'dms', endpoints: [{ interface: 'public', url: /\/v2\/default$/ }] }, { type: 'identity' }]
    }
  })
  t.match(await askBare('GET /v3/projects'), { projects: [{ ...place, domain_id: 'default' }] })
  t.match(await askBare('GET /v3/auth/projects'), { projects: [place] })
  t.match(await askBare('GET /v3/auth/domains'), { domains: [place] })

  const { user_id } = await ask<{ user_id: string }>('GET /user')
  const made = await askBare('POST /v3.0/OS-CREDENTIAL/credentials', {
    body: { credential: { user_id, description: 'x' } }
  })
  const { secret, ...shown } = made.credential as Record<string, string>
  const listed = { user_id, description: 'x', status: 'active', create_time: utc, access: /^[A-Z0-9]{20}$/ }
  t.match(shown, listed)
  t.match(secret, /^[A-Za-z0-9]{40}$/)
  t.same(await askBare('GET /v3.0/OS-CREDENTIAL/credentials'), { credentials: [shown] })
  const one = { id: shown.access ?? '' }
  const route = '/v3.0/OS-CREDENTIAL/credentials/{access_key}'
  t.match(await askBare(`GET ${route}`, one), { credential: { ...shown, last_use_time: utc } })
  const change = { credential: { status: 'inactive', description: 'y' } }
  t.match(await askBare(`PUT ${route}`, { ...one, body: change }), {
    credential: { ...shown, status: 'inactive', description: 'y' }
  })
  t.equal(await askBare(`DELETE ${route}`, one), nothing)
})

await t.test('no route is missing here', async (t) => {
  const offered: string[] = []
  for (const dialect of ['beaver', 'linker', 'iam']) {
    const printed = await api.get<{ paths: Record<string, object> }>(`/openapi/${dialect}.json`)
    for (const [path, operations] of Object.entries(printed.body.paths)) {
      offered.push(...Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`))
    }
  }
  t.ok(offered.length > 45)
  t.same([...asked].sort(), offered.sort())
})
