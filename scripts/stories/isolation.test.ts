/**
 * Tenants never meet, and people do what their roles allow. Walks the printed API: every operation of every dialect is
 * tried with another tenant's ids, in its path, its query and its body.
 */
import { type Session, startStackFor } from '@fleetgate/testkit'
import t, { type Test } from 'tap'
import { passes, sample, type WishFor } from './sample.js'
import { clusterOf, data, populate, secret, type Tenant } from './tenant.js'

const stack = await startStackFor(t)
const { api } = stack
await api.register()
const here = api.as(await api.login())
/** Stands in every name of the first tenant, and never in a request of the second. */
const marker = 'zebra'

const dialects = ['beaver', 'sdes', 'emq', 'dms', 'linker', 'iam'] as const

interface Operation {
  requestBody?: { content: Record<string, { schema: Record<string, unknown> }> }
  parameters?: { name: string; in: string; required?: boolean; schema: Record<string, unknown> }[]
}

/** All that the first tenant can read of itself, without what changes by looking. */
async function portrait(session: Session, { idOf }: Tenant): Promise<string> {
  const own = (template: string) => template.replaceAll(/\{(\w+)\}/g, (_, name: string) => idOf(template, name))
  const read = [
    ...['/dashboard/dashboards', '/dashboard/{id}/share', '/v1/groups', '/v1/settings/attributes', '/user/menus'],
    ...['/user/tokens', '/user/roles/{id}/menus', '/v1/jobs', '/v1/tasks', '/v1/clients', '/v1/clients/enrolments'],
    ...['/v1/jobs/{jobId}/tasks', '/v1/jobs/{jobId}/clients', '/v1/jobs/{jobId}/groups', '/v1/files'],
    ...['/v2/{project}/instances/{instance}/users', '/v1/pubkey', '/v1/smtp', '/v1/dockerregistries', '/v1/provider'],
    ...['/v1/cluster', '/v1/cluster/{id}/hosts', '/api/v2/users', '/v3.0/OS-CREDENTIAL/credentials'],
    ...['/credentials?credentials_type=HTTP', '/entity/{id}/status', '/workflow/flows/{id}/design']
  ]
  const searched = [
    ...['/device/search', '/entity/search', '/device-group/search', '/entity/tags/search', '/user/members/search'],
    ...['/user/roles/search', '/user/roles/{id}/members', '/user/roles/{id}/resources', '/workflow/flows/search'],
    ...['/mqtt-device/device-template/search', '/user/tokens/search']
  ]
  const lists = [
    ...(await Promise.all(read.map((path) => session.get(own(path))))),
    ...(await Promise.all(searched.map((path) => session.post(own(path), { page_size: 100 }))))
  ]
  for (const reply of lists) {
    if (reply.status !== 200) throw new Error(reply.text)
    if (/"(data|content|list|users|result|credentials)":\[\]/.test(reply.text))
      throw new Error(`nothing in ${reply.text}`)
  }
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

const other = { email: 'other@example.com', password: 'Abcd1234!' }

t.test("another tenant's ids open nothing, whatever the operation", async (t) => {
  const first = await populate({ session: here, id: 'default', marker, spare: true })
  const made = await here.post('/user/tenants', { tenant_id: 'other', name: 'Other', nickname: 'other', ...other })
  t.equal(made.status, 200, made.text)
  const there = api.as(await token())
  const second = await populate({ session: there, id: 'other', marker: 'quagga', spare: false })
  const before = await portrait(here, first)
  const places = await printedPlaces()
  let named = 0
  // Foreign ids in bodies and queries are seen only where the path leads to something; so these come first.
  for (const place of places) {
    if (!namesForeign(place, first)) continue
    named += 1
    await attempt(t, place, { paths: second, bodies: first })
  }
  await refusesForeignParts(t, first)
  t.ok(named > 60, `${named} operations with ids in body or query`)
  t.equal(await portrait(here, first), before, 'nothing of the first tenant has changed')
  for (const place of places) await attempt(t, place, { paths: first, bodies: first })
  t.ok(places.length > 300, `${places.length} operations`)
  t.equal(await portrait(here, first), before, 'and nothing of the first tenant has changed')
})

interface Place extends Operation {
  method: string
  template: string
}

async function printedPlaces(): Promise<Place[]> {
  type Printed = { paths: Record<string, Record<string, Operation>> }
  const documents = await Promise.all(dialects.map((dialect) => api.get<Printed>(`/docs/${dialect}.json`)))
  return documents.flatMap(({ body: { paths } }) =>
    Object.entries(paths).flatMap(([template, operations]) =>
      Object.entries(operations).map(([method, operation]) => ({
        ...operation,
        template,
        method: method.toUpperCase()
      }))
    )
  )
}

const bodySchema = ({ requestBody }: Operation) => requestBody?.content['application/json']?.schema

function namesForeign(place: Place, { wishFor }: Tenant): boolean {
  const schema = bodySchema(place)
  const plain = schema && JSON.stringify(sample(schema))
  const inBody = schema && JSON.stringify(sample(schema, wishFor(place.template))) !== plain
  return inBody === true || queriesOf(place, wishFor(place.template)).length > 1
}

/** Tries an operation from the second tenant: it answers, fails in no way of ours, and tells nothing of the first. */
async function attempt(t: Test, place: Place, { paths, bodies }: { paths: Tenant; bodies: Tenant }): Promise<void> {
  const { method, template } = place
  const path = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(paths.idOf(template, name)))
  const schema = bodySchema(place)
  const body = schema && sample(schema, bodies.wishFor(template))
  if (schema) t.ok(passes(schema, body), `${method} ${template} passes: ${JSON.stringify(body)}`)
  for (const query of queriesOf(place, bodies.wishFor(template))) {
    const send = async () =>
      api
        .as(await token())
        .send(method, path + query, schema && JSON.stringify(body), schema && { 'content-type': 'application/json' })
    let reply = await send()
    // Some operations end the caller's own tokens.
    if (reply.status === 401) {
      current = undefined
      reply = await send()
    }
    t.ok(reply.status < 500, `${method} ${path}: ${reply.status} ${reply.text.slice(0, 200)}`)
    t.notMatch(reply.text, marker, `${method} ${path}${query} tells nothing`)
  }
}

