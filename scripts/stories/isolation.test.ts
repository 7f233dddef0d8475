/**
 * Tenants never meet, and people do what their roles allow. Walks the printed API: every operation of every dialect is
 * tried with another tenant's ids.
 */
import { generateKeyPairSync } from 'node:crypto'
import { type Reply, type Session, startStackFor, until } from '@fleetgate/testkit'
import t from 'tap'
import { sample } from './sample.js'

const stack = await startStackFor(t)
const { api } = stack
await api.register()
const here = api.as(await api.login())
const secret = 'Abcd1234!'
/** Stands in every name of the first tenant, and never in a request of the second. */
const marker = 'zebra'

const data = <T>(reply: Reply) => (reply.body as { data: T }).data
const dialects = ['beaver', 'sdes', 'emq', 'dms', 'linker', 'iam'] as const

interface Operation {
  requestBody?: { content: Record<string, { schema: Record<string, unknown> }> }
  parameters?: { name: string; in: string; schema: Record<string, unknown> }[]
}

/** One of everything in the first tenant; answers its ids by the paths they stand in. */
async function populate(): Promise<(path: string, parameter: string) => string> {
  const ok = (reply: Reply) => {
    if (reply.status !== 200) throw new Error(reply.text)
    return reply
  }
  const dashboard = data<{ dashboard_id: string }>(ok(await here.post('/dashboard', { name: marker })))
  const member = { email: `${marker}@example.com`, nickname: marker, password: secret }
  const user = data<{ user_id: string }>(ok(await here.post('/user/members', member)))
  const role = data<{ role_id: string }>(ok(await here.post('/user/roles', { name: marker, description: marker })))
  const menu = { code: `${marker}.page`, name: marker, type: 'MENU' }
  const { menu_id } = data<{ menu_id: string }>(ok(await here.post('/user/menus', menu)))
  const token = data<{ id: string }>(ok(await here.post('/user/tokens', { name: marker, codes: ['job.view'] })))
  const form = { name: marker, integration: 'ping', param_entities: { 'ping.integration.add_device.ip': '127.0.0.9' } }
  ok(await here.post('/device', form))
  const [device] = data<{ content: { id: string }[] }>(ok(await here.post('/device/search', {}))).content
  const custom = { identifier: marker, name: marker, type: 'PROPERTY', access_mod: 'RW', value_type: 'STRING' }
  const entity = data<{ id: string }>(ok(await here.post('/entity', custom)))
  ok(await here.post('/entity/property/update', { exchange: { [`system.integration.${marker}`]: marker } }))
  ok(await here.post('/v1/groups', { type: 0, groupName: marker }))
  ok(await here.post('/v1/settings/attributes', { attributeName: marker, type: 0 }))
  ok(await here.post('/v1/jobs', { jobName: marker }))
  ok(await here.post('/v1/tasks', { taskName: marker, description: marker, enabled: true, priority: 0 }))
  ok(await here.post('/v1/clients', { mqttClientId: 'till-1', username: marker, ip: '127.0.0.1' }))
  const grants = [{ name: `${marker}/#`, perm: 'PUB|SUB' }]
  const mqttUser = { access_key: 'machine_1', secret_key: secret, topic_perms: grants }
  ok(await here.post('/v2/default/instances/default/users', mqttUser))
  ok(await here.post('/v1/pubkey/userSelfCreate', { name: marker }))
  const smtp = data<{ _id: string }>(ok(await here.post('/v1/smtp', { name: marker, address: 'smtp.example.com' })))
  const me = data<{ user_id: string }>(ok(await here.get('/user')))
  const wish = { credential: { user_id: me.user_id, description: marker } }
  const accessKey = await here.post<{ credential: { access: string } }>('/v3.0/OS-CREDENTIAL/credentials', wish)
  const [key] = data<{ _id: string; user_id: string }[]>(ok(await here.get('/v1/pubkey')))
  const enrolment = ok(await here.post('/v1/clients/enrolments', { name: marker })).body as { enrolmentId: string }
  const ids: Ids = [
    ...(await populateDevices(ok)),
    ...(await populateClusters(ok)),
    [/^\/v1\/clients\/enrolments/, enrolment.enrolmentId],
    // Who has a link may look, of whatever tenant: these are none.
    [/^\/dashboard\/shared/, 'there-is-no-such-link-anywhere'],
    [/^\/db-resource/, 'x'.repeat(32)],
    [/^\/dashboard/, dashboard.dashboard_id],
    [/^\/integration/, 'ping'],
    [/^\/device/, device?.id],
    [/^\/entity/, entity.id],
    [/^\/user\/members/, user.user_id],
    [/^\/user\/roles/, role.role_id],
    [/^\/user\/menus/, menu_id],
    [/^\/user\/tokens/, token.id],
    [/downLoadKey/, key?.user_id],
    [/^\/v1\/pubkey/, key?._id],
    [/^\/v1\/smtp/, smtp._id],
    [/^\/v3\.0\/OS-CREDENTIAL/, accessKey.body.credential.access],
    [/^\/v1\//, '1'],
    [/^\/v2\//, 'machine_1'],
    [/^\/api\/v2\/(users|change_pwd)/, user.user_id],
    [/^\/api\/v2/, 'till-1']
  ]
  return (path, parameter) => {
    if (parameter === 'project' || parameter === 'instance') return 'default'
    if (parameter === 'node') return 'fleetgate@127.0.0.1'
    const found = ids.find(([pattern]) => pattern.test(path))?.[1]
    if (!found) throw new Error(`no id for ${path}: give the first tenant one of these`)
    return found
  }
}

type Ok = (reply: Reply) => Reply
type Ids = [RegExp, string | undefined][]

async function populateDevices(ok: Ok): Promise<Ids> {
  const template = data<{ id: string }>(
    ok(
      await here.post('/mqtt-device/device-template', {
        name: marker,
        topic: `${marker}/{device}/state`,
        entities: [{ identifier: 'on', name: marker, type: 'PROPERTY', access_mod: 'R', value_type: 'BOOLEAN' }]
      })
    )
  )
  const credential = { credentials_type: 'HTTP', access_key: marker, access_secret: `${marker}-${secret}` }
  const credentials = data<{ id: string }>(ok(await here.post('/credentials', credential)))
  const entry = { entityConfigs: [{ identify: 'x', name: marker, type: 'LONG', required: true }] }
  const node = {
    ...{ id: 'in', type: 'trigger', componentName: 'trigger', position: { x: 0, y: 0 } },
    data: { nodeName: marker, parameters: entry }
  }
  const design_data = JSON.stringify({ nodes: [node], edges: [], viewport: { x: 0, y: 0, zoom: 1 } })
  const flow = data<{ flow_id: string }>(
    ok(await here.post('/workflow/flows/design', { name: marker, remark: '', enabled: false, design_data }))
  )
  const group = data<{ id: string }>(ok(await here.post('/device-group', { name: marker })))
  const tag = data<{ id: string }>(ok(await here.post('/entity/tags', { name: marker.slice(0, 25) })))
  // The fleet's machine becomes a device a little later than it is made.
  await until(async () => data<{ content: unknown[] }>(await here.post('/device/search', {})).content.length === 2, {
    what: 'the machine among the devices'
  })
  return [
    [/^\/mqtt-device/, template.id],
    [/^\/device-group/, group.id],
    [/^\/entity\/tags/, tag.id],
    [/^\/public/, 'ping-logo.svg'],
    [/^\/credentials\/default/, 'HTTP'],
    [/^\/credentials/, credentials.id],
    [/^\/workflow-http-in/, `${credentials.id}@default`],
    [/^\/workflow\/components/, 'trigger'],
    [/^\/workflow/, flow.flow_id]
  ]
}

async function populateClusters(ok: Ok): Promise<Ids> {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' }
  })
  // Nothing listens there: the cluster fails, and stays for people to look at.
  const host = (ip: string) => ({ ip, sshPort: 9, sshUser: 'root', privateKey, privateNicName: 'eth0' })
  const cluster = data<{ _id: string; operationId: string }>(
    ok(
      await here.post('/v1/cluster', {
        ...{ name: marker, profile: 'nats', type: 'customized', createCategory: 'compact' },
        ...{ masterCount: 1, sharedCount: 1, pureslaveCount: 0 },
        ...{ masterNodes: [host('127.0.3.1')], sharedNodes: [host('127.0.3.2')] }
      })
    )
  )
  const registry = data<{ _id: string }>(
    ok(await here.post('/v1/dockerregistries', { name: marker, registry: `${marker}.example.com:5000` }))
  )
  const account = { name: marker, type: 'openstack', openstackInfo: { 'openstack-password': secret } }
  const provider = data<{ _id: string }>(ok(await here.post('/v1/provider', account)))
  return [
    [/^\/v1\/cluster/, cluster._id],
    [/^\/v1\/provider/, provider._id],
    [/^\/v1\/operations/, cluster.operationId],
    [/^\/v1\/dockerregistries/, registry._id]
  ]
}

