import { readFileSync } from 'node:fs'
import { prefixRules } from '@fleetgate/contracts'
import t from 'tap'
import { isPublic, route } from '../src/paths.js'
import { signedIn, speak, startFleet } from './setup.js'

t.test('every documented prefix reaches its service with its path and query untouched', async (t) => {
  const { ask, seen } = await startFleet(t)
  for (const { prefix, service, exact } of prefixRules) {
    const path = exact ? `${prefix}?q=a%2Fb` : `${prefix}/x/y%2Fz?q=a//b/../c&q=2`
    const answer = await ask(path, { headers: signedIn })
    t.match(answer.json(), { service, url: path }, path)
  }
  t.equal(seen.length, prefixRules.length)
})

/** The documents' own paths, and where the product has them. */
const documented = {
  auth: ['/oauth2/token', '/user', '/v1/user/login'],
  devices: ['/integration/1', '/device/search', '/entity/search', '/dashboard', '/workflow/flows/search', '/websocket'],
  scheduler: [
    'jobs',
    'tasks',
    'groups',
    'clients',
    'logs/jobs',
    'dashboard/info',
    'settings',
    'config/maintenance'
  ].map((name) => `/v1/${name}`),
  'broker-proxy': ['/api/v2/nodes/1/clients', '/v2/p/instances/i/users'],
  'cluster-manager': ['cluster', 'pubkey', 'dockerregistries', 'provider', 'smtp', 'logs'].map((name) => `/v1/${name}`)
}

t.test('the paths of the documents, and the table of the README, are those that are routed', async (t) => {
  const { ask } = await startFleet(t)
  for (const [service, paths] of Object.entries(documented)) {
    for (const path of paths) t.match((await ask(path, { headers: signedIn })).json(), { service }, path)
  }
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8')
  const rows = readme.split('\n').filter((line) => line.startsWith('|'))
  for (const { prefix, service } of prefixRules) {
    const isTold = rows.some((row) => new RegExp(`\`${prefix}[\`/]`).test(row) && row.includes(`| ${service} `))
    t.ok(isTold, `the README has ${prefix} at ${service}`)
  }
})

t.test('a trailing slash and doubled slashes name the same path', async (t) => {
  const { ask } = await startFleet(t)
  t.match((await ask('/v1/jobs/', { headers: signedIn })).json(), { service: 'scheduler', url: '/v1/jobs/' })
  t.match((await ask('//v1///jobs', { headers: signedIn })).json(), { service: 'scheduler', url: '/v1/jobs' })
  t.match((await ask('/v1/logs/', { headers: signedIn })).json(), { service: 'cluster-manager' })
  t.match((await ask('/v1/logs//runs', { headers: signedIn })).json(), { service: 'scheduler', url: '/v1/logs/runs' })
})

t.test('every slash of an MQTT topic in a path reaches the service, and no doubled one does', async (t) => {
  const { ask } = await startFleet(t)
  const policies = (topic: string) => `/v2/p/instances/default/topics/${topic}/accesspolicy`
  const pairs = [
    ['/api/v2/routers//World', '/api/v2/routers/%2FWorld'],
    ['/api/v2/routes/a//b?x=//', '/api/v2/routes/a%2F%2Fb?x=//'],
    ['//api//v2/routes//', '/api/v2/routes/%2F'],
    ['/api/v2/routes/a/b', '/api/v2/routes/a/b'],
    ['/api/v2/routes/http://x', '/api/v2/routes/http:%2F%2Fx'],
    ['/api/v2/nodes//n/routers//x', '/api/v2/nodes/n/routers/x'],
    [policies('a%2Fb/c'), policies('a%2Fb/c')],
    [policies('a/.b'), policies('a/.b')],
    [policies('/x'), policies('%2Fx')],
    [policies('x/'), policies('x%2F')],
    [`/v2//p/instances/default/topics//x/accesspolicy//`, `${policies('%2Fx')}/`]
  ] as const
  for (const [sent, forwarded] of pairs) {
    const answer = await ask(sent, { headers: signedIn })
    t.match(answer.json(), { service: 'broker-proxy', url: forwarded }, sent)
    // What has a body goes through http-proxy, which merges slashes too.
    const withBody = await ask(sent, { method: 'PUT', body: '{}', headers: signedIn })
    t.match(withBody.json(), { url: forwarded }, `${sent} with a body`)
  }
  for (const path of ['/api/v2/routers//../users', '/api/v2/routes/a%2f..//b'])
    t.match((await ask(path, { headers: signedIn })).json(), { code: 108 }, path)
  t.equal((await ask(policies('/..'), { headers: signedIn })).status, 400)
})

