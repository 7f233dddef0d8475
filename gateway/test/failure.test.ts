import { Agent, type IncomingMessage, request } from 'node:http'
import type { ServiceName } from '@fleetgate/contracts'
import { createLog } from '@fleetgate/kit'
import { until } from '@fleetgate/testkit'
import t from 'tap'
import { read, signedIn, startBackend, startBefore, startGateway } from './setup.js'

t.test('a client that leaves ends the work of the service', async (t) => {
  let working = 0
  let ended = 0
  const { port } = await startBefore(t, (req, res) => {
    working++
    if (req.url?.endsWith('answer')) res.write('beginning')
    res.on('close', () => ended++)
  })
  for (const [path, method] of [
    ['/v1/jobs', 'GET'],
    ['/v1/jobs/answer', 'GET'],
    ['/v1/jobs', 'POST']
  ]) {
    const before = working
    const outgoing = request({ port, path, method, headers: signedIn })
    outgoing.on('error', () => {})
    if (method === 'POST') outgoing.write('part of a body')
    else outgoing.end()
    await until(() => working > before, { what: 'the request to reach the service' })
    outgoing.destroy()
    await until(() => ended === working, { what: `the service to notice: ${method} ${path}` })
  }
  t.equal(ended, 3)
})

t.test('what a service did not answer is logged without the secret of a link', async (t) => {
  const lines: string[] = []
  const log = Object.assign(createLog('gateway', 'silent'), {
    info: (fields: object) => lines.push(JSON.stringify(fields))
  })
  const { ask } = await startGateway(t, { log })
  t.equal((await ask('/dashboard/shared/secret-of-a-link/history')).status, 503)
  await until(() => lines.length > 0, { what: 'the line' })
  t.match(lines[0], '"path":"/dashboard/shared/…/history"')
})

t.test('a service that dies in the middle of an answer ends the connection of the client', async (t) => {
  const { port, gateway } = await startBefore(t, (req, res) => {
    if (!req.url?.includes('chunked')) res.setHeader('content-length', 1000)
    res.write('beginning', () => req.socket.destroy())
  })
  for (const path of ['/v1/jobs', '/v1/jobs/chunked']) {
    const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ port, path, headers: signedIn }, resolve).on('error', reject).end()
    })
    await t.rejects(read(incoming), { code: 'ECONNRESET' }, path)
  }
  t.match(await gateway.metrics.registry.metrics(), /gateway_upstream_errors_total\{.*kind="cut_off".*\} 2/)
})

t.test('a service that is silent is given up in its dialect', async (t) => {
  const { ask, port } = await startBefore(t, (req, res) => void (req.url?.endsWith('begun') && res.write('x')), {
    timeoutMs: 60,
    connectTimeoutMs: 1000
  })
  const answer = await ask('/v1/jobs', { headers: signedIn })
  t.equal(answer.status, 504)
  t.match(answer.json(), { code: 'TIMEOUT', message: 'scheduler did not answer in time' })
  t.equal((await ask('/v1/jobs', { method: 'POST', body: 'x', headers: signedIn })).status, 504)
  const begun = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ port, path: '/v1/jobs/begun', headers: signedIn }, resolve).on('error', reject).end()
  })
  await t.rejects(read(begun), { code: 'ECONNRESET' }, 'an answer that stands still is cut')
})

t.test('a service whose address does not exist is 503 at once', async (t) => {
  const gateway = await startGateway(t, {
    services: { scheduler: 'http://no-such-host.invalid:80' } as Record<ServiceName, string>
  })
  t.equal((await gateway.ask('/v1/jobs', { headers: signedIn })).status, 503)
})

t.test('a pooled connection that died is replaced without the client noticing, for reading only', async (t) => {
  let dying = false
  const urls: string[] = []
  const { ask, gateway } = await startBefore(t, (req, res) => {
    urls.push(`${req.method} ${req.url}`)
    if (dying && req.url?.includes('fragile')) {
      dying = false
      req.socket.destroy()
    } else res.end('fine')
  })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  await ask('/v1/jobs', { headers: signedIn, agent })
  dying = true
  t.equal((await ask('/v1/jobs/fragile', { headers: signedIn, agent })).body, 'fine')
  t.same(urls, ['GET /v1/jobs', 'GET /v1/jobs/fragile', 'GET /v1/jobs/fragile'])
  t.match(await gateway.metrics.registry.metrics(), /gateway_upstream_retries_total\{.*upstream="scheduler".*\} 1/)
  dying = true
  t.equal(
    (await ask('/v1/jobs/fragile', { method: 'POST', headers: signedIn, agent })).status,
    503,
    'a write might have happened'
  )
  t.equal(urls.length, 4)
})

t.test('a request that starts a workflow is not sent again, whatever its method is', async (t) => {
  let started = 0
  const devices = await startBackend(t, (req) => {
    started++
    req.socket.destroy()
  })
  const { ask } = await startGateway(t, { services: { devices: devices.url } as Record<ServiceName, string> })
  t.equal((await ask('/workflow-http-in/1@default/open-doors')).status, 503)
  t.equal(started, 1)
})

t.test('a restart of a service breaks no reading request', async (t) => {
  const { ask, backend } = await startBefore(t, (_req, res) => res.end('old'))
  await Promise.all(Array.from({ length: 10 }, () => ask('/v1/jobs', { headers: signedIn })))
  await backend.stop()
  await startBackend(t, (_req, res) => res.end('new'), backend.port)
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask('/v1/jobs', { headers: signedIn })))
  t.same(new Set(answers.map((answer) => `${answer.status} ${answer.body}`)), new Set(['200 new']))
})

t.test('a service that fails every time is asked twice, not for ever', async (t) => {
  let asked = 0
  const { ask } = await startBefore(t, (req) => {
    asked++
    req.socket.destroy()
  })
  t.equal((await ask('/v1/jobs', { headers: signedIn })).status, 503)
  t.equal(asked, 2)
})

t.test('closing lets running requests finish and takes no new ones', async (t) => {
  const held: (() => void)[] = []
  const { ask, gateway } = await startBefore(t, (_req, res) => void held.push(() => res.end('finished')))
  const running = ask('/v1/jobs', { headers: signedIn })
  await until(() => held.length === 1, { what: 'the request to arrive' })
  const closed = gateway.close()
  await t.rejects(ask('/v1/jobs', { headers: signedIn }), { code: 'ECONNREFUSED' })
  held[0]?.()
  t.match(await running, { status: 200, body: 'finished', headers: { connection: 'close' } })
  await closed
})
