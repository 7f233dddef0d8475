/** A device publishes, a workflow decides, computes, writes and calls out, while the service that does it is killed. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Session, startStackFor, until } from '@fleetgate/testkit'
import mqtt from 'mqtt'
import t from 'tap'
import { openSocket } from '../src/telemetry/openSocket.js'

const user = { access_key: 'kitchen_1', secret_key: 'Abcd1234!', topic_perms: [{ name: 'kitchen/#', perm: 'PUB|SUB' }] }
const heat = 'mqtt-device.device.oven.heat'
const alarm = 'system.integration.alarm'
const values = [...Array(20).keys()].map((index) => index * 10)
const hot = values.filter((value) => value > 100)

t.test('each value of a device is judged once, whoever is killed meanwhile', async (t) => {
  const hook = await startHook()
  t.teardown(() => hook.server.close())
  const stack = await startStackFor(t, {
    services: ['auth', 'devices', 'broker-proxy', 'gateway'],
    env: { WORKFLOW_ALLOWED_HOSTS: '127.0.0.1', WORKFLOW_POLL_MS: '200', WORKFLOW_LEASE_MS: '3000' }
  })
  await stack.api.register()
  const token = await stack.api.login()
  const admin = stack.api.as(token)
  const client = await connectDevice(admin, stack.mqttUrl)
  t.teardown(() => client.endAsync(true))
  const flowId = await makeWorkflow(admin, hook.url)
  const socket = await openSocket(stack.url, token)
  t.teardown(() => socket.terminate())
  const pushed: number[] = []
  socket.on('message', (text) => {
    const value = JSON.parse(String(text)).payload?.values?.[alarm]?.value
    if (value !== undefined) pushed.push(value)
  })
  socket.send(JSON.stringify({ event_type: 'Exchange', payload: { entity_key: [alarm], with_values: true } }))

  for (const [index, value] of values.entries()) {
    await client.publishAsync('kitchen/oven/state', JSON.stringify({ t: value, at: 1_700_000_100_000 + index }), {
      qos: 1
    })
    if (index === 12) stack.kill('devices', 'SIGKILL')
  }
  await stack.ready()
  const runs = () => runsOf(admin, flowId)
  await until(async () => (await runs()).length === values.length, {
    what: 'all runs',
    deadlineMs: 60_000,
    everyMs: 200
  })

  const finished = await runs()
  const told = hook.bodies.map((body) => (JSON.parse(body) as { celsius: number }).celsius / 2)
  t.equal(new Set(told).size, told.length, 'the hook was told of nothing twice')
  t.ok(told.every((value) => hot.includes(value)))
  const uncertain = finished.filter(({ status }) => status !== 'SUCCESS')
  // A run that was cut off at the call says that it does not know, and does not call again.
  t.ok(uncertain.length <= 1, `${uncertain.length} runs do not know whether they called`)
  t.ok(told.length >= hot.length - uncertain.length, 'every other hot value was told of')
  const detail = await admin.get<{ data: { trace_info: { node_id: string }[] } }>(
    `/workflow/flows/logs/${finished.at(-1)?.id}`
  )
  t.equal(detail.body.data.trace_info[0]?.node_id, 'in', 'each run shows what its nodes did')

  const latest = async () =>
    (await admin.get<{ data: { value: number } }>(`/entity/${await entityId(admin, alarm)}/status`)).body.data.value
  t.ok(hot.map((value) => value * 2).includes(await latest()), 'the computed value stands in its entity')
  t.ok(pushed.every((value) => hot.includes(value / 2)))
  // The kill closed the first socket: who comes back hears again.
  const back = await openSocket(stack.url, token)
  t.teardown(() => back.terminate())
  const again = new Promise<void>((resolve) => back.on('message', (text) => String(text).includes(alarm) && resolve()))
  back.send(JSON.stringify({ event_type: 'Exchange', payload: { entity_key: [alarm], with_values: true } }))
  let extra = values.length
  const poke = setInterval(() => {
    extra += 1
    const late = JSON.stringify({ t: 500 + extra, at: 1_700_000_100_000 + extra })
    client.publishAsync('kitchen/oven/state', late, { qos: 1 }).catch(() => undefined)
  }, 300)
  t.teardown(() => clearInterval(poke))
  await again
})

/** Remembers what it is sent. */
async function startHook() {
  const bodies: string[] = []
  const server = createServer(async (request, response) => {
    bodies.push((await request.toArray()).join(''))
    response.end('ok')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, bodies, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/alarm` }
}

async function connectDevice(admin: Session, mqttUrl: string) {
  await ok(admin.post('/v2/default/instances/default/users', user))
  const property = { type: 'PROPERTY', access_mod: 'R', value_type: 'DOUBLE' }
  await ok(
    admin.post('/mqtt-device/device-template', {
      ...{ name: 'Oven', topic: 'kitchen/{device}/state', auto_create: true },
      timestamp: { pointer: '/at', unit: 'ms' },
      entities: [{ ...property, identifier: 'heat', name: 'Heat', pointer: '/t' }]
    })
  )
  await ok(admin.post('/entity', { ...property, identifier: 'alarm', name: 'Alarm', access_mod: 'RW' }))
  const login = { clientId: 'oven', username: user.access_key, password: user.secret_key }
  const client = await mqtt.connectAsync(mqttUrl, login)
  // Without a value: one could be told of so late that it starts the workflow, which is made next.
  await client.publishAsync('kitchen/oven/state', '{"at": 1700000000000}', { qos: 1 })
  await until(() => entityId(admin, heat), { what: 'the entity of the device', everyMs: 100 })
  return client
}

/** Listens to the heat; where it is above 100 it doubles it, writes that and calls the hook. */
async function makeWorkflow(admin: Session, webhookUrl: string): Promise<string> {
  const node = (id: string, componentName: string, parameters: object) => ({
    ...{ id, type: componentName, componentName, position: { x: 0, y: 0 } },
    data: { nodeName: id, parameters }
  })
  const above = {
    ...{ id: 'hot', logicOperator: 'AND', expressionType: 'condition' },
    conditions: [{ expressionValue: { key: `properties.in['${heat}']`, operator: 'GT', value: 100 } }]
  }
  const nodes = [
    node('in', 'eventListener', { entities: [heat] }),
    node('if', 'choice', { choice: { when: [above], otherwise: { id: 'cold' } } }),
    node('double', 'code', {
      inputArguments: { heat: `#{properties.in['${heat}']}` },
      expression: { language: 'js', expression: 'function main({ heat }) { return { celsius: heat * 2 } }' }
    }),
    node('hook', 'webhook', { webhookUrl, inputArguments: { celsius: '#{double.celsius}' } }),
    node('set', 'entityAssigner', { exchangePayload: { [alarm]: '#{double.celsius}' } }),
    node('fine', 'output', { outputVariables: { is: 'cold' } })
  ]
  const edges = [
    { id: 'e1', source: 'in', target: 'if' },
    { id: 'e2', source: 'if', target: 'double', sourceHandle: 'hot' },
    { id: 'e3', source: 'if', target: 'fine', sourceHandle: 'cold' },
    { id: 'e4', source: 'double', target: 'set' },
    { id: 'e5', source: 'set', target: 'hook' }
  ]
  const design_data = JSON.stringify({ nodes, edges, viewport: { x: 0, y: 0, zoom: 1 } })
  const saved = await ok(
    admin.post<{ data: { flow_id: string } }>('/workflow/flows/design', {
      name: 'Too hot',
      remark: '',
      enabled: true,
      design_data
    })
  )
  return saved.body.data.flow_id
}

async function runsOf(admin: Session, flowId: string) {
  type Page = { data: { content: { id: string; status: string }[] } }
  return (await ok(admin.post<Page>(`/workflow/flows/${flowId}/logs/search`, { page_size: 100 }))).body.data.content
}

async function entityId(admin: Session, key: string): Promise<string | undefined> {
  type Found = { data: { content: { entity_id: string }[] } }
  return (await admin.post<Found>('/entity/search', { entity_keys: [key] })).body.data.content[0]?.entity_id
}

async function ok<T extends { status: number; text: string }>(asked: Promise<T>): Promise<T> {
  const reply = await asked
  if (reply.status !== 200) throw new Error(reply.text)
  return reply
}
