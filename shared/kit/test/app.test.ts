import { totalmem } from 'node:os'
import type { RequestHandler } from 'express'
import t from 'tap'
import {
  AppError,
  addressOf,
  beaver,
  createGuard,
  currentOrigin,
  dialectOf,
  emq,
  Gauge,
  type KitRequest,
  type Origin,
  type Route,
  raw,
  requestIdOf,
  route,
  sdes,
  sendError,
  setRouteLabel,
  Type,
  toCallerData
} from '../src/index.js'
import { get, guardWith, memoryLog, newKey, post, someCaller, startApp, tokenFor, until } from './support.js'

const key = newKey('k1')
const open = { summary: 'Test', needs: 'public' } as const

function api(...routes: Route[]) {
  return { apis: [{ dialect: sdes, routes }] }
}

t.test("requests and responses have Express's prototypes from the start", async (t) => {
  const seen: Record<string, object> = {}
  const look: RequestHandler = (req, res, next) => {
    seen.requestInside = Object.getPrototypeOf(req)
    seen.responseInside = Object.getPrototypeOf(res)
    t.equal(req.get('x-hello'), 'there', "Express's own methods work")
    t.equal(req.path, '/v1/jobs')
    t.type(res.json, 'function')
    res.locals.ok = true
    next()
  }
  const jobs = route({ ...open, method: 'get', path: '/v1/jobs', handle: () => [] })
  const { app, url } = await startApp(t, { ...api(jobs), middleware: [look] })
  app.server.prependListener('request', (req, res) => {
    seen.requestBefore = Object.getPrototypeOf(req)
    seen.responseBefore = Object.getPrototypeOf(res)
  })
  app.server.on('request', (req, res) => {
    seen.requestAfter = Object.getPrototypeOf(req)
    seen.responseAfter = Object.getPrototypeOf(res)
  })
  t.equal((await get(`${url}/v1/jobs`, { 'x-hello': 'there' })).status, 200)
  for (const at of ['Before', 'Inside', 'After']) {
    t.equal(seen[`request${at}`], app.express.request, `request ${at}`)
    t.equal(seen[`response${at}`], app.express.response, `response ${at}`)
  }
})

t.test('request ids cross, and every request leaves one line without secrets', async (t) => {
  const seen: string[] = []
  const jobs = route({
    summary: 'x',
    method: 'post',
    path: '/v1/jobs/:id',
    needs: 'signedIn',
    body: Type.Object({}),
    handle: ({ request }) => {
      seen.push(request.id, request.address)
    }
  })
  const { url, lines } = await startApp(t, { ...api(jobs), guard: await guardWith(key) })
  const token = tokenFor(key)
  const headers = { 'x-auth-token': token, 'x-request-id': 'trace-1', 'x-forwarded-for': '203.0.113.9' }
  const answer = await post(`${url}/v1/jobs/5?secret=1`, '{"password":"pw"}', headers)
  t.equal(answer.headers.get('x-request-id'), 'trace-1')
  t.same(seen, ['trace-1', '203.0.113.9'])
  const line = await until(() => lines[0], 'the line')
  t.match(line, {
    level: 'info',
    fields: {
      requestId: 'trace-1',
      method: 'POST',
      path: '/v1/jobs/5',
      route: '/v1/jobs/:id',
      status: 200,
      userId: 'u1'
    }
  })
  const unsafe = await get(`${url}/v1/jobs`, { 'x-request-id': 'a b"c', 'x-auth-token': token })
  t.match(unsafe.headers.get('x-request-id'), /^[0-9a-f]{32}$/)
  await until(() => lines[1], 'the second line')
  t.match(lines[1], { level: 'debug', fields: { status: 404, route: 'unmatched', code: 'unknown_route' } })
  await get(`${url}/dashboard/shared/secret-of-a-link/history`)
  t.match(await until(() => lines[2], 'the third line'), { fields: { path: '/dashboard/shared/…/history' } })
  t.notMatch(JSON.stringify(lines), /secret|pw"|eyJ/)
})

t.test('a route is at work under the id and the trace of its request', async (t) => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const seen: (Origin | undefined)[] = []
  const look = async () => {
    await null
    seen.push(currentOrigin())
  }
  const { kid, pem } = key
  const verifyBasic = async () => {
    await look()
    return toCallerData(someCaller)
  }
  const guard = await createGuard({ log: memoryLog(), keys: async () => [{ kid, pem }], verifyBasic })
  t.teardown(() => guard.close())
  const jobs = route({ summary: 'x', method: 'put', path: '/api/v2/jobs', needs: 'signedIn', handle: look })
  const { url, lines } = await startApp(t, { apis: [{ dialect: emq, routes: [jobs] }], guard })
  const authorization = `Basic ${Buffer.from('a:b').toString('base64')}`
  const headers = { authorization, 'x-request-id': 'r1', traceparent }
  t.equal((await get(`${url}/api/v2/jobs`, headers, 'PUT')).status, 200)
  const { fields } = await until(() => lines[0], 'the line')
  const { trace_id, span_id } = fields
  t.equal(trace_id, '4bf92f3577b34da6a3ce929d0e0e4736')
  const own = { requestId: 'r1', traceparent: `00-${trace_id}-${span_id}-01` }
  t.strictSame(seen, [own, own], 'the check of the password as well as the route')
  t.equal(currentOrigin(), undefined)
})

