import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import t from 'tap'
import { type Route, raw, route, sdes, Type, websocketCredentials } from '../src/index.js'
import { get, guardWith, newKey, post, startApp, tokenFor, until } from './support.js'

const key = newKey('k1')
const open = { summary: 'Test', needs: 'public' } as const

function api(...routes: Route[]) {
  return { apis: [{ dialect: sdes, routes }] }
}

t.test('params and query are coerced, bodies are not', async (t) => {
  const ByPath = Type.Object({ id: Type.Integer() })
  const Query = Type.Object({ on: Type.Boolean({ default: false }), ids: Type.Optional(Type.Array(Type.Integer())) })
  const jobs = route({
    ...open,
    method: 'post',
    path: '/v1/jobs/:id',
    params: ByPath,
    query: Query,
    body: Type.Object({ n: Type.Optional(Type.Integer()) }),
    handle: (input) => ({ params: input.params, query: input.query, body: input.body })
  })
  const list = route({
    ...open,
    method: 'put',
    path: '/v1/jobs/list',
    body: Type.Array(Type.Integer()),
    handle: ({ body }) => body.length
  })
  const topic = route({
    ...open,
    method: 'get',
    path: '/v1/tasks/*topic',
    params: Type.Object({ topic: Type.String() }),
    handle: ({ params }) => params.topic
  })
  const { url } = await startApp(t, api(jobs, list, topic))
  const put = (body: string) =>
    fetch(`${url}/v1/jobs/list`, { method: 'PUT', body, headers: { 'content-type': 'application/json' } })

  t.same((await post(`${url}/v1/jobs/7?on=true&ids=1&ids=2&x=`, '{"n":1}')).body, {
    params: { id: 7 },
    query: { on: true, ids: [1, 2] },
    body: { n: 1 }
  })
  t.same((await post(`${url}/v1/jobs/7?on=&ids=5`, '')).body.query, { on: false, ids: [5] })
  t.match((await post(`${url}/v1/jobs/x`, '{}')).body, { code: 'INVALID_INPUT', field: 'id' })
  t.match((await post(`${url}/v1/jobs/7?on=perhaps`, '{}')).body, { code: 'INVALID_INPUT', field: 'on' })
  t.match((await post(`${url}/v1/jobs/7`, '{"n":"1"}')).body, { code: 'INVALID_INPUT', field: 'n' })
  t.equal(await (await put('[1,2,3]')).text(), '3')
  t.match(await (await put('')).json(), { code: 'INVALID_INPUT', message: 'body is required' })
  t.equal((await get(`${url}/v1/tasks/a/b%2Fc`)).body, 'a/b/c')
})

t.test('keys that would change a prototype are dropped', async (t) => {
  const jobs = route({
    ...open,
    method: 'post',
    path: '/v1/jobs',
    body: Type.Object({}),
    handle: ({ body }) => {
      const copy = Object.assign({}, body) as { admin?: boolean }
      return { admin: copy.admin ?? false, keys: Object.keys(body) }
    }
  })
  const { url } = await startApp(t, api(jobs))
  const expected = { admin: false, keys: ['a'] }
  t.same((await post(`${url}/v1/jobs`, '{"a":1,"__proto__":{"admin":true}}')).body, expected)
  t.same((await post(`${url}/v1/jobs`, '{"a":1,"__pr\\u006fto\\u005F_" : {"admin":true}}')).body, expected)
})

t.test('forms are read where a route takes them', async (t) => {
  const Body = Type.Object({ username: Type.String() })
  const token = route({ ...open, method: 'post', path: '/v1/jobs', body: Body, form: true, handle: ({ body }) => body })
  const { url } = await startApp(t, api(token))
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  t.same((await post(`${url}/v1/jobs`, 'username=a%40b+c&x=1', form)).body, { username: 'a@b c', x: '1' })
  t.same((await post(`${url}/v1/jobs`, '{"username":"a"}')).body, { username: 'a' })
  t.match((await post(`${url}/v1/jobs`, 'username=a&username=b', form)).body, {
    code: 'INVALID_INPUT',
    field: 'username'
  })
})

