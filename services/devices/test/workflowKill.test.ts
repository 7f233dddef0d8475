import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createApi, startParts, startService, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { serveKeys } from './support.js'
import { dataOf, type Page } from './things.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)

await t.test('a killed process leaves a run that ends with its reason, and sends nothing twice', async (t) => {
  const calls: string[] = []
  // The first path is answered, the second never.
  const server = createServer((request, reply) => {
    calls.push(request.url ?? '')
    if (request.url === '/quick') reply.end('ok')
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const env = { WORKFLOW_ALLOWED_HOSTS: '127.0.0.1', WORKFLOW_LEASE_MS: '1000', WORKFLOW_POLL_MS: '200' }
  const service = await startService(t, { name: 'devices', parts, env })
  const admin = createApi(service.url).as(guardKeys.token())
  const hook = (id: string, path: string) => ({
    ...{ id, componentName: 'webhook' },
    data: { nodeName: id, parameters: { webhookUrl: url + path } }
  })
  const timerSettings = { type: 'INTERVAL', intervalTime: 2, intervalTimeUnit: 'SECONDS' }
  const design_data = JSON.stringify({
    nodes: [
      { id: 'in', componentName: 'simpleTimer', data: { parameters: { timerSettings } } },
      hook('one', '/quick'),
      hook('two', '/never')
    ],
    edges: [
      { source: 'in', target: 'one' },
      { source: 'one', target: 'two' }
    ]
  })
  const saved = await admin.post('/workflow/flows/design', { name: 'kill', remark: '', enabled: true, design_data })
  const { flow_id } = dataOf<{ flow_id: string }>(saved as never)
  await until(() => calls.includes('/never'), { what: 'the second node at work', deadlineMs: 60_000 })
  dataOf((await admin.get(`/workflow/flows/${flow_id}/disable`)) as never)
  await service.kill()
  const sent = [...calls]
  await service.restart()
  const logs = async () =>
    dataOf<Page<{ id: string; message?: string }>>(
      (await admin.post(`/workflow/flows/${flow_id}/logs/search`, {})) as never
    ).content
  const begun = sent.filter((path) => path === '/quick').length
  await until(async () => (await logs()).length >= begun, { what: 'the runs ended', deadlineMs: 60_000 })
  const oldest = (await logs()).at(-1)
  t.match(oldest, { status: 'ERROR', message: /two: .*not repeated/ })
  t.match(dataOf((await admin.get(`/workflow/flows/logs/${oldest?.id}`)) as never), {
    trace_info: [
      { node_id: 'in', status: 'SUCCESS' },
      { node_id: 'one', status: 'SUCCESS' },
      { node_id: 'two', status: 'ERROR' }
    ]
  })
  t.equal(calls.filter((path) => path === '/quick').length, begun, 'what was done is not done again')
  t.equal(calls.length, sent.length, 'what may have been done is not done again')
})