/** All that the first tenant can read of itself, without what changes by looking. */
async function portrait(session: Session): Promise<string> {
  const lists = [
    await session.get('/dashboard/dashboards'),
    await session.post('/device/search', {}),
    await session.post('/entity/search', {}),
    await session.get('/v1/groups'),
    await session.get('/v1/settings/attributes'),
    await session.post('/user/members/search', {}),
    await session.post('/user/roles/search', {}),
    await session.get('/user/menus'),
    await session.get('/user/tokens'),
    await session.get('/v1/jobs'),
    await session.get('/v1/tasks'),
    await session.get('/v1/clients'),
    await session.get('/v2/default/instances/default/users'),
    await session.get('/v1/pubkey'),
    await session.get('/v1/smtp'),
    await session.get('/v1/dockerregistries'),
    await session.get('/v1/provider'),
    await session.get('/v1/clients/enrolments'),
    await session.post('/mqtt-device/device-template/search', {}),
    await session.post('/workflow/flows/search', {}),
    await session.get('/api/v2/users'),
    await session.get('/v3.0/OS-CREDENTIAL/credentials')
  ]
  for (const reply of lists) if (reply.status !== 200) throw new Error(reply.text)
  return JSON.stringify(lists.map(({ text }) => text.replace(/"request_id":"\w+"/, '')))
}

