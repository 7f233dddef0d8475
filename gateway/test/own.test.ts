import type { ServiceName } from '@fleetgate/contracts'
import t from 'tap'
import { readConfig } from '../src/config.js'
import { type Json, merge } from '../src/docs/documents.js'
import { signedIn, startBackend, startGateway } from './setup.js'

const document = (paths: string[], schemas: Json = {}): Json => ({
  openapi: '3.1.0',
  paths: Object.fromEntries(paths.map((path) => [path, { get: { summary: path } }])),
  components: { schemas, securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } }
})

t.test(
  '/healthz answers, /readyz tells of dead services without giving up, and says when it is not ready',
  async (t) => {
    const alive = await startBackend(t, (_req, res) => res.end('ok'))
    let isNatsReady = true
    const { ask } = await startGateway(t, {
      isNatsReady: () => isNatsReady,
      services: { devices: alive.url } as Record<ServiceName, string>
    })
    t.equal((await ask('/healthz')).status, 200)
    const ready = await ask('/readyz')
    t.equal(ready.status, 200)
    t.match(ready.json(), {
      status: 'ready',
      checks: { nats: true, keys: true },
      services: { devices: true, auth: false }
    })
    isNatsReady = false
    const unready = await ask('/readyz')
    t.equal(unready.status, 503)
    t.match(unready.json(), { status: 'not ready', checks: { nats: false, keys: true } })
  }
)

t.test('/metrics counts by service, prefix, method and status, for this machine only', async (t) => {
  const alive = await startBackend(t, (_req, res) => res.writeHead(201).end('ok'))
  const { ask } = await startGateway(t, { services: { scheduler: alive.url } as Record<ServiceName, string> })
  await ask('/v1/jobs/1', { headers: signedIn })
  await ask('/v1/jobs/2', { headers: signedIn, method: 'POST' })
  await ask('/v1/jobs/3')
  await ask('/device/4', { headers: signedIn })
  const { body } = await ask('/metrics')
  const count = (labels: string) => new RegExp(`gateway_requests_total\\{${labels}.*\\} 1\\n`)
  t.match(body, count('upstream="scheduler",prefix="/v1/jobs",method="GET",status="201"'))
  t.match(body, count('upstream="scheduler",prefix="/v1/jobs",method="POST",status="201"'))
  t.match(body, count('upstream="scheduler",prefix="/v1/jobs",method="GET",status="401"'))
  t.match(body, count('upstream="devices",prefix="/device",method="GET",status="503"'))
  t.match(body, /gateway_upstream_errors_total\{upstream="devices",kind="unavailable".*\} 1/)
  t.match(body, /gateway_request_duration_seconds_count\{.*upstream="scheduler",prefix="\/v1\/jobs".*\} 3/)
  t.equal((await ask('/metrics', { headers: { 'x-forwarded-for': '8.8.8.8' } })).status, 404, 'not through a proxy')
  const open = await startGateway(t, { metricsPublic: true })
  t.equal((await open.ask('/metrics', { headers: { 'x-forwarded-for': '8.8.8.8' } })).status, 200, 'unless allowed')
})

t.test('the reference page loads from this gateway alone', async (t) => {
  const { ask } = await startGateway(t, {})
  const page = await ask('/docs')
  t.equal(page.status, 200)
  t.match(page.headers['content-type'], 'text/html')
  const policy = String(page.headers['content-security-policy'])
  t.match(policy, "default-src 'none'")
  t.notMatch(policy, /https?:|\*|unsafe-eval|script-src[^;]*unsafe/)
  const links = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string)
  t.ok(links.length >= 5)
  for (const link of links) {
    t.match(link, /^\/docs\//)
    t.equal((await ask(link)).status, 200, link)
  }
  const start = (await ask('/docs/assets/start.js')).body
  t.notMatch(page.body + start, /https?:\/\//)
  t.match(start, 'validatorUrl: null')
  for (const name of ['beaver', 'sdes', 'emq', 'dms', 'linker']) t.match(start, `/docs/${name}.json`)
  t.equal((await ask('/docs/%zz.json')).status, 400)
  for (const path of ['/docs/assets/index.html', '/docs/assets/package.json', '/docs/assets/x.js', '/docs/x.json']) {
    t.equal((await ask(path)).status, 404, path)
  }
})

t.test('a document is merged from what the services print, a dead one is named, and kept for a while', async (t) => {
  let asked = 0
  const auth = await startBackend(t, (req, res) => {
    asked++
    res.end(req.url === '/openapi/beaver.json' ? JSON.stringify(document(['/user/members', '/device/stolen'])) : '{}')
  })
  const { ask } = await startGateway(t, { services: { auth: auth.url } as Record<ServiceName, string> })
  const answer = await ask('/docs/beaver.json')
  t.match(answer.json(), {
    openapi: '3.1.0',
    info: { title: 'Beaver IoT API', description: /does not answer: devices/ }
  })
  t.same(Object.keys(answer.json().paths as object), ['/user/members'], 'only what the gateway sends there')
  await Promise.all([ask('/docs/beaver.json'), ask('/docs/beaver.json')])
  t.equal(asked, 1)
})

t.test('merge keeps paths, schemas and security schemes of every part, and survives nonsense', async (t) => {
  const merged = merge('linker', [
    { service: 'auth', document: document(['/v1/user/login'], { 'auth.Login': { type: 'object' } }) },
    { service: 'cluster-manager', document: document(['/v1/cluster/{id}', '/v1/logs', '/v1/jobs'], { 'cm.Host': {} }) }
  ])
  t.match(merged, {
    info: { description: '' },
    components: { schemas: { 'auth.Login': {}, 'cm.Host': {} }, securitySchemes: { bearer: { type: 'http' } } }
  })
  t.same(Object.keys(merged.paths as object), ['/v1/user/login', '/v1/cluster/{id}', '/v1/logs'])
  t.same(merge('sdes', [{ service: 'scheduler', document: { paths: 'no', components: [] } }]).paths, {})
})

t.test('configuration names every bad key', async (t) => {
  const urls = Object.fromEntries(
    ['AUTH', 'DEVICES', 'SCHEDULER', 'BROKER_PROXY', 'CLUSTER_MANAGER'].map((name) => [
      `${name}_URL`,
      'http://127.0.0.1:1'
    ])
  )
  t.match(readConfig(urls), { PORT: 8080, HOST: '127.0.0.1', RATE_LIMIT_PER_SECOND: 0, METRICS_PUBLIC: false })
  t.throws(() => readConfig({ ...urls, AUTH_URL: undefined, DEVICES_URL: 'ftp://x', UPSTREAM_TIMEOUT_MS: 'soon' }), {
    message: /AUTH_URL.*DEVICES_URL.*UPSTREAM_TIMEOUT_MS/
  })
})