t.test('a large body is refused without being kept, and the connection lives on', async (t) => {
  const Body = Type.Object({ a: Type.String() })
  const jobs = route({ ...open, method: 'post', path: '/v1/jobs', body: Body, handle: ({ body }) => body.a.length })
  const small = route({ ...open, method: 'post', path: '/v1/tasks', body: Body, bodyLimit: 20, handle: () => 1 })
  const { url } = await startApp(t, api(jobs, small))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const send = (path: string, body: string, headers: Record<string, string>) =>
    new Promise<number | undefined>((resolve, reject) => {
      const outgoing = httpRequest(`${url}${path}`, { method: 'POST', agent, headers }, (answer) => {
        answer.resume().on('end', () => resolve(answer.statusCode))
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  const large = JSON.stringify({ a: 'x'.repeat(2_000_000) })
  t.equal(await send('/v1/jobs', large, { 'content-length': String(large.length) }), 413)
  t.equal(await send('/v1/jobs', large, { 'transfer-encoding': 'chunked' }), 413)
  t.equal(await send('/v1/jobs', '{"a":"x"}', { 'transfer-encoding': 'chunked' }), 200)
  t.equal(await send('/v1/jobs', JSON.stringify({ a: 'x'.repeat(1_000_000) }), {}), 200)
  t.equal(await send('/v1/tasks', '{"a":"xxxxxxxxxxxxxxxxx"}', {}), 413)
})

t.test('a client that goes away in the middle of its body leaves no answer and one line', async (t) => {
  const Body = Type.Object({})
  const jobs = route({ ...open, method: 'post', path: '/v1/jobs', body: Body, handle: () => 1 })
  const { app, lines } = await startApp(t, api(jobs))
  const { port } = app.server.address() as { port: number }
  const socket = connect(port, '127.0.0.1')
  socket.write('POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"a":')
  await new Promise((resolve) => app.server.once('request', resolve))
  socket.destroy()
  const line = await until(() => lines[0], 'the log line')
  t.match(line, { level: 'info', fields: { status: 499, method: 'POST' } })
})

t.test('raw answers go out as they are', async (t) => {
  const at = (path: string, handle: () => unknown) =>
    route({ ...open, method: 'get', path: `/v1/jobs/${path}`, handle })
  const { url, lines } = await startApp(
    t,
    api(
      at('text', () => raw({ status: 201, headers: { 'content-type': 'text/csv', 'x-a': 'b' }, body: 'a;b' })),
      at('bytes', () => raw({ body: Buffer.from([1, 2, 3]) })),
      at('json', () => raw({ status: 202, body: { a: 1 } })),
      at('stream', () => raw({ headers: { 'content-type': 'text/plain' }, body: Readable.from(['a', 'b', 'c']) })),
      at('moved', () => raw({ status: 302, headers: { location: '/x' } })),
      at('broken', () => raw({ headers: { 'content-type': 'text/plain' }, body: Readable.from(brokenStream()) }))
    )
  )
  const text = await get(`${url}/v1/jobs/text`)
  t.equal(text.status, 201)
  t.equal(text.text, 'a;b')
  t.equal(text.headers.get('content-type'), 'text/csv')
  t.equal(text.headers.get('x-a'), 'b')
  t.equal((await get(`${url}/v1/jobs/bytes`)).text, '\u0001\u0002\u0003')
  const json = await get(`${url}/v1/jobs/json`)
  t.same([json.status, json.body], [202, { a: 1 }])
  t.match(json.headers.get('content-type'), /^application\/json/)
  t.equal((await get(`${url}/v1/jobs/stream`)).text, 'abc')
  const head = await get(`${url}/v1/jobs/stream`, {}, 'HEAD')
  t.same([head.status, head.text], [200, ''])
  t.equal((await fetch(`${url}/v1/jobs/moved`, { redirect: 'manual' })).status, 302)
  await t.rejects(get(`${url}/v1/jobs/broken`), 'an answer that breaks in the middle is cut off')
  const line = await until(() => lines.find(({ level }) => level === 'error'), 'the error line')
  t.match(line, { fields: { route: '/v1/jobs/broken', err: { cause: { message: 'disk is gone' } } } })
})

async function* brokenStream() {
  yield 'half'
  throw new Error('disk is gone')
}

t.test('statuses, HEAD and OPTIONS', async (t) => {
  const jobs = route({ ...open, method: 'get', path: '/v1/jobs', aliases: ['/v1/tasks'], handle: () => ({ a: 1 }) })
  const made = route({ ...open, method: 'post', path: '/v1/jobs', status: 201, handle: () => ({ id: 1 }) })
  const gone = route({ ...open, method: 'delete', path: '/v1/jobs', status: 204, handle: () => ({ id: 1 }) })
  const { url } = await startApp(t, api(jobs, made, gone))
  const head = await get(`${url}/v1/jobs`, {}, 'HEAD')
  t.same([head.status, head.text, head.headers.get('content-length')], [200, '', '7'])
  t.equal((await get(`${url}/v1/none`, {}, 'HEAD')).status, 404)
  const options = await get(`${url}/v1/jobs`, {}, 'OPTIONS')
  t.equal(options.status, 200)
  t.same(options.headers.get('allow')?.split(', ').sort(), ['DELETE', 'GET', 'HEAD', 'POST'])
  t.match((await get(`${url}/v1/jobs/none`, {}, 'OPTIONS')).body, { code: 'UNKNOWN_ROUTE' })
  t.equal((await post(`${url}/v1/jobs`, '')).status, 201)
  const deleted = await get(`${url}/v1/jobs`, {}, 'DELETE')
  t.same([deleted.status, deleted.text], [204, ''])
  t.same((await get(`${url}/v1/tasks/`)).body, { a: 1 }, 'an alias, with a slash at its end')
  t.notOk(head.headers.has('x-powered-by'))
  t.notOk(head.headers.has('etag'))
})

t.test('a reply that breaks its schema is a failure with its reason in the log', async (t) => {
  const Reply = Type.Object({ id: Type.String(), at: Type.Optional(Type.String()) })
  const wrong = { id: 5 } as unknown as { id: string }
  const dated = { id: 'a', at: new Date(0) } as unknown as { id: string }
  const routes = [
    route({ ...open, method: 'get', path: '/v1/jobs', reply: Reply, handle: () => wrong }),
    route({ ...open, method: 'get', path: '/v1/tasks', reply: Reply, handle: () => dated })
  ]
  const { url, lines } = await startApp(t, api(...routes))
  const answer = await get(`${url}/v1/jobs`)
  t.equal(answer.status, 500)
  t.notMatch(answer.text, /string/)
  t.match(lines.at(-1), { level: 'error', fields: { err: { cause: { message: 'id must be string' } } } })
  t.equal((await get(`${url}/v1/tasks`)).status, 200, 'what counts is what goes over the wire')
  const unchecked = await startApp(t, { ...api(...routes), checkReplies: false })
  t.equal((await get(`${unchecked.url}/v1/jobs`)).status, 200)
})

t.test('nothing of a request is looked at before its caller is known', async (t) => {
  let handled = 0
  const jobs = route({
    summary: 'Edit',
    method: 'post',
    path: '/v1/jobs/:id',
    needs: 'job.edit',
    params: Type.Object({ id: Type.Integer() }),
    body: Type.Object({ a: Type.Integer() }),
    handle: () => {
      handled += 1
    }
  })
  const { url } = await startApp(t, { ...api(jobs), guard: await guardWith(key) })
  const as = (codes: string[]) => ({ 'x-auth-token': tokenFor(key, { codes: new Set(codes) }) })
  t.equal((await post(`${url}/v1/jobs/x`, '{')).status, 401)
  const refused = await post(`${url}/v1/jobs/x`, '{', as(['job.view']))
  t.match([refused.status, refused.body], [403, { code: 'FORBIDDEN', message: 'not allowed: needs job.edit' }])
  t.match((await post(`${url}/v1/jobs/x`, '{', as(['job.edit']))).body, { field: 'id' })
  t.match((await post(`${url}/v1/jobs/1`, '{', as(['job.edit']))).body, { code: 'MALFORMED_BODY' })
  t.equal(handled, 0)
  t.equal((await post(`${url}/v1/jobs/1`, '{"a":1}', as(['job.edit']))).status, 200)
  t.equal(handled, 1)
})

t.test('an app whose routes need callers is not made without a guard', async (t) => {
  const jobs = route({ summary: 'x', method: 'get', path: '/v1/jobs', needs: 'signedIn', handle: () => 1 })
  await t.rejects(async () => startApp(t, api(jobs)), { message: /has no guard/ })
})

t.test('a websocket handshake may carry its token in the query', async (t) => {
  const ask = (url: string, headers = {}) => websocketCredentials({ url, headers } as IncomingMessage)
  t.same(ask('/websocket?Authorization=Bearer%20abc'), { bearer: 'abc' })
  t.same(ask('/websocket?Authorization=abc'), { bearer: 'abc' })
  t.same(ask('/websocket?Authorization=abc', { authorization: 'Bearer def' }), { bearer: 'def' })
  t.equal(ask('/websocket'), undefined)
})