t.test('the /api/v1 alias serves the Beaver API and no other', async (t) => {
  const { ask, seen } = await startFleet(t)
  t.match((await ask('/api/v1/device/search?x=1', { headers: signedIn })).json(), {
    service: 'devices',
    url: '/device/search?x=1'
  })
  t.match((await ask('/api/v1/oauth2/jwks')).json(), { service: 'auth', url: '/oauth2/jwks' })
  for (const path of [
    '/api/v1/v1/jobs',
    '/api/v1/v2/p/instances',
    '/api/v1/api/v2/nodes',
    '/api/v1',
    '/api/v1x/device'
  ]) {
    t.equal((await ask(path, { headers: signedIn })).status, 404, path)
  }
  t.equal(seen.length, 2)
})

t.test('paths of no service, or in another case, are not found in the Beaver form', async (t) => {
  const { ask, seen } = await startFleet(t)
  const paths = [
    '/v1',
    '/V1/jobs',
    '/v1/Jobs',
    '/v1/jobsx',
    '/devices',
    '/v1/%6aobs',
    '/v1%2fjobs',
    '/openapi/sdes.json'
  ]
  for (const path of paths) {
    const answer = await ask(path, { headers: signedIn })
    t.equal(answer.status, 404, path)
    t.match(answer.json(), { status: 'Failed', error_code: 'data_no_found', request_id: String }, path)
    t.equal(answer.json().request_id, answer.headers['x-request-id'], path)
  }
  t.equal(seen.length, 0)
})

t.test('paths that two readers could resolve differently reach no service', async (t) => {
  const { ask, seen } = await startFleet(t)
  const paths = [
    '/v1/jobs/../../api/v2/users',
    '/v1/jobs/..',
    '/v1/jobs/./1',
    '/device/%2e%2e/healthz',
    '/device/%2E%2e/metrics',
    '/device/.%2e/openapi/beaver.json',
    '/device/..%2fmetrics',
    '/device/x%2f..%2f..%2fmetrics',
    '/device/..%5cmetrics',
    '/device/..\\metrics',
    '/api/v1/../v2/users',
    '/user/status/../../v1/jobs',
    '/oauth2/jwks#/../../v1/jobs'
  ]
  for (const path of paths) {
    const answer = await ask(path, { headers: signedIn })
    t.equal(answer.status, 400, path)
    const form = path.startsWith('/v1/jobs') ? { code: 'INVALID_INPUT' } : { error_code: 'parameter_validation_failed' }
    t.match(answer.json(), form, `${path} in the form of the path that it begins with`)
  }
  t.match((await ask('/v1/pubkey/..', { headers: signedIn })).json(), { success: false, error: { code: 'E12002' } })
  t.match((await ask('/v2/p/..', { headers: signedIn })).json(), { error_code: /^DMS\./ })
  t.match((await ask('/api/v2/users/%2e%2e', { headers: signedIn })).json(), { code: 108 })
  t.equal(seen.length, 0, 'no service was bothered')
})

t.test('an absolute target is read as its path, and one with a schema in the path survives', async (t) => {
  const { port, ask } = await startFleet(t)
  const headers = `Host: x\r\nConnection: close\r\nAuthorization: ${signedIn.authorization}\r\n\r\n`
  const heard = await speak(port, `GET http://elsewhere/v1/jobs?a=1 HTTP/1.1\r\n${headers}`, () => false)
  t.match(heard, /"service":"scheduler","url":"\/v1\/jobs\?a=1"/)
  t.match(await speak(port, `OPTIONS * HTTP/1.1\r\n${headers}`, () => false), /^HTTP\/1.1 404/)
  t.match((await ask('/v1/jobs/http:/x', { headers: signedIn })).json(), { url: '/v1/jobs/http%3A/x' })
})