async function member(name: string, roleCodes?: string[]): Promise<Session> {
  const person = { email: `${name}@example.com`, nickname: name, password: secret }
  const { user_id } = data<{ user_id: string }>(await here.post('/user/members', person))
  if (roleCodes) {
    const { role_id } = data<{ role_id: string }>(await here.post('/user/roles', { name }))
    const menus = flatten(data<Menu[]>(await here.get('/user/menus')))
    const menu_ids = menus.filter(({ code }) => roleCodes.includes(code)).map(({ menu_id }) => menu_id)
    await here.post(`/user/roles/${role_id}/associate-menu`, { menu_ids })
    await here.post(`/user/roles/${role_id}/associate-user`, { user_ids: [user_id] })
  }
  return api.as(await api.login(person.email, secret))
}

interface Menu {
  menu_id: string
  code: string
  children?: Menu[]
}

function flatten(menus: Menu[]): Menu[] {
  return menus.flatMap((menu) => [menu, ...flatten(menu.children ?? [])])
}

t.test("another tenant's ids open nothing, whatever the operation", async (t) => {
  const idOf = await populate()
  const before = await portrait(here)
  const other = { email: 'other@example.com', password: secret }
  const made = await here.post('/user/tenants', { tenant_id: 'other', name: 'Other', nickname: 'other', ...other })
  t.equal(made.status, 200, made.text)
  let tried = 0
  for (const dialect of dialects) {
    const { paths } = (await api.get<{ paths: Record<string, Record<string, Operation>> }>(`/docs/${dialect}.json`))
      .body
    for (const [template, operations] of Object.entries(paths)) {
      const path = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(idOf(template, name)))
      for (const [method, operation] of Object.entries(operations)) {
        // Anew each time: some operations end the caller's own tokens.
        const there = api.as(await logInAgain(other))
        const schema = operation.requestBody?.content['application/json']?.schema
        const reply = await there.send(
          method.toUpperCase(),
          path + queryOf(operation),
          schema && JSON.stringify(sample(schema)),
          schema && { 'content-type': 'application/json' }
        )
        tried += 1
        t.ok(reply.status < 500, `${method} ${path}: ${reply.status} ${reply.text.slice(0, 200)}`)
        t.notMatch(reply.text, marker, `${method} ${path} tells nothing`)
      }
    }
  }
  t.ok(tried > 80, `${tried} operations`)
  t.equal(await portrait(here), before, 'and nothing of the first tenant has changed')
})

/** The second tenant's own admin may have changed the password by walking the API; its session then goes on. */
let session: string | undefined
async function logInAgain({ email, password }: { email: string; password: string }): Promise<string> {
  if (session && (await api.as(session).get('/user')).status === 200) return session
  session = await api.login(email, password)
  return session
}

function queryOf({ parameters = [] }: Operation): string {
  const query = parameters.filter((parameter) => parameter.in === 'query')
  return `?${query.map(({ name, schema }) => `${name}=${encodeURIComponent(String(sample(schema)))}`).join('&')}`
}

t.test('a member without a role is refused at every service, one with the codes is not', async (t) => {
  const routes = ['/dashboard/dashboards', '/v1/jobs', '/v1/clients', '/api/v2/management/nodes', '/v1/pubkey']
  const users = '/v2/default/instances/default/users'
  const nobody = await member('nobody')
  for (const path of [...routes, users]) t.equal((await nobody.get(path)).status, 403, path)
  t.equal((await nobody.post('/user/roles', { name: 'mine' })).status, 403, 'auth')
  const codes = ['dashboard.view', 'job.view', 'client.view', 'broker.view', 'key.view', 'mqtt_user.view']
  const viewer = await member('viewer', codes)
  for (const path of [...routes, users]) t.equal((await viewer.get(path)).status, 200, path)
  t.equal((await viewer.post('/v1/jobs', { jobName: 'mine' })).status, 403, 'looking is not editing')
})