/** What the API's schemas cannot tell: hosts and settings that a cluster of foreign parts needs to get as far as them. */
async function refusesForeignParts(t: Test, { wishFor }: Tenant): Promise<void> {
  const there = api.as(await token())
  const cluster = clusterOf('thief', 5)
  const [key, registry, provider] = [['pubkeyId'], ['dockerRegistries', '_id'], ['providerId']].map(
    wishFor('/v1/cluster')
  )
  for (const parts of [
    { pubkeyId: [key] },
    { dockerRegistries: [{ _id: registry }] },
    { type: 'openstack', providerId: provider, masterNodes: [], sharedNodes: [] }
  ]) {
    const reply = await there.post('/v1/cluster', { ...cluster, ...parts })
    t.ok(reply.status >= 400 && reply.status < 500, `${JSON.stringify(parts)}: ${reply.status} ${reply.text}`)
  }
}

let current: string | undefined
async function token(): Promise<string> {
  current ??= await api.login(other.email, other.password)
  return current
}

/** What must be there, and once more with what may name something of the first tenant. Other filters would hide things. */
function queriesOf({ parameters = [] }: Operation, wishFor: WishFor): string[] {
  const inQuery = parameters.filter((parameter) => parameter.in === 'query')
  const needed = inQuery.filter(({ required }) => required)
  const naming = inQuery.filter(({ name, required }) => required || wishFor([name]) !== undefined)
  const text = (of: typeof inQuery) =>
    `?${of.map(({ name, schema }) => `${name}=${encodeURIComponent(String(sample(schema, wishFor, [name])))}`).join('&')}`
  return [...new Set([text(needed), text(naming)])]
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