t.test('bytes that may not stand in a path are refused', async (t) => {
  const { port, seen } = await startFleet(t)
  const say = (odd: string) => {
    const rest = ` HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ${signedIn.authorization}\r\n\r\n`
    return speak(port, Buffer.from(`GET /v1/jobs/${odd}${rest}`, 'latin1'), () => false)
  }
  for (const odd of ['\u00e9', '\x7f', '\x01', '\x00']) t.match(await say(odd), /^HTTP\/1.1 400/)
  t.match(await say('fine'), /^HTTP\/1.1 200/)
  t.equal(seen.length, 1)
})

t.test('only how one gets a token is public, under its exact method and path', async (t) => {
  const { ask, seen } = await startFleet(t)
  const open = [
    'POST /oauth2/token',
    'GET /oauth2/jwks',
    'POST /user/register',
    'GET /user/status',
    'POST /v1/user/login',
    'POST /api/v2/auth',
    'POST /v1/clients/enrol',
    'POST /workflow-http-in/7@default/orders',
    'GET /dashboard/shared/abcdefghijklmnopqrstuvwx',
    'GET /dashboard/shared/abcdefghijklmnopqrstuvwx/history',
    'GET /public/ping-logo.svg',
    'GET /db-resource/public/abcdefghijklmnopqrstuvwx',
    'PUT /db-resource/public/abcdefghijklmnopqrstuvwx'
  ]
  for (const entry of open) {
    const [method = '', path = ''] = entry.split(' ')
    t.equal((await ask(path, { method })).status, 200, entry)
    t.ok(isPublic(method, `${path}/`), `${entry}/`)
  }
  t.equal((await ask('/api/v1/user/status')).status, 200, 'also under the alias')
  const bothered = seen.length
  for (const entry of [
    'GET /oauth2/token',
    'POST /user/register/x',
    'DELETE /user/status',
    'POST /dashboard/shared/abcdefghijklmnopqrstuvwx',
    'GET /dashboard/shared',
    'POST /db-resource/public/abcdefghijklmnopqrstuvwx',
    'PUT /db-resource/other/abcdefghijklmnopqrstuvwx',
    'POST /resource/upload-config',
    'GET /user',
    'POST /v1/user'
  ]) {
    const [method = '', path = ''] = entry.split(' ')
    t.equal((await ask(path, { method })).status, 401, entry)
  }
  t.equal(seen.length, bothered)
})

t.test('route answers one destination for a thousand odd spellings, never another service', async (t) => {
  const pieces = [
    '//',
    '.',
    '..',
    '%2e',
    '%2f',
    '%5c',
    '\\',
    'v1',
    'jobs',
    'user',
    'api',
    'v2',
    'routes',
    'topics',
    'accesspolicy',
    'instances',
    'device',
    '#',
    'http:',
    '%',
    ';',
    ' '
  ]
  let state = 7
  const next = (below: number) => {
    state = (state * 1103515245 + 12345) % 2147483648
    return state % below
  }
  let routed = 0
  for (let round = 0; round < 20_000; round++) {
    const target = `/${Array.from({ length: 1 + next(8) }, () => pieces[next(pieces.length)]).join('')}`
    const destination = route(target)
    if (typeof destination === 'string') continue
    routed++
    // What the laxest reader would make of the forwarded path: decoded, slashes merged, dots resolved.
    const decoded = destination.path.replace(/%2f|%5c|\\/gi, '/').replace(/%2e/gi, '.')
    const resolved = new URL(`http://h${decoded.replace(/\/+/g, '/')}`).pathname
    if (!resolved.startsWith(destination.rule.prefix)) t.fail(`${target} resolves to ${resolved}`)
  }
  t.ok(routed > 100, `${routed} of them were routed`)
})