t.test('X-Forwarded-For counts only from those who are trusted', async (t) => {
  const jobs = route({ ...open, method: 'get', path: '/v1/jobs', handle: ({ request }) => request.address })
  const { url } = await startApp(t, { ...api(jobs), trustProxy: false })
  t.equal((await get(`${url}/v1/jobs`, { 'x-forwarded-for': '203.0.113.9' })).body, '127.0.0.1')
})

t.test('a middleware can answer by itself', async (t) => {
  const jobs = route({ ...open, method: 'get', path: '/v1/jobs', handle: () => 1 })
  const refuse: RequestHandler = (req, res, next) => {
    if (req.path !== '/v1/tasks') return next()
    setRouteLabel(req, 'proxied')
    const message = `from ${addressOf(req as KitRequest)}`
    sendError(res, dialectOf(req.path), new AppError('unavailable', message), requestIdOf(req))
  }
  const { app, url, lines } = await startApp(t, { ...api(jobs), middleware: [refuse] })
  app.express.use('/after', (_req, res) => void res.end('after the routes'))
  const answer = await get(`${url}/v1/tasks`)
  t.same([answer.status, answer.body], [503, { code: 'UNAVAILABLE', message: 'from 127.0.0.1' }])
  t.match(await until(() => lines[0], 'the line'), {
    level: 'error',
    fields: { route: 'proxied', code: 'unavailable' }
  })
  t.equal((await get(`${url}/v1/jobs`)).body, 1)
  t.equal((await get(`${url}/after`)).text, 'after the routes')
})

t.test('a field that is refused has the code that its route gives it', async (t) => {
  const Draft = Type.Object({ name: Type.String({ maxLength: 3 }), count: Type.Optional(Type.Integer()) })
  const jobs = route({
    ...open,
    method: 'post',
    path: '/v1/jobs',
    body: Draft,
    fieldCodes: { name: 'X1' },
    handle: () => 1
  })
  const { url } = await startApp(t, api(jobs))
  const codeOf = async (body: object) => {
    const { status, body: answer } = await post(`${url}/v1/jobs`, JSON.stringify(body))
    return [status, JSON.stringify(answer).includes('X1')]
  }
  t.same(await codeOf({}), [400, true])
  t.same(await codeOf({ name: 'long' }), [400, true])
  t.same(await codeOf({ name: 'a', count: 'b' }), [400, false], 'another has that of the dialect')
  t.same(await codeOf({ name: 'a' }), [200, false])
})

