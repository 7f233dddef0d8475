import { createHmac } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connectBus, grantToCreator, listGrants, listPublicKeys, roleGrantsChanged, type Static } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, type Session, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { WebSocket } from 'ws'
import { createCredentialStore } from '../src/credentials/credentialStore.js'
import { createWorkflowStore } from '../src/workflows/workflowStore.js'
import { type Failure, startDevicesFor } from './support.js'
import { addEntity, dataOf, type Page, searchEntities } from './things.js'

/** Who may do what with which workflow, and what is left of one that changes or goes. */
const parts = await startParts(t)
const guardKeys = testGuardKeys()
const auth = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
t.teardown(() => auth.close())
const granted = new Map<string, string[]>()
const grantedEntities = new Map<string, string[]>()
await auth.serve(listPublicKeys, async () => ({ keys: guardKeys.keys }))
await auth.serve(listGrants, async ({ userId }): Promise<Static<typeof listGrants.reply>> => {
  const workflows = (granted.get(userId) ?? []).map((id) => ({ id, type: 'WORKFLOW' as const }))
  const entities = (grantedEntities.get(userId) ?? []).map((id) => ({ id, type: 'ENTITY' as const }))
  return { all: false, resources: [...workflows, ...entities], roleIds: [`r${userId}`] }
})
await auth.serve(grantToCreator, async ({ userId, resource }) => {
  granted.set(userId, [...(granted.get(userId) ?? []), resource.id])
  return {}
})
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_devices', log: quietLog })
t.teardown(() => store.close())
const calls: { body: string; headers: IncomingHttpHeaders }[] = []
const server = createServer(async (request, reply) => {
  calls.push({ body: (await request.toArray()).join(''), headers: request.headers })
  reply.end('ok')
}).listen(0, '127.0.0.1')
t.teardown(() => server.close())
await new Promise((resolve) => server.once('listening', resolve))
const webhookUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`

const env = { WORKFLOW_ALLOWED_HOSTS: '127.0.0.1', WORKFLOW_POLL_MS: '100', SWEEP_MS: '300' }
const api = await startDevicesFor(t, parts, env)
const admin = api.as(guardKeys.token())
const every = ['view', 'add', 'edit', 'delete'].map((verb) => `workflow.${verb}`)
const member = (userId: string, codes = every) => api.as(guardKeys.token({ userId, codes }))

const node = (id: string, componentName: string, parameters: object) => ({ id, componentName, data: { parameters } })
const trigger = (...names: string[]) =>
  node('in', 'trigger', { entityConfigs: names.map((identify) => ({ identify, type: 'LONG', required: true })) })
const output = node('out', 'output', { outputVariables: { n: '#{in.n}' } })
const design = (...nodes: { id: string }[]) =>
  JSON.stringify({ nodes, edges: nodes.slice(1).map(({ id }, i) => ({ source: nodes[i]?.id, target: id })) })
const signed = (secretKey: string) => design(trigger(), node('hook', 'webhook', { webhookUrl, secretKey }))

interface Saved {
  flow_id: string
  version: number
}
function save(session: Session, design_data: string, more: object = {}) {
  const flow = { name: 'flow', remark: '', enabled: true, design_data, ...more }
  return session.post<Failure & { data: Saved }>('/workflow/flows/design', flow)
}
const serviceOf = (id: string) => `system.integration.${id}`
const call = (id: string, params: object = {}) =>
  admin.post<Failure & { data: object }>('/entity/service/call', { exchange: { [serviceOf(id)]: params } })
async function designOf(id: string): Promise<string> {
  return dataOf<{ design_data: string }>(await admin.get(`/workflow/flows/${id}/design`)).design_data
}
async function servicesOf(id: string) {
  const keys = [serviceOf(id), `${serviceOf(id)}.n`, `${serviceOf(id)}.m`]
  const { content } = await searchEntities(admin, { entity_keys: keys })
  return content.map(({ entity_key, entity_name }) => [entity_key.slice(serviceOf(id).length), entity_name]).sort()
}

await t.test('others than super admins have the workflows that a role grants, and those they make', async (t) => {
  const { flow_id: hidden } = dataOf<Saved>(await save(admin, design(trigger('n'), output)))
  const { flow_id: shared } = dataOf<Saved>(await save(admin, design(trigger('n'), output)))
  granted.set('11', [shared])
  const some = member('11')
  const { flow_id: own } = dataOf<Saved>(await save(some, design(trigger('n'), output)))
  const found = dataOf<Page<{ id: string }>>(await some.post('/workflow/flows/search', {}))
  t.same(found.content.map(({ id }) => id).sort(), [shared, own].sort())
  dataOf(await call(hidden, { n: 1 }))
  const logs = dataOf<Page<{ id: string }>>(await admin.post(`/workflow/flows/${hidden}/logs/search`, {}))
  const log = logs.content[0]?.id ?? ''
  dataOf(await admin.get(`/workflow/flows/logs/${log}`))
  const refused = await Promise.all([
    some.get(`/workflow/flows/${hidden}/design`),
    some.get(`/workflow/flows/${hidden}/disable`),
    some.get(`/workflow/flows/${hidden}/enable`),
    some.put(`/workflow/flows/${hidden}`, { name: 'mine', remark: '' }),
    some.post(`/workflow/flows/${hidden}/logs/search`, {}),
    some.get(`/workflow/flows/logs/${log}`),
    some.post('/workflow/flows/batch-delete', { workflow_id_list: [shared, hidden] }),
    save(some, design(trigger(), output), { id: hidden, version: 1 })
  ])
  t.same(
    refused.map(({ status }) => status),
    refused.map(() => 404)
  )
  t.equal((await some.get(`/workflow/flows/${shared}/design`)).status, 200, 'of the two nothing was deleted')
  t.equal((await member('12').post<{ data: Page<object> }>('/workflow/flows/search', {})).body.data.total, 0)
})

await t.test('deleting the service of a workflow deletes the workflow, for who may', async (t) => {
  const make = async () => dataOf<Saved>(await save(admin, design(trigger('n'), output))).flow_id
  const [shared, hidden, kept] = [await make(), await make(), await make()]
  const customized = await searchEntities(admin, { customized: true, keyword: shared })
  t.match(customized.content, [{ entity_is_customized: true }, { entity_is_customized: true }])
  t.equal((await searchEntities(admin, { customized: false, keyword: shared })).total, 0)
  const idOf = async (key: string) => (await searchEntities(admin, { entity_keys: [key] })).content[0]?.entity_id ?? ''
  const [sharedService, hiddenService] = [await idOf(serviceOf(shared)), await idOf(serviceOf(hidden))]
  granted.set('15', [shared])
  grantedEntities.set('15', [hiddenService])
  const remove = (session: Session, ...entity_ids: string[]) => session.post<Failure>('/entity/delete', { entity_ids })
  const custom = await addEntity(admin, {})
  const unable = await remove(member('15', ['entity_custom.delete']), sharedService, custom)
  t.match([unable.status, unable.body.error_message], [403, /workflow\.delete/])
  t.equal((await admin.get(`/entity/${custom}/meta`)).status, 200, 'nothing was deleted')

  const able = member('15', ['entity_custom.delete', 'workflow.delete'])
  const parameter = await idOf(`${serviceOf(kept)}.n`)
  t.equal((await remove(admin, parameter)).status, 200)
  t.equal((await servicesOf(kept)).length, 2, 'a parameter is a part of the design')
  t.equal((await remove(able, sharedService, hiddenService)).status, 200)
  t.equal((await admin.get(`/workflow/flows/${shared}/design`)).status, 404)
  t.same(await servicesOf(shared), [])
  t.equal((await admin.get(`/workflow/flows/${hidden}/design`)).status, 200, 'not granted to them')
  t.equal((await servicesOf(hidden)).length, 2)
  t.equal((await remove(admin, hiddenService)).status, 200)
  t.equal((await admin.get(`/workflow/flows/${hidden}/design`)).status, 404)
})

await t.test('adding and editing are two rights', async (t) => {
  const { flow_id } = dataOf<Saved>(await save(admin, design(trigger('n'), output)))
  granted.set('21', [flow_id]).set('22', [flow_id])
  const change = { id: flow_id, version: 1, name: 'changed' }
  t.equal((await save(member('21', ['workflow.add']), design(trigger(), output), change)).status, 403)
  t.equal((await save(member('22', ['workflow.edit']), design(trigger(), output))).status, 403)
  t.equal((await save(member('21', ['workflow.add']), design(trigger(), output))).status, 200)
  t.equal((await save(member('22', ['workflow.edit']), design(trigger(), output), change)).status, 200)
})

await t.test('the service of a trigger follows its workflow, and a refused change leaves it as it was', async (t) => {
  const { flow_id } = dataOf<Saved>(await save(admin, design(trigger('n'), output), { name: 'one' }))
  t.same(await servicesOf(flow_id), [
    ['', 'one'],
    ['.n', 'n']
  ])
  const late = await save(admin, design(trigger('m'), output), { id: flow_id, version: 7, name: 'late' })
  t.equal(late.status, 400)
  const made = { credentials_type: 'HTTP', access_key: 'u', access_secret: 's' }
  const { id: credential } = dataOf<{ id: string }>(await admin.post('/credentials', made))
  const http = design(node('in', 'httpIn', { method: 'GET', url: '/taken', credential }), output)
  dataOf(await save(admin, http))
  t.equal((await save(admin, http, { id: flow_id, version: 1 })).status, 409)
  t.same(dataOf(await call(flow_id, { n: 4 })), { n: '4' }, 'it is called as before')
  dataOf(await admin.put(`/workflow/flows/${flow_id}`, { name: 'two', remark: '' }))
  t.same(await servicesOf(flow_id), [
    ['', 'two'],
    ['.n', 'n']
  ])
  dataOf(await save(admin, design(trigger('m'), output), { id: flow_id, version: 1, name: 'three' }))
  t.same(await servicesOf(flow_id), [
    ['', 'three'],
    ['.m', 'm']
  ])
  dataOf(await admin.post('/workflow/flows/batch-delete', { workflow_id_list: [flow_id] }))
  t.same(await servicesOf(flow_id), [])
})

await t.test('the service of a trigger is seen and called by those who may see its workflow', async (t) => {
  const { flow_id: hidden } = dataOf<Saved>(await save(admin, design(trigger('n'), output), { name: 'hidden' }))
  const { flow_id: shared } = dataOf<Saved>(await save(admin, design(trigger('n'), output), { name: 'shared' }))
  granted.set('41', [shared])
  const codes = ['dashboard.view', 'dashboard.edit', 'entity_custom.view', 'entity_data.view', 'workflow.add']
  const some = member('41', codes)
  const keys = async (session: Session, id: string) => {
    const { content } = await searchEntities(session, { entity_keys: [serviceOf(id), `${serviceOf(id)}.n`] })
    return content.map(({ entity_key }) => entity_key).sort()
  }
  const callBy = (session: Session, id: string, key = '') =>
    session.post<Failure>('/entity/service/call', { exchange: { [serviceOf(id) + key]: key ? 1 : { n: 1 } } })
  const runs = async (id: string) =>
    dataOf<Page<object>>(await admin.post(`/workflow/flows/${id}/logs/search`, {})).total

  t.same(await keys(some, shared), [serviceOf(shared), `${serviceOf(shared)}.n`])
  t.same(await keys(some, hidden), [])
  for (const key of ['', '.n']) {
    t.same(dataOf((await callBy(some, shared, key)) as never), { n: '1' })
    t.match(await callBy(some, hidden, key), { status: 400, body: { error_message: /names no service/ } })
  }
  t.equal(await runs(hidden), 0)
  const { content } = await searchEntities(admin, { entity_keys: [serviceOf(hidden)] })
  const id = content[0]?.entity_id ?? ''
  t.equal((await some.get(`/entity/${id}/meta`)).status, 404)
  const caller = node('call', 'serviceInvocation', {
    serviceInvocationSetting: { serviceEntity: serviceOf(hidden), serviceParams: {} }
  })
  const noEntity = { status: 400, body: { error_message: /names no entity/ } }
  t.match(await save(some, design(trigger(), caller)), noEntity)
  const alone = { node_config: JSON.stringify(caller), input: {} }
  t.match(await some.post('/workflow/flows/node/test', alone), noEntity)

  grantedEntities.set('42', [id])
  t.same(await keys(member('42', codes), hidden), [serviceOf(hidden)], 'an entity may be granted alone')
  const { flow_id: own } = dataOf<Saved>(await save(some, design(trigger('n'), output)))
  t.equal((await keys(some, own)).length, 2, 'who makes a workflow is granted it')
  granted.set('41', [])
  await auth.publish(roleGrantsChanged, { tenantId: 't1', roleId: 'r41', at: Date.now() })
  await until(async () => (await keys(some, own)).length === 0, { what: 'the grant gone, also of what they made' })
  t.equal((await callBy(some, own)).status, 400)
})

await t.test(
  'what callers give a trigger is pushed to those who may see its workflow, as long as they may',
  async (t) => {
    const { flow_id } = dataOf<Saved>(await save(admin, design(trigger('n'), output)))
    await addEntity(admin, { identifier: 'beside' })
    const [given, beside] = [`${serviceOf(flow_id)}.n`, 'system.integration.beside']
    granted.set('51', [flow_id])
    const token = guardKeys.token({ userId: '51', codes: ['dashboard.view'] })
    const socket = new WebSocket(`${api.baseUrl.replace('http', 'ws')}/websocket?Authorization=Bearer%20${token}`)
    t.teardown(() => socket.terminate())
    let heard = new Set<string>()
    socket.on('message', (text) => {
      for (const key of JSON.parse(String(text)).payload.entity_key) heard.add(key)
    })
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    socket.send(JSON.stringify({ event_type: 'Exchange', payload: { entity_key: [given, beside] } }))
    /** What is heard of a call and, behind it, of another value. */
    async function hearing(): Promise<boolean> {
      heard = new Set()
      dataOf(await call(flow_id, { n: 1 }))
      await until(
        async () => {
          dataOf((await admin.post('/entity/property/update', { exchange: { [beside]: 1 } })) as never)
          return heard.has(beside)
        },
        { what: 'the other value', everyMs: 50 }
      )
      return heard.has(given)
    }
    await until(hearing, { what: 'the call' })
    granted.set('51', [])
    await auth.publish(roleGrantsChanged, { tenantId: 't1', roleId: 'r51', at: Date.now() })
    await until(async () => !(await hearing()), { what: 'no news of calls any more' })
  }
)

await t.test('what a crash left between a workflow and its service is finished', async () => {
  const { flow_id } = dataOf<Saved>(await save(admin, design(trigger('n'), output), { name: 'before' }))
  const workflows = createWorkflowStore({ store, bus: auth, log: quietLog, now: () => Date.now() - 60_000 })
  await workflows.rename('t1', flow_id, { name: 'after' })
  await until(async () => (await servicesOf(flow_id))[0]?.[1] === 'after', { what: 'the name of the service' })
})

await t.test('a secret goes with its workflow, and serves nobody who may not see that', async (t) => {
  const credentials = createCredentialStore({ store, now: Date.now })
  const before = await credentials.count('t1')
  const { flow_id: first } = dataOf<Saved>(await save(admin, signed('s3cret')))
  const text = await designOf(first)
  t.notMatch(text, /s3cret/)
  t.equal(await credentials.count('t1'), before + 1)
  granted.set('31', [])
  const stranger = member('31')
  for (const reply of [
    await save(stranger, text, { enabled: false }),
    await stranger.post<Failure>('/workflow/flows/design/test', { design_data: text, input: {} })
  ]) {
    t.match([reply.status, reply.body.error_message], [400, /names no credential/])
  }
  const { flow_id: second } = dataOf<Saved>(await save(admin, text))
  t.not(await designOf(second), text, 'a copy has a secret of its own')
  dataOf(await admin.post('/workflow/flows/batch-delete', { workflow_id_list: [first] }))
  await until(async () => (await credentials.count('t1')) === before + 1, { what: 'the secret gone' })
  calls.length = 0
  dataOf(await call(second))
  const { timestamp, nonce, signature } = calls[0]?.headers ?? {}
  t.equal(signature, createHmac('sha256', 's3cret').update(`${timestamp}${nonce}${calls[0]?.body}`).digest('hex'))
  const http = design(node('in', 'httpIn', { method: 'GET', url: '/x', credential: 1 }), output)
  const kept = /credential:(\d+)/.exec(await designOf(second))?.[1] ?? ''
  const misused = await save(admin, http.replace('"credential":1', `"credential":"${kept}"`))
  t.match([misused.status, misused.body.error_message], [400, /names no credential/], 'nobody could log in with it')
  dataOf(await admin.post('/workflow/flows/batch-delete', { workflow_id_list: [second] }))
  await until(async () => (await credentials.count('t1')) === before, { what: 'nothing left' })
})
