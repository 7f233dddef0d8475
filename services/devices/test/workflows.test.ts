import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connectBus, keepMqttAccount, sendMail } from '@fleetgate/kit'
import { changeKey, quietLog, type Session, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Failure, serveKeys, startDevicesFor } from './support.js'
import { addEntity, dataOf, type Page } from './things.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const env = { WORKFLOW_ALLOWED_HOSTS: '127.0.0.1', WORKFLOW_POLL_MS: '100', WORKFLOW_RUNS_PER_MINUTE: '40' }
const api = await startDevicesFor(t, parts, env)
const bus = await connectBus({ name: 'cluster-manager', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
const admin = api.as(guardKeys.token())

interface Log {
  id: string
  status: string
  message?: string
  trace_info: { node_id: string; status: string; output?: string; input?: string; error_message?: string }[]
}
interface Trial {
  status: string
  trace_infos: Log['trace_info']
}

const node = (id: string, componentName: string, parameters: object) => ({
  ...{ id, type: componentName, componentName, position: { x: 0, y: 0 } },
  data: { nodeName: id, parameters }
})
/** Nodes one behind the other. */
function chain(...nodes: { id: string }[]): string {
  const edges = nodes.slice(1).map(({ id }, i) => ({ id: `e${i}`, source: nodes[i]?.id, target: id }))
  return JSON.stringify({ nodes, edges, viewport: { x: 0, y: 0, zoom: 1 } })
}
const trigger = (...names: string[]) =>
  node('in', 'trigger', {
    entityConfigs: names.map((identify) => ({ identify, name: identify, type: 'LONG', required: true }))
  })
const output = (outputVariables: object) => node('out', 'output', { outputVariables })

async function save(
  session: Session,
  design_data: string,
  more: object = {}
): Promise<{ flow_id: string; version: number }> {
  return dataOf(
    await session.post('/workflow/flows/design', { name: 'flow', remark: '', enabled: true, design_data, ...more })
  )
}
async function logsOf(id: string): Promise<Log[]> {
  return dataOf<Page<Log>>(await admin.post(`/workflow/flows/${id}/logs/search`, {})).content
}
async function firstLog(id: string): Promise<Log> {
  await until(async () => (await logsOf(id)).length > 0, { what: 'a log', deadlineMs: 30_000 })
  return dataOf<Log>(await admin.get(`/workflow/flows/logs/${(await logsOf(id)).at(-1)?.id}`))
}
async function trial(design_data: string, input: object = {}): Promise<Trial> {
  return dataOf(await admin.post('/workflow/flows/design/test', { design_data, input }))
}
async function latestOf(id: string): Promise<unknown> {
  return dataOf<{ value?: unknown }>(await admin.get(`/entity/${id}/status`)).value
}

await t.test('saves, versions, lists, renames, disables and deletes workflows', async (t) => {
  const design = chain(trigger(), output({ a: 1 }))
  const { flow_id, version } = await save(admin, design, { name: 'life', enabled: false })
  t.equal(version, 1)
  t.match(dataOf(await admin.get(`/workflow/flows/${flow_id}/design`)), {
    id: flow_id,
    name: 'life',
    version: 1,
    design_data: design,
    invalid: []
  })
  const changed = chain(trigger(), output({ a: 2 }))
  t.same(await save(admin, changed, { id: flow_id, version: 1 }), { flow_id, version: 2 })
  t.same(
    await save(admin, changed, { id: flow_id, version: 2 }),
    { flow_id, version: 2 },
    'the same text is the same version'
  )
  const late = await admin.post<Failure>('/workflow/flows/design', {
    id: flow_id,
    name: 'x',
    remark: '',
    enabled: true,
    design_data: design,
    version: 1
  })
  t.match([late.status, late.body.error_message], [400, /Version Expired/])
  t.match(dataOf(await admin.get(`/workflow/flows/${flow_id}/design?version=1`)), { design_data: design, version: 1 })
  t.equal((await admin.get(`/workflow/flows/${flow_id}/design?version=9`)).status, 400)
  dataOf(await admin.put(`/workflow/flows/${flow_id}`, { name: 'renamed', remark: 'r' }))
  dataOf(await admin.get(`/workflow/flows/${flow_id}/disable`))
  const found = dataOf<Page<object>>(await admin.post('/workflow/flows/search', { name: 'renam', enabled: false }))
  t.match(found, {
    total: 1,
    content: [{ id: flow_id, name: 'renamed', remark: 'r', enabled: false, created_at: Number }]
  })
  dataOf(await admin.get(`/workflow/flows/${flow_id}/enable`))
  const other = api.as(guardKeys.token({ tenantId: 'other' }))
  t.equal((await other.get(`/workflow/flows/${flow_id}/design`)).status, 404, 'not there for another tenant')
  t.equal((await admin.post('/workflow/flows/batch-delete', { workflow_id_list: [flow_id, '1'] })).status, 404)
  dataOf(await admin.post('/workflow/flows/batch-delete', { workflow_id_list: [flow_id] }))
  t.equal((await admin.get(`/workflow/flows/${flow_id}/design`)).status, 404)
})

await t.test('validates designs and names the node that is wrong', async (t) => {
  const validate = (design_data: string) =>
    admin.post<Failure & { data: boolean }>('/workflow/flows/design/validate', { design_data })
  t.equal((await validate(chain(trigger(), output({})))).body.data, true)
  const refused: [RegExp, string][] = [
    [
      /node "s".*names no entity: "no\.such\.key"/,
      chain(trigger(), node('s', 'entitySelector', { entities: ['no.such.key'] }))
    ],
    [/node "w".*webhookUrl is required/, chain(trigger(), node('w', 'webhook', {}))],
    [/node "out".*refers to node "gone"/, chain(trigger(), output({ a: '#{gone.x}' }))],
    [/two nodes/, chain(trigger())],
    [
      /timezone "Mars"/,
      chain(
        node('t', 'simpleTimer', {
          timerSettings: { type: 'SCHEDULE', timezone: 'Mars', rules: [{ hour: 1, minute: 1 }] }
        }),
        output({})
      )
    ],
    [/credential/, chain(node('h', 'httpIn', { method: 'GET', url: '/x', credential: '5' }), output({}))]
  ]
  for (const [message, design] of refused) {
    const { status, body } = await validate(design)
    t.match([status, body.error_message], [400, message])
  }
  const { flow_id } = await save(admin, refused[0]?.[1] ?? '', { enabled: false })
  t.match(dataOf(await admin.get(`/workflow/flows/${flow_id}/design`)), {
    invalid: [{ node_id: 's', reason: /no\.such\.key/ }]
  })
  t.equal((await admin.get(`/workflow/flows/${flow_id}/enable`)).status, 400)
})

await t.test('tells editors the components and languages', async (t) => {
  const groups = dataOf<Record<string, { name: string; data: string }[]>>(await admin.get('/workflow/components'))
  t.same(Object.keys(groups).sort(), ['action', 'control', 'entry', 'external'])
  t.equal(Object.values(groups).flat().length, 14)
  t.equal(
    dataOf(await admin.get('/workflow/components/code')),
    groups.action?.find(({ name }) => name === 'code')?.data
  )
  const form = (group: string, component: string) => {
    const found = groups[group]?.find(({ name }) => name === component)
    return JSON.parse(found?.data ?? '{}') as { component: object; properties: object; outputProperties: object }
  }
  t.match(form('action', 'code'), {
    component: { name: 'code', title: 'Code', testable: true },
    properties: {
      inputArguments: { name: 'inputArguments', displayName: String, uiComponent: 'paramAssignInput', index: 0 },
      expression: { uiComponent: 'codeEditor', autowired: false, index: 1 },
      payload: { uiComponent: 'paramDefineInput' }
    },
    outputProperties: { payload: { editable: false } },
    parameters: { type: 'object', properties: {} }
  })
  t.match(form('entry', 'httpIn'), {
    component: { testable: false },
    properties: { method: { enum: ['GET'], required: true, uiComponentGroup: 'Setting' }, url: { type: 'string' } },
    outputProperties: {}
  })
  t.equal((await admin.get('/workflow/components/none')).status, 404)
  t.same(dataOf(await admin.get('/workflow/components/languages')), { code: ['js'], expression: ['condition', 'js'] })
})

await t.test('a trigger is a service that runs the workflow and answers what it puts out', async (t) => {
  const code = node('code', 'code', {
    expression: { language: 'js', expression: 'function main({ n }) { return { twice: n * 2 } }' },
    inputArguments: { n: "#{properties.in['n']}" },
    payload: [{ name: 'twice', type: 'LONG' }]
  })
  const { flow_id } = await save(admin, chain(trigger('n'), code, output({ result: '#{code.twice}' })))
  const key = `system.integration.${flow_id}`
  t.same(dataOf(await admin.post('/entity/service/call', { exchange: { [key]: { n: 21 } } })), { result: '42' })
  t.match(await firstLog(flow_id), {
    status: 'SUCCESS',
    trace_info: [{ node_id: 'in' }, { node_id: 'code' }, { node_id: 'out' }]
  })
  t.equal((await admin.post('/entity/service/call', { exchange: { [key]: {} } })).status, 400, 'n is required')
  dataOf(await admin.get(`/workflow/flows/${flow_id}/disable`))
  t.equal((await admin.post('/entity/service/call', { exchange: { [`${key}.n`]: 1 } })).status, 400)
})

await t.test('an optional parameter of a trigger may be empty, as forms send it', async (t) => {
  const entityConfigs = ['LONG', 'STRING'].map((type) => ({ identify: type, name: type, type }))
  const { flow_id } = await save(
    admin,
    chain(node('in', 'trigger', { entityConfigs }), output({ long: '#{in.LONG}', text: '#{in.STRING}' }))
  )
  const exchange = { [`system.integration.${flow_id}`]: { LONG: '', STRING: '' } }
  t.same(dataOf(await admin.post('/entity/service/call', { exchange })), { long: null, text: '' })
})

await t.test('a choice takes the first branch that holds', async (t) => {
  const when = (id: string, expressionValue: unknown, expressionType = 'condition') => ({
    id,
    expressionType,
    conditions: [{ expressionValue }]
  })
  const choice = node('c', 'choice', {
    choice: {
      when: [
        when('big', { key: '#{in.n}', operator: 'GT', value: 10 }),
        when('odd', 'properties.in.n % 2 === 1', 'js')
      ],
      otherwise: { id: 'rest' }
    }
  })
  const design = JSON.stringify({
    nodes: [
      trigger('n'),
      choice,
      ...['big', 'odd', 'rest'].map((id) => node(`n-${id}`, 'output', { outputVariables: { id } }))
    ],
    edges: [
      { source: 'in', target: 'c' },
      ...['big', 'odd', 'rest'].map((id) => ({ source: 'c', target: `n-${id}`, sourceHandle: id }))
    ]
  })
  for (const [n, id] of [
    [11, 'big'],
    [3, 'odd'],
    [4, 'rest']
  ] as const) {
    const { status, trace_infos } = await trial(design, { n })
    t.same([status, trace_infos.at(-1)?.node_id, trace_infos.length], ['SUCCESS', `n-${id}`, 3])
  }
})

await t.test('a listener runs on new values; assigner and selector write and read them', async (t) => {
  const source = await addEntity(admin, { identifier: 'heat' })
  const target = await addEntity(admin, { identifier: 'alarm' })
  const [from, to] = ['system.integration.heat', 'system.integration.alarm']
  const design = chain(
    node('in', 'eventListener', { entities: [from] }),
    node('set', 'entityAssigner', { exchangePayload: { [to]: `#{properties.in['${from}']}` } }),
    node('get', 'entitySelector', { entities: [to] })
  )
  const { flow_id } = await save(admin, design)
  dataOf(await admin.post('/entity/property/update', { exchange: { [from]: 7.5 } }))
  const log = await firstLog(flow_id)
  t.match(log, { status: 'SUCCESS', trace_info: [{}, {}, { output: JSON.stringify({ [to]: 7.5 }) }] })
  t.equal(await latestOf(target), 7.5)
  const at = Date.now() + 1000
  for (let i = 0; i < 2; i++)
    dataOf(await admin.post('/entity/ingest', { samples: [{ entity_id: source, value: 8, timestamp: at }] }))
  await until(async () => (await logsOf(flow_id)).length === 2, { what: 'the second run', deadlineMs: 30_000 })
  t.equal((await logsOf(flow_id)).length, 2, 'the same sample starts one run')
  dataOf(await admin.post('/entity/delete', { entity_ids: [target] }))
  t.match(dataOf(await admin.get(`/workflow/flows/${flow_id}/design`)), {
    invalid: [{ node_id: 'set' }, { node_id: 'get' }]
  })
  dataOf(await admin.post('/entity/property/update', { exchange: { [from]: 9 } }))
  await until(
    async () =>
      (await logsOf(flow_id)).some(({ status, message }) => status === 'ERROR' && /alarm/.test(message ?? '')),
    { what: 'the missing entity named', deadlineMs: 30_000 }
  )
})

await t.test('a listener on an OBJECT hears each call of a service and each value of a parent', async (t) => {
  const object = { type: 'PROPERTY', value_type: 'OBJECT' }
  await addEntity(admin, { identifier: 'room', ...object })
  for (const identifier of ['warm', 'wet']) await addEntity(admin, { identifier, parent_identifier: 'room' })
  await addEntity(admin, { identifier: 'ring', type: 'SERVICE', access_mod: null, value_type: 'OBJECT' })
  const tone = { type: 'SERVICE', access_mod: null, value_type: 'LONG', value_attribute: { optional: true } }
  await addEntity(admin, { identifier: 'tone', ...tone, parent_identifier: 'ring' })
  const [room, ring, benchmark] = ['system.integration.room', 'system.integration.ring', 'ping.integration.benchmark']
  const listen = async (entities: string[]) =>
    (await save(admin, chain(node('in', 'eventListener', { entities }), output({ done: true })))).flow_id
  const inputsOf = async (id: string) => {
    const logs = await Promise.all((await logsOf(id)).map((one) => admin.get(`/workflow/flows/logs/${one.id}`)))
    return logs.map((reply) => JSON.parse(dataOf<Log>(reply as never).trace_info[0]?.output ?? '{}') as object)
  }
  const runsOf = async (id: string, count: number) => {
    await until(async () => (await logsOf(id)).length >= count, { what: `${count} runs`, deadlineMs: 30_000 })
    return (await inputsOf(id)).reverse()
  }
  const flows = { room: await listen([room]), ring: await listen([ring]), benchmark: await listen([benchmark]) }

  dataOf(await admin.post('/entity/property/update', { exchange: { [room]: { warm: 21, wet: 40 } } }))
  t.same(
    await runsOf(flows.room, 1),
    [{ [`${room}.warm`]: 21, [`${room}.wet`]: 40, [room]: { warm: 21, wet: 40 } }],
    'one run for all that came together'
  )
  const call = async (exchange: object) => dataOf(await admin.post('/entity/service/call', { exchange }))
  await call({ [ring]: { tone: 3 } })
  t.same(await runsOf(flows.ring, 1), [{ [`${ring}.tone`]: 3, [ring]: { tone: 3 } }])
  await call({ [ring]: {} })
  t.same((await runsOf(flows.ring, 2))[1], { [ring]: {} }, 'called without a value')
  for (let count = 1; count <= 2; count++) {
    await call({ [benchmark]: {} })
    t.same((await runsOf(flows.benchmark, count)).at(-1), { [benchmark]: {} })
  }
  t.equal((await logsOf(flows.room)).length, 1, 'others hear nothing of it')
})

await t.test('stops a workflow that triggers itself and says so in its logs', async (t) => {
  await addEntity(admin, { identifier: 'loop' })
  const key = 'system.integration.loop'
  const design = chain(
    node('in', 'eventListener', { entities: [key] }),
    node('set', 'entityAssigner', { exchangePayload: { [key]: `#{properties.in['${key}']}` } })
  )
  const { flow_id } = await save(admin, design)
  dataOf(await admin.post('/entity/property/update', { exchange: { [key]: 1 } }))
  await until(
    async () => (await logsOf(flow_id)).some(({ message }) => /does the workflow trigger itself/.test(message ?? '')),
    { what: 'the guard', deadlineMs: 30_000 }
  )
  t.equal((await logsOf(flow_id)).length, 6, 'five runs and the line that says why')
})

await t.test('webhook, HTTP request and e-mail reach out, and secrets stay out of designs and logs', async (t) => {
  const calls: { url?: string | undefined; body: string; headers: NodeJS.Dict<string | string[]> }[] = []
  const server = createServer(async (request, reply) => {
    const body = (await request.toArray()).join('')
    calls.push({ url: request.url, body, headers: request.headers })
    reply.setHeader('x-own', 'yes').writeHead(201).end('made')
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const hook = node('hook', 'webhook', {
    webhookUrl: `${url}/hook`,
    secretKey: 's3cret-text',
    inputArguments: { a: '#{in.n}' }
  })
  const request = node('req', 'httpRequest', {
    method: 'PUT',
    url: `${url}/r`,
    params: { q: 1 },
    header: { 'X-A': 'b' },
    body: { type: 'text/plain', value: 'hi' }
  })
  const form = { type: 'application/x-www-form-urlencoded', value: { n: '#{in.n}', text: 'a b&c' } }
  const post = node('post', 'httpRequest', { method: 'POST', url: `${url}/form`, body: form })
  const names = ['statusCode', 'responseBody', 'responseHeaders', 'status_code', 'body', 'header']
  const out = output(Object.fromEntries(names.map((name) => [name, `#{req.${name}}`])))
  const { flow_id } = await save(admin, chain(trigger('n'), hook, request, post, out))
  const answer = dataOf(
    await admin.post('/entity/service/call', { exchange: { [`system.integration.${flow_id}.n`]: 5 } })
  )
  const { responseHeaders, header, ...plain } = answer as Record<string, unknown>
  t.same(plain, { statusCode: 201, responseBody: 'made', status_code: 201, body: 'made' })
  t.match(JSON.parse(String(responseHeaders)), { 'x-own': 'yes' })
  t.equal(header, responseHeaders, 'by the names of the web client too')
  const [first, second, third] = calls
  t.match(third, { body: 'n=5&text=a+b%26c', headers: { 'content-type': /^application\/x-www-form-urlencoded/ } })
  const { timestamp, nonce, signature } = first?.headers ?? {}
  t.equal(first?.body, '{"a":5}')
  t.equal(signature, createHmac('sha256', 's3cret-text').update(`${timestamp}${nonce}${first?.body}`).digest('hex'))
  t.match(second, { url: '/r?q=1', body: 'hi', headers: { 'x-a': 'b' } })
  const shown = JSON.stringify([await firstLog(flow_id), dataOf(await admin.get(`/workflow/flows/${flow_id}/design`))])
  t.notMatch(shown, /s3cret-text/)
  const mail = chain(
    trigger(),
    node('mail', 'email', { subject: 'S #{in.n}', recipients: ['a@example.com'], content: 'C' })
  )
  t.match(
    await trial(mail, { n: 1 }),
    { status: 'ERROR', trace_infos: [{}, { error_message: String }] },
    'nobody sends mails'
  )
  const mails: unknown[] = []
  await bus.serve(sendMail, async (sent) => {
    mails.push(sent)
    return { isNew: true }
  })
  t.match(await trial(mail, { n: 1 }), { status: 'SUCCESS' })
  t.match(mails, [{ tenantId: 't1', to: ['a@example.com'], subject: 'S 1', text: 'C' }])
})

await t.test('a service node calls another workflow, a node is tried alone', async (t) => {
  const inner = await save(admin, chain(trigger('n'), output({ r: '#{in.n}' })))
  const key = `system.integration.${inner.flow_id}`
  const call = node('call', 'serviceInvocation', {
    serviceInvocationSetting: { serviceEntity: key, serviceParams: { [`${key}.n`]: '#{in.n}' } }
  })
  t.match(await trial(chain(trigger('n'), call), { n: 3 }), {
    status: 'SUCCESS',
    trace_infos: [{}, { output: '{"r":3}' }]
  })
  const config = JSON.stringify(node('x', 'output', { outputVariables: { v: '#{other.key}' } }))
  const tried = dataOf(await admin.post('/workflow/flows/node/test', { node_config: config, input: { key: 4 } }))
  t.match(tried, { node_id: 'x', status: 'SUCCESS', output: '{"v":4}' })
  t.equal((await admin.post('/workflow/flows/node/test', { node_config: '{}', input: {} })).status, 400)
})

await t.test('timers and MQTT messages start workflows', async (t) => {
  const soon = node('in', 'simpleTimer', {
    timerSettings: { type: 'INTERVAL', intervalTime: 1, intervalTimeUnit: 'SECONDS' }
  })
  const timed = await save(admin, chain(soon, output({})))
  const listening = await save(
    admin,
    chain(node('in', 'simpleMqtt', { subscriptionTopic: 'site/+/x' }), output({ p: '#{in.payload}' }))
  )
  const message = {
    tenantId: 't1',
    clientId: 'c1',
    username: 'u',
    channel: 'topic' as const,
    topic: 'site/7/x',
    receivedAt: Date.now()
  }
  await bus.uplink({ ...message, payload: Buffer.from('hello') })
  await bus.uplink({ ...message, tenantId: 'other', payload: Buffer.from('no') })
  t.match(await firstLog(listening.flow_id), { status: 'SUCCESS', trace_info: [{}, { output: '{"p":"hello"}' }] })
  await firstLog(timed.flow_id)
  dataOf(await admin.get(`/workflow/flows/${timed.flow_id}/disable`))
  t.equal((await logsOf(listening.flow_id)).length, 1)
})

await t.test('credentials are kept and never shown; HTTP in asks for them', async (t) => {
  const made = {
    credentials_type: 'HTTP',
    description: 'd',
    access_key: 'user',
    access_secret: 'pass-word',
    additional_data: '{"a":1}'
  }
  const { id } = dataOf<{ id: string }>(await admin.post('/credentials', made))
  const one = await admin.get(`/credentials/${id}`)
  t.match(dataOf(one as never), {
    id,
    credentials_type: 'HTTP',
    access_key: 'user',
    additional_data: { a: 1 },
    editable: true
  })
  const listed = await admin.get('/credentials?credentials_type=HTTP')
  t.match(dataOf(listed as never), { total: 1, content: [{ id }] })
  t.notMatch(one.text + listed.text, /pass-word/)
  const http = node('in', 'httpIn', { method: 'POST', url: '/order/new', credential: id })
  const { flow_id } = await save(admin, chain(http, output({ body: '#{in.body}', q: '#{in.params}' })))
  const again = { name: 'again', remark: '', enabled: true, design_data: chain(http, output({})) }
  const taken = await admin.post<Failure>('/workflow/flows/design', again)
  t.equal(taken.status, 409, 'no second one waits for the same request')
  t.match(taken.body.error_message, /another enabled workflow/)
  const off = await save(admin, again.design_data, { name: 'again', enabled: false })
  t.equal((await admin.get(`/workflow/flows/${off.flow_id}/enable`)).status, 409)
  dataOf(await admin.get(`/workflow/flows/${flow_id}/disable`))
  t.equal((await admin.get(`/workflow/flows/${off.flow_id}/enable`)).status, 200, 'when the first does no longer')
  dataOf(await admin.get(`/workflow/flows/${off.flow_id}/disable`))
  dataOf(await admin.get(`/workflow/flows/${flow_id}/enable`))
  const path = `/workflow-http-in/${id}@t1/order/new?k=v`
  t.same(dataOf(await api.asBasic('user', 'pass-word').post(path, { n: 1 })), { body: '{"n":1}', q: '{"k":"v"}' })
  t.equal((await api.asBasic('user', 'wrong').post(path, {})).status, 401)
  t.equal((await api.asBasic('user', 'pass-word').post(`/workflow-http-in/${id}@t1/else`, {})).status, 404)
  t.equal((await api.asBasic('user', 'pass-word').post(`/workflow-http-in/${id}@other/order/new`, {})).status, 401)
  t.notMatch(JSON.stringify(await firstLog(flow_id)), /pass-word|Basic /)
  dataOf(await admin.put(`/credentials/${id}`, { access_secret: 'new-one' }))
  t.equal((await api.asBasic('user', 'new-one').post(path, {})).status, 200)
  dataOf(await admin.post('/credentials/delete', { ids: [id] }))
  t.equal((await admin.get(`/credentials/${id}`)).status, 404)
  t.equal((await api.asBasic('user', 'new-one').post(path, {})).status, 401)
})

await t.test('HTTP in gives header, parameters and body as texts', async (t) => {
  const about = await admin.post('/credentials', {
    credentials_type: 'HTTP',
    access_key: 'in',
    access_secret: 'secret'
  })
  const { id } = dataOf<{ id: string }>(about as never)
  const code = node('code', 'code', {
    expression: {
      language: 'js',
      expression: `function main({ header, params, body }) {
        const type = JSON.parse(header)['content-type']
        return { type, params: JSON.parse(params), body: type === 'application/json' ? JSON.parse(body).n : body }
      }`
    },
    inputArguments: { header: '#{in.header}', params: "#{properties.in['params']}", body: '#{in.body}' }
  })
  const shown = Object.fromEntries(['type', 'params', 'body'].map((name) => [name, `#{code.${name}}`]))
  const entry = node('in', 'httpIn', { method: 'POST', url: '/texts', credential: id })
  await save(admin, chain(entry, code, output({ ...shown, url: '#{in.url}' })))
  const authorization = `Basic ${Buffer.from('in:secret').toString('base64')}`
  async function send(type: string, body?: string | Uint8Array<ArrayBuffer>) {
    const headers = { authorization, 'content-type': type }
    const reply = await fetch(`${api.baseUrl}/workflow-http-in/${id}@t1/texts?k=v`, { method: 'POST', headers, body })
    return (await reply.json()) as Failure & { data: object }
  }
  const common = { url: 'texts', params: { k: 'v' } }
  t.same((await send('application/json', '{ "n": 1.50 }')).data, { ...common, type: 'application/json', body: 1.5 })
  t.same((await send('text/csv', 'a;b\n1;2')).data, { ...common, type: 'text/csv', body: 'a;b\n1;2' }, 'as it came')
  t.same((await send('text/plain')).data, { ...common, type: 'text/plain', body: null })
  const form = 'application/x-www-form-urlencoded'
  const filled = { ...common, type: form, params: { k: 'v', a: 'b c' }, body: 'a=b+c' }
  t.same((await send(form, 'a=b+c')).data, filled)
  t.match(await send('multipart/form-data; boundary=x', '--x--'), { error_message: /multipart/ })
  t.match(await send('text/plain', new Uint8Array([0xff])), { error_message: /UTF-8/ })
  t.match(await send('text/plain', 'x'.repeat(1024 * 1024 + 1)), { error_message: /larger than/ })
})

await t.test('default credentials are made once, told to who may edit, and meant where none is named', async (t) => {
  const about = '/credentials/default/HTTP?auto_generate_password=true'
  const made = await Promise.all(Array.from({ length: 5 }, () => admin.get(about)))
  const [one, ...others] = made.map((reply) => dataOf<Record<string, string>>(reply as never))
  const { id, access_key = '', access_secret = '' } = one ?? {}
  for (const other of others) t.match(other, { id, access_secret }, 'one, however many ask at once')
  t.equal(access_key, 'http@t1')
  t.match(access_secret, /^[A-Za-z0-9]{8,32}$/)
  const viewer = api.as(guardKeys.token({ codes: ['credentials.view'] }))
  t.notMatch((await viewer.get(about)).text, access_secret)
  for (const path of ['/credentials', `/credentials/${id}`]) t.notMatch((await admin.get(path)).text, access_secret)
  t.equal((await admin.get('/credentials/default/FTP')).status, 400)

  const http = (url: string) => node('in', 'httpIn', { method: 'POST', url })
  await save(admin, chain(http('/door/{name}/open'), output({ door: "#{properties.in['pathParam.name']}" })))
  await save(admin, chain(http('/door/front/open'), output({ door: 'the front door' })), { name: 'front' })
  const ask = (name: string, path: string, password = access_secret) =>
    api.asBasic(access_key, password).post(`/workflow-http-in/${name}@t1/${path}`, {})
  t.same(dataOf((await ask('http', 'door/back/open')) as never), { door: 'back' })
  t.same(dataOf((await ask(String(id), 'door/back/open')) as never), { door: 'back' }, 'by its id too')
  t.same(dataOf((await ask('http', 'door/front/open')) as never), { door: 'the front door' })
  t.equal((await ask('http', 'door/back')).status, 404)
  t.equal((await ask('http', 'door/back/open', 'wrong')).status, 401)

  t.equal((await admin.put(`/credentials/${id}`, { access_key: 'me', access_secret: 'Another1' })).status, 200)
  t.equal((await ask('http', 'door/back/open')).status, 401)
  dataOf((await admin.post('/credentials/delete', { ids: [id] })) as never)
  t.equal((await ask('http', 'door/back/open', 'Another1')).status, 200, 'its access key stays, and so does it itself')
})

await t.test('the default MQTT credential is an account at the broker, for topics of its own', async (t) => {
  const accounts: object[] = []
  const broker = await connectBus({ name: 'broker-proxy', url: parts.natsUrl, log: quietLog })
  t.teardown(() => broker.close())
  const path = '/credentials/default/MQTT'
  t.equal((await admin.get(path)).status, 503, 'while nobody can keep it there')
  const serving = await broker.serve(keepMqttAccount, async (account) => {
    accounts.push(account)
    return {}
  })
  t.teardown(() => serving.stop())
  const { id, access_secret } = dataOf<Record<string, string>>(await admin.get(path))
  const account = { tenantId: 't1', username: 'mqtt@t1', topics: ['beaver-iot/mqtt@t1/#'] }
  t.same(accounts, [{ ...account, password: access_secret }])
  t.equal((await admin.put(`/credentials/${id}`, { access_key: 'me', access_secret: 'Another1' })).status, 200)
  t.same(accounts[1], { ...account, password: 'Another1' })

  const listen = node('in', 'simpleMqtt', { subscriptionTopic: 'doors/+', encoding: 'UTF-8' })
  const { flow_id } = await save(admin, chain(listen, output({})), { name: 'doors' })
  await bus.uplink({
    ...{ tenantId: 't1', clientId: 'c', username: 'mqtt@t1', channel: 'topic', topic: 'beaver-iot/mqtt@t1/doors/1' },
    ...{ payload: Buffer.from('{}'), receivedAt: Date.now() }
  })
  t.match(await firstLog(flow_id), { status: 'SUCCESS' }, 'a topic is meant below those of the account too')

  const { id: mail, ...about } = dataOf<Record<string, string>>(await admin.get('/credentials/default/SMTP'))
  t.match(about, { access_key: 'smtp@t1', access_secret: '', additional_data: undefined })
  const refused = await admin.put<Failure>(`/credentials/${mail}`, { access_secret: 'Another1' })
  t.match([refused.status, refused.body.error_message], [400, /\/v1\/smtp/])
})

await t.test('asks for function codes', async (t) => {
  const viewer = api.as(guardKeys.token({ codes: ['workflow.view'] }))
  t.equal((await viewer.post('/workflow/flows/search', {})).status, 200)
  t.equal((await viewer.post('/workflow/flows/batch-delete', { workflow_id_list: ['1'] })).status, 403)
  t.equal((await viewer.post('/credentials', {})).status, 403)
  t.equal((await admin.post('/workflow/flows/design', { name: '', design_data: '{}' })).status, 400)
})

await t.test('credentials are sealed anew when the secrets key changes', async (t) => {
  const made = { credentials_type: 'HTTP', access_key: 'keys', access_secret: 'kept-pass' }
  const { id } = dataOf<{ id: string }>(await admin.post('/credentials', made))
  const http = node('in', 'httpIn', { method: 'POST', url: '/keys', credential: id })
  await save(admin, chain(http, output({ body: '#{in.body}' })))
  const change = await changeKey(t, parts, 'fleetgate_devices')
  t.match(change.before, { credentials: Number })
  await startDevicesFor(t, parts, { ...env, SECRETS_KEY_FILE: change.both })
  await change.sealedAnew()
  const later = await startDevicesFor(t, parts, { ...env, SECRETS_KEY_FILE: change.newest })
  const path = `/workflow-http-in/${id}@t1/keys`
  t.same(dataOf(await later.asBasic('keys', 'kept-pass').post(path, { n: 1 })), { body: '{"n":1}' })
})