t.test('health, readiness and metrics', async (t) => {
  const state = { nats: true, store: true }
  const jobs = route({ ...open, method: 'get', path: '/v1/jobs/:id', handle: () => 1 })
  const { app, url } = await startApp(t, {
    ...api(jobs),
    checks: {
      nats: () => state.nats,
      store: async () => {
        if (!state.store) throw new Error('no store')
        return true
      }
    }
  })
  t.same((await get(`${url}/healthz`)).body, { status: 'ok' })
  t.same((await get(`${url}/readyz`)).body, { status: 'ready' })
  Object.assign(state, { nats: false, store: false })
  const unready = await get(`${url}/readyz?verbose`)
  t.same([unready.status, unready.body], [503, { status: 'not ready', failing: ['nats', 'store'] }])
  await get(`${url}/v1/jobs/1`)
  await get(`${url}/v1/jobs/2`)
  await get(`${url}/v1/nothing`)
  new Gauge({ name: 'lag', help: 'x', registers: [app.metrics.registry] }).set(7)
  const { text, headers } = await get(`${url}/metrics`)
  t.match(headers.get('content-type'), /^text\/plain/)
  t.match(
    text,
    /http_request_duration_seconds_count\{service="test",method="GET",route="\/v1\/jobs\/:id",status="200"\} 2/
  )
  t.match(text, /http_request_duration_seconds_count\{service="test",method="GET",route="unmatched",status="404"\} 1/)
  t.match(text, /process_cpu_seconds_total\{service="test"\}/)
  t.match(text, /lag\{service="test"\} 7/)
  const limit = Number(/^process_memory_limit_bytes\{service="test"\} (\S+)$/m.exec(text)?.[1])
  t.ok(limit > 1e6 && limit <= totalmem(), 'the memory that it may have')
  t.notMatch(text, /healthz|readyz/)
  t.equal((await post(`${url}/healthz`, '{}')).status, 404)
})

t.test('the API reference holds every route', async (t) => {
  const Node = Type.Recursive((This) => Type.Object({ name: Type.String(), kids: Type.Array(This) }), { $id: 'Tree' })
  const make = route({
    method: 'post',
    path: '/device/:id/*rest',
    aliases: ['/entity'],
    summary: 'Make',
    needs: ['device.add', 'device.edit'],
    params: Type.Object({ id: Type.Integer(), rest: Type.String() }),
    query: Type.Object({ page: Type.Integer({ default: 1 }), name: Type.String(), x: Type.Optional(Type.Boolean()) }),
    body: Node,
    form: true,
    reply: Type.Object({ id: Type.String(), tree: Node }),
    status: 201,
    handle: () => raw({})
  })
  const list = route({ ...open, method: 'get', path: '/device', handle: () => [] })
  const { app, url } = await startApp(t, {
    guard: await guardWith(key),
    apis: [{ dialect: beaver, routes: [make, list] }]
  })
  const { body } = await get(`${url}/openapi/beaver.json`)
  t.same(body, JSON.parse(JSON.stringify(app.openapi('beaver'))))
  t.equal(app.openapi('sdes'), undefined)
  t.equal((await get(`${url}/openapi/sdes.json`)).status, 404)
  t.equal(body.openapi, '3.1.0')
  const paths = body.paths as Record<string, Record<string, Record<string, unknown>>>
  t.same(Object.keys(paths).sort(), ['/device', '/device/{id}/{rest}', '/entity'])
  const operation = paths['/device/{id}/{rest}']?.post
  t.match(operation, {
    operationId: 'postDeviceIdRest',
    summary: 'Make',
    'x-needs': ['device.add', 'device.edit'],
    security: [{ bearer: [] }, { authToken: [] }],
    parameters: [
      { name: 'id', in: 'path', required: true, schema: { type: 'integer' } },
      { name: 'rest', in: 'path', required: true },
      { name: 'page', in: 'query', required: false },
      { name: 'name', in: 'query', required: true },
      { name: 'x', in: 'query', required: false }
    ],
    requestBody: { content: { 'application/json': { schema: { $ref: '#/components/schemas/test.Tree' } } } },
    responses: {
      201: {
        content: {
          'application/json': { schema: { properties: { data: { properties: { id: { type: 'string' } } } } } }
        }
      },
      401: {},
      403: {},
      default: { content: { 'application/json': { schema: { $ref: '#/components/schemas/beaver.Error' } } } }
    }
  })
  t.same(paths['/device']?.get?.security, [])
  const { schemas } = body.components as { schemas: Record<string, unknown> }
  t.match(schemas['test.Tree'], { properties: { kids: { items: { $ref: '#/components/schemas/test.Tree' } } } })
  t.match(schemas['beaver.Error'], { properties: { error_code: { type: 'string' } } })
  const operations = Object.values(paths).flatMap((path) => Object.values(path).map(({ operationId }) => operationId))
  t.equal(new Set(operations).size, operations.length, 'operation ids are unique')
  t.notMatch(JSON.stringify(body), /\$id/)
})
