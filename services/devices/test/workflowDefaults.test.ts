import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { createRunStore } from '../src/workflows/runStore.js'
import { serveKeys, startDevicesFor } from './support.js'
import { dataOf, type Page } from './things.js'

/** What holds of workflows in a service that was told nothing of them. */
const parts = await startParts(t)
const keys = testGuardKeys()
await serveKeys(t, parts, keys)
const api = await startDevicesFor(t, parts)
const admin = api.as(keys.token())

interface Trace {
  node_id: string
  status: string
  error_message?: string
}

const node = (id: string, componentName: string, parameters: object) => ({ id, componentName, data: { parameters } })
async function trial(componentName: string, parameters: object): Promise<Trace | undefined> {
  const nodes = [node('in', 'trigger', { entityConfigs: [] }), node('it', componentName, parameters)]
  const design_data = JSON.stringify({ nodes, edges: [{ source: 'in', target: 'it' }] })
  const reply = await admin.post<{ data: { trace_infos: Trace[] } }>('/workflow/flows/design/test', {
    design_data,
    input: {}
  })
  return dataOf(reply).trace_infos.find(({ node_id }) => node_id === 'it')
}

await t.test('nodes reach neither this machine nor private networks', async (t) => {
  let asked = 0
  const server = createServer((_request, reply) => {
    asked += 1
    reply.end('inside')
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  for (const host of ['127.0.0.1', 'localhost', '[::1]', '10.0.0.1', '172.16.0.1', '192.168.0.1', '169.254.169.254']) {
    const url = `http://${host}:${port}/`
    const nodes: [string, object][] = [
      ['webhook', { webhookUrl: url, inputArguments: {} }],
      ['httpRequest', { method: 'GET', url }]
    ]
    for (const [component, parameters] of nodes) {
      const trace = await trial(component, parameters)
      t.match(
        trace,
        { status: 'ERROR', error_message: /may not be called.*WORKFLOW_ALLOWED_HOSTS/ },
        `${component} ${url}`
      )
    }
  }
  t.equal(asked, 0)
})

await t.test('code that takes too much memory is told so', async (t) => {
  const grow = (size: number, count: number) =>
    trial('code', {
      expression: {
        language: 'js',
        expression: `const all = []; for (let i = 0; i < ${count}; i++) all.push(new ArrayBuffer(${size})); all.length`
      }
    })
  t.match(await grow(15_000_000, 1), { status: 'SUCCESS' }, '15 MB are allowed')
  t.match(await grow(15_000_000, 4), { status: 'ERROR', error_message: /out of memory/ }, '60 MB are not')
})

await t.test('logs of runs go after WORKFLOW_LOG_DAYS', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_devices', log: quietLog })
  t.teardown(() => store.close())
  const dayMs = 24 * 60 * 60_000
  let clock = 0
  const runs = createRunStore({ store, now: () => clock, owner: 'test', leaseMs: 60_000 })
  const end = async (ageMs: number): Promise<string> => {
    clock = Date.now() - ageMs
    const wish = { tenantId: 't1', workflowId: '1', version: 1, depth: 1, once: [`age:${ageMs}`], input: '{}' }
    const [id = ''] = await runs.insert([wish])
    const run = await runs.claimNow(id)
    if (run) await runs.finish(run, 'SUCCESS', undefined)
    return id
  }
  const [old, young] = [await end(2 * dayMs + 60_000), await end(2 * dayMs - 10 * 60_000)]
  const left = async () => [await runs.find('t1', old), await runs.find('t1', young)].map((run) => run !== undefined)
  t.same(await left(), [true, true])
  await startDevicesFor(t, parts, { WORKFLOW_LOG_DAYS: '2', SWEEP_MS: '200' })
  await until(async () => !(await left())[0], { what: 'the old log gone', deadlineMs: 60_000 })
  t.same(await left(), [false, true])
  const { total } = dataOf<Page<object>>(await admin.post('/workflow/flows/search', {}))
  t.equal(total, 0, 'no workflow came of it')
})
