import { STATUS_CODES } from 'node:http'
import t from 'tap'
import {
  AppError,
  BeaverPage,
  beaver,
  beaverPaging,
  beaverRange,
  type Dialect,
  type DialectName,
  DmsPage,
  dialectNames,
  dialects,
  dms,
  dmsPaging,
  EmqPage,
  type ErrorCode,
  emq,
  emqPaging,
  emqRange,
  errorCodes,
  isErrorCode,
  linker,
  linkerPaging,
  linkerRange,
  oneOf,
  type Route,
  route,
  SdesPage,
  sdes,
  sdesPaging,
  sdesRange,
  Type,
  toBeaverPage,
  toDmsPage,
  toEmqPage,
  toLinkerPage,
  toSdesPage
} from '../src/index.js'
import { get, guardWith, newKey, post, startApp, tokenFor } from './support.js'

const key = newKey('k1')
const root: Record<DialectName, string> = {
  beaver: '/device',
  sdes: '/v1/jobs',
  emq: '/api/v2',
  dms: '/v2/p/instances/i',
  linker: '/v1/cluster',
  iam: '/v3'
}

/** Status and code of every error, written down once more: a change of the wire must be meant. */
const expected: Record<DialectName, Record<ErrorCode, [number, unknown]>> = {
  beaver: {
    invalid_input: [400, 'parameter_validation_failed'],
    malformed_body: [400, 'parameter_syntax_error'],
    body_too_large: [413, 'data_too_large'],
    unauthenticated: [401, 'authentication_failed'],
    token_expired: [401, 'authentication_failed'],
    bad_credentials: [401, 'authentication_failed'],
    forbidden: [403, 'forbidden_permission'],
    not_found: [404, 'data_no_found'],
    unknown_route: [404, 'data_no_found'],
    conflict: [409, 'name_repeated'],
    invalid_state: [400, 'method_not_allowed'],
    quota_exceeded: [400, 'parameter_validation_failed'],
    rate_limited: [429, 'request_too_frequently'],
    unsupported: [400, 'method_not_allowed'],
    unavailable: [503, 'server_error'],
    timeout: [504, 'server_error'],
    internal: [500, 'server_error']
  },
  sdes: {
    invalid_input: [400, 'INVALID_INPUT'],
    malformed_body: [400, 'MALFORMED_BODY'],
    body_too_large: [413, 'BODY_TOO_LARGE'],
    unauthenticated: [401, 'UNAUTHENTICATED'],
    token_expired: [401, 'TOKEN_EXPIRED'],
    bad_credentials: [401, 'BAD_CREDENTIALS'],
    forbidden: [403, 'FORBIDDEN'],
    not_found: [404, 'NOT_FOUND'],
    unknown_route: [404, 'UNKNOWN_ROUTE'],
    conflict: [409, 'CONFLICT'],
    invalid_state: [409, 'INVALID_STATE'],
    quota_exceeded: [409, 'QUOTA_EXCEEDED'],
    rate_limited: [429, 'RATE_LIMITED'],
    unsupported: [400, 'UNSUPPORTED'],
    unavailable: [503, 'UNAVAILABLE'],
    timeout: [504, 'TIMEOUT'],
    internal: [500, 'INTERNAL']
  },
  emq: {
    invalid_input: [200, 108],
    malformed_body: [200, 109],
    body_too_large: [200, 102],
    unauthenticated: [401, ''],
    token_expired: [401, ''],
    bad_credentials: [200, 103],
    forbidden: [403, 102],
    not_found: [200, 112],
    unknown_route: [404, ''],
    conflict: [200, 113],
    invalid_state: [200, 102],
    quota_exceeded: [200, 102],
    rate_limited: [429, 102],
    unsupported: [200, 102],
    unavailable: [503, 101],
    timeout: [504, 101],
    internal: [500, 102]
  },
  dms: {
    invalid_input: [400, 'DMS.00400062'],
    malformed_body: [400, 'DMS.00400005'],
    body_too_large: [413, 'DMS.00400062'],
    unauthenticated: [401, 'DMS.10240101'],
    token_expired: [401, 'DMS.10240102'],
    bad_credentials: [401, 'DMS.10240101'],
    forbidden: [403, 'DMS.00403007'],
    not_found: [400, 'DMS.00500972'],
    unknown_route: [404, 'DMS.00404001'],
    conflict: [409, 'DMS.00400015'],
    invalid_state: [400, 'DMS.00400026'],
    quota_exceeded: [400, 'DMS.00400039'],
    rate_limited: [429, 'DMS.00400062'],
    unsupported: [405, 'DMS.00405001'],
    unavailable: [503, 'DMS.00500000'],
    timeout: [504, 'DMS.00500000'],
    internal: [500, 'DMS.00500000']
  },
  linker: {
    invalid_input: [400, 'E12002'],
    malformed_body: [400, 'E12002'],
    body_too_large: [413, 'E12002'],
    unauthenticated: [401, 'E12004'],
    token_expired: [401, 'E12004'],
    bad_credentials: [401, 'E12004'],
    forbidden: [403, 'E12004'],
    not_found: [404, 'E50004'],
    unknown_route: [404, 'E12002'],
    conflict: [409, 'E50003'],
    invalid_state: [409, 'E50016'],
    quota_exceeded: [409, 'E12002'],
    rate_limited: [429, 'E12002'],
    unsupported: [400, 'E12002'],
    unavailable: [503, 'E12003'],
    timeout: [504, 'E12003'],
    internal: [500, 'E12003']
  },
  iam: {
    invalid_input: [400, 400],
    malformed_body: [400, 400],
    body_too_large: [413, 413],
    unauthenticated: [401, 401],
    token_expired: [401, 401],
    bad_credentials: [401, 401],
    forbidden: [403, 403],
    not_found: [404, 404],
    unknown_route: [404, 404],
    conflict: [409, 409],
    invalid_state: [409, 409],
    quota_exceeded: [400, 400],
    rate_limited: [429, 429],
    unsupported: [400, 400],
    unavailable: [503, 503],
    timeout: [504, 504],
    internal: [500, 500]
  }
}

type Form = (message: string, code: unknown, requestId: string) => unknown
const forms: Record<DialectName, Form> = {
  beaver: (error_message, error_code, request_id) => ({ status: 'Failed', request_id, error_code, error_message }),
  sdes: (message, code) => ({ code, message }),
  emq: (message, code) => (code === '' ? '' : { code, message }),
  dms: (error_msg, error_code, request_id) => ({ error_code, error_msg, request_id }),
  linker: (message, code) => ({ success: false, error: { code, message } }),
  iam: (message, code) => ({ error: { message, code, title: STATUS_CODES[Number(code)] } })
}

const Draft = Type.Object({ name: Type.String({ maxLength: 8 }), kind: Type.Optional(oneOf(['A', 'B'])) })

/** The same handful of operations in every dialect. */
function routesUnder(path: string): Route[] {
  return [
    route({
      method: 'get',
      path: `${path}/throw/:code`,
      summary: 'Throw',
      needs: 'public',
      params: Type.Object({ code: Type.String() }),
      handle: ({ params }) => {
        if (isErrorCode(params.code)) throw new AppError(params.code, `thrown ${params.code}`)
        throw new TypeError('by accident: secret')
      }
    }),
    route({
      method: 'get',
      path: `${path}/special`,
      summary: 'Throw a special legacy code',
      needs: 'public',
      handle: () => {
        throw new AppError('not_found', 'special', { wireCode: 'X1', wireStatus: 410 })
      }
    }),
    route({
      method: 'get',
      path: `${path}/void`,
      summary: 'Nothing',
      needs: 'public',
      handle: async () => undefined
    }),
    route({
      method: 'post',
      path: `${path}/echo`,
      summary: 'Echo',
      needs: 'public',
      body: Draft,
      reply: Draft,
      handle: ({ body }) => ({ name: body.name })
    }),
    route({
      method: 'get',
      path: `${path}/mine`,
      summary: 'Mine',
      needs: 'signedIn',
      handle: ({ caller }) => caller.email
    }),
    route({ method: 'get', path: `${path}/edit`, summary: 'Edit', needs: ['device.edit', 'job.edit'], handle: () => 1 })
  ]
}

const apis = dialectNames.map((name) => ({ dialect: dialects[name], routes: routesUnder(root[name]) }))

t.test('an error that says when to come again has the header, in whole seconds, in every dialect', async (t) => {
  const waits: Record<string, unknown> = { none: undefined, some: 7, part: 0.2, over: 1.01, text: '7' }
  const late = (dialect: Dialect) =>
    route({
      method: 'get',
      path: `${root[dialect.name]}/late/:wait`,
      summary: 'Test',
      needs: 'public',
      params: Type.Object({ wait: Type.String() }),
      handle: ({ params }) => {
        throw new AppError('rate_limited', 'slow down', { retryAfter: waits[params.wait] })
      }
    })
  const apis = Object.values(dialects).map((dialect) => ({ dialect, routes: [late(dialect)] }))
  const { url } = await startApp(t, { apis })
  for (const { name } of apis.map(({ dialect }) => dialect)) {
    for (const [wait, header] of Object.entries({ none: null, some: '7', part: '1', over: '2', text: null })) {
      const answer = await get(`${url}${root[name]}/late/${wait}`)
      t.same([answer.status, answer.headers.get('retry-after')], [429, header], `${name} ${wait}`)
    }
  }
})

t.test('every error code has its form in every dialect', async (t) => {
  const { url } = await startApp(t, { apis, guard: await guardWith(key) })
  for (const name of dialectNames) {
    for (const code of errorCodes) {
      const answer = await get(`${url}${root[name]}/throw/${code}`)
      const [status, wireCode] = expected[name][code]
      t.equal(answer.status, status, `${name} ${code} status`)
      t.same(
        answer.body,
        forms[name](`thrown ${code}`, wireCode, answer.headers.get('x-request-id') ?? ''),
        `${name} ${code}`
      )
      t.equal(answer.headers.has('www-authenticate'), status === 401, `${name} ${code} names its scheme`)
    }
  }
})

t.test('an accident shows nothing of its cause but logs it', async (t) => {
  const { url, lines } = await startApp(t, { apis, guard: await guardWith(key) })
  for (const name of dialectNames) {
    const answer = await get(`${url}${root[name]}/throw/accident`)
    t.equal(answer.status, 500, name)
    t.notMatch(answer.text, /secret/, name)
    t.match(answer.text, /internal error/, name)
  }
  const failures = lines.filter(({ level }) => level === 'error')
  t.equal(failures.length, dialectNames.length)
  t.match(failures[0]?.fields.err, { code: 'internal', cause: { message: 'by accident: secret' } })
})

t.test('a dialect file picks a special legacy code', async (t) => {
  const { url } = await startApp(t, { apis, guard: await guardWith(key) })
  for (const name of dialectNames) {
    const answer = await get(`${url}${root[name]}/special`)
    t.equal(answer.status, 410, name)
    t.match(answer.text, /"X1"/, name)
  }
})

t.test('a request that cannot be read is refused in the dialect of its path', async (t) => {
  const { url } = await startApp(t, { apis, guard: await guardWith(key) })
  const cases: [what: string, code: ErrorCode, body: string | Uint8Array, headers?: Record<string, string>][] = [
    ['broken JSON', 'malformed_body', '{"name":'],
    ['text that is not UTF-8', 'malformed_body', Buffer.from([0x22, 0xff, 0xfe, 0x22])],
    ['an unknown charset', 'malformed_body', '{"name":"a"}', { 'content-type': 'application/json; charset=gbk' }],
    ['a compressed body', 'malformed_body', '{"name":"a"}', { 'content-encoding': 'gzip' }],
    ['endless nesting', 'malformed_body', `{"name":"a","x":${'['.repeat(9000)}${']'.repeat(9000)}}`],
    ['two megabytes', 'body_too_large', JSON.stringify({ name: 'x'.repeat(2_000_000) })],
    ['a wrong type', 'invalid_input', '{"name":5}'],
    ['an injected operator', 'invalid_input', '{"name":{"$gt":""}}'],
    ['a value too long', 'invalid_input', '{"name":"123456789"}'],
    ['a word not in the list', 'invalid_input', '{"name":"a","kind":"C"}'],
    ['a list for an object', 'invalid_input', '[]'],
    ['null', 'invalid_input', 'null']
  ]
  for (const name of dialectNames) {
    for (const [what, code, body, headers] of cases) {
      const answer = await post(`${url}${root[name]}/echo`, body, headers)
      const [status, wireCode] = expected[name][code]
      t.equal(answer.status, status, `${name} ${what}: ${answer.text}`)
      t.match(answer.text, JSON.stringify(wireCode), `${name} ${what}`)
    }
  }
})

t.test('a refusal names the field', async (t) => {
  const { url } = await startApp(t, { apis, guard: await guardWith(key) })
  for (const name of dialectNames) {
    t.match((await post(`${url}${root[name]}/echo`, '{}')).text, /name is required/, name)
    const missing = name === 'dms' ? /body is required/ : /name is required/
    t.match((await post(`${url}${root[name]}/echo`, '')).text, missing, `${name}, no body`)
    t.match((await post(`${url}${root[name]}/echo`, '{"name":{"$gt":""}}')).text, /name must be string/, name)
    t.match((await post(`${url}${root[name]}/echo`, '{"name":"a","kind":"C"}')).text, /kind must be one of A, B/, name)
  }
  const { body } = await post(`${url}${root.sdes}/echo`, '{}')
  t.same(body, { code: 'INVALID_INPUT', message: 'name is required', field: 'name' })
})

t.test(
  'dms has codes for no body at all and for another method of a path, which the others do not tell apart',
  async (t) => {
    const { url } = await startApp(t, { apis, guard: await guardWith(key) })
    t.match(await post(`${url}${root.dms}/echo`, ''), { status: 400, body: { error_code: 'DMS.00400004' } })
    t.match(await post(`${url}${root.dms}/echo`, '{}'), { status: 400, body: { error_code: 'DMS.00400062' } })
    t.match(await post(`${url}${root.dms}/echo`, ' '), { status: 400, body: { error_code: 'DMS.00400005' } })
    const refused = await fetch(`${url}${root.dms}/void`, { method: 'DELETE' })
    t.match(await refused.json(), { error_code: 'DMS.00405001', error_msg: /DELETE/, request_id: String })
    t.equal(refused.status, 405)
    t.equal(refused.headers.get('allow'), 'GET, HEAD')
    t.equal((await fetch(`${url}${root.dms}/void`, { method: 'OPTIONS' })).status, 200)
    t.equal((await fetch(`${url}${root.dms}/nothing`, { method: 'DELETE' })).status, 404)
    for (const name of dialectNames.filter((one) => one !== 'dms'))
      t.equal((await fetch(`${url}${root[name]}/void`, { method: 'DELETE' })).status, 404, name)
  }
)

t.test('emq tells a missing field from a wrong one and reads JSON under any content type', async (t) => {
  const { url } = await startApp(t, { apis, guard: await guardWith(key) })
  t.match((await post(`${url}${root.emq}/echo`, '{}')).body, { code: 107 })
  t.match((await post(`${url}${root.emq}/echo`, '')).body, { code: 107 })
  t.match((await post(`${url}${root.emq}/echo`, '{"name":1}')).body, { code: 108 })
  t.match((await post(`${url}${root.emq}/echo`, 'name')).body, { code: 109 })
  const asForm = { 'content-type': 'application/x-www-form-urlencoded' }
  t.same((await post(`${url}${root.emq}/echo`, '{"name":"a"}', asForm)).body, { code: 0, result: { name: 'a' } })
  for (const name of ['beaver', 'sdes', 'dms', 'linker', 'iam'] as const) {
    const answer = await post(`${url}${root[name]}/echo`, '{"name":"a"}', asForm)
    t.equal(answer.status, 400, name)
    t.match(answer.text, /content type must be application\/json/, name)
  }
})

t.test('success has the envelope of the dialect', async (t) => {
  const { url } = await startApp(t, { apis, guard: await guardWith(key) })
  const body = '{"name":"a","unknown":1}'
  const answers = Object.fromEntries(
    await Promise.all(dialectNames.map(async (name) => [name, await post(`${url}${root[name]}/echo`, body)]))
  )
  const requestId = answers.beaver.headers.get('x-request-id')
  t.match(requestId, /^[0-9a-f]{32}$/)
  t.same(answers.beaver.body, { status: 'Success', request_id: requestId, data: { name: 'a' } })
  t.same(answers.sdes.body, { name: 'a' })
  t.same(answers.emq.body, { code: 0, result: { name: 'a' } })
  t.same(answers.dms.body, { name: 'a' })
  t.same(answers.linker.body, { success: true, data: { name: 'a' } })
  t.same(answers.iam.body, { name: 'a' })
})

t.test('success without data has the form of the dialect', async (t) => {
  const { url } = await startApp(t, { apis, guard: await guardWith(key) })
  const { body } = await get(`${url}${root.beaver}/void`)
  t.same(Object.keys(body).sort(), ['request_id', 'status'])
  t.same((await get(`${url}${root.emq}/void`)).body, { code: 0, result: [] })
  t.same((await get(`${url}${root.linker}/void`)).body, { success: true })
  t.equal((await get(`${url}${root.sdes}/void`)).text, '')
  t.equal((await get(`${url}${root.dms}/void`)).text, '')
  t.equal((await get(`${url}${root.iam}/void`)).text, '')
})

t.test('every dialect wants a token, takes it in both headers, and refuses what the roles do not allow', async (t) => {
  const { url } = await startApp(t, { apis, guard: await guardWith(key) })
  const token = tokenFor(key)
  for (const name of dialectNames) {
    const mine = `${url}${root[name]}/mine`
    t.equal((await get(mine)).status, 401, name)
    t.equal((await get(mine, { authorization: 'Bearer nonsense' })).status, 401, name)
    t.match((await get(mine, { authorization: `Bearer ${token}` })).text, /a@example.org/, name)
    t.match((await get(mine, { authorization: `bearer ${token}` })).text, /a@example.org/, name)
    t.match((await get(mine, { 'x-auth-token': token })).text, /a@example.org/, name)
    t.equal((await get(`${mine}?Authorization=${token}`)).status, 401, `${name}: no token in the query`)
    const edit = `${url}${root[name]}/edit`
    t.equal((await get(edit, { 'x-auth-token': token })).status, 403, name)
    t.equal((await get(edit, { 'x-auth-token': tokenFor(key, { codes: new Set(['job.edit']) }) })).status, 200, name)
    t.equal((await get(edit, { 'x-auth-token': tokenFor(key, { isSuperAdmin: true }) })).status, 200, name)
  }
  t.match((await get(`${url}${root.dms}/mine`)).body, { error_code: 'DMS.10240103' })
  const late = tokenFor(key, {}, { now: Date.now() - 700_000 })
  t.match((await get(`${url}${root.dms}/mine`, { 'x-auth-token': late })).body, { error_code: 'DMS.10240102' })
  const emq = await get(`${url}${root.emq}/mine`)
  t.equal(emq.text, '')
  t.equal(emq.headers.get('www-authenticate'), 'Basic realm="emqx control center"')
})

t.test('unknown paths and methods are refused in the dialect of the path', async (t) => {
  const { url } = await startApp(t, { apis, guard: await guardWith(key) })
  for (const name of dialectNames) {
    for (const [path, method] of [
      ['/none', 'GET'],
      ['/echo', 'DELETE'],
      ['/echo', 'PATCH'],
      ['/throw/%E0%A4%A', 'GET']
    ]) {
      const answer = await get(`${url}${root[name]}${path}`, {}, method)
      const isPath = path !== '/throw/%E0%A4%A'
      const isTold = name === 'dms' && path === '/echo'
      const code = isTold ? 'unsupported' : isPath ? 'unknown_route' : 'invalid_input'
      t.equal(answer.status, expected[name][code][0], `${name} ${method} ${path}`)
      const message = isTold ? /is not known here/ : isPath ? /no such operation/ : /path is not well-formed/
      if (name !== 'emq') t.match(answer.text, message, name)
    }
  }
  t.equal((await get(`${url}${root.emq}/none`)).text, '')
  t.match((await get(`${url}/nowhere`)).body, { status: 'Failed', error_code: 'data_no_found' })
})

interface Paged {
  dialect: Dialect
  route: Route
  ask: (url: string, page: unknown, size: unknown) => Promise<{ status: number; body: unknown; text: string }>
  wrap: (items: number[], page: number, size: number) => unknown
  firstPage: number
  defaultSize: number
}

const numbers = Array.from({ length: 2500 }, (_, index) => index)
const pageOf = ({ offset, limit }: { offset: number; limit: number }) => ({
  items: numbers.slice(offset, offset + limit),
  total: numbers.length
})
const common = { summary: 'Page', needs: 'public' } as const
const byQuery = (page: string, size: string) => (url: string, pageValue: unknown, sizeValue: unknown) =>
  get(`${url}?${page}=${pageValue ?? ''}&${size}=${sizeValue ?? ''}`)

const paged: Paged[] = [
  {
    dialect: beaver,
    route: route({
      ...common,
      method: 'post',
      path: '/device/page',
      body: Type.Object(beaverPaging),
      reply: BeaverPage(Type.Integer()),
      handle: ({ body }) => toBeaverPage(body, pageOf(beaverRange(body)))
    }),
    ask: (url, page_number, page_size) => post(url, JSON.stringify({ page_number, page_size })),
    wrap: (content, page_number, page_size) => ({ data: { page_number, page_size, total: 2500, content } }),
    firstPage: 1,
    defaultSize: 10
  },
  {
    dialect: sdes,
    route: route({
      ...common,
      method: 'get',
      path: '/v1/jobs/page',
      query: Type.Object(sdesPaging),
      reply: SdesPage(Type.Integer()),
      handle: ({ query }) => toSdesPage(pageOf(sdesRange(query)))
    }),
    ask: byQuery('pageNo', 'pageSize'),
    wrap: (list) => ({ total: 2500, list }),
    firstPage: 1,
    defaultSize: 10
  },
  {
    dialect: emq,
    route: route({
      ...common,
      method: 'get',
      path: '/api/v2/page',
      query: Type.Object(emqPaging),
      reply: EmqPage(Type.Integer()),
      handle: ({ query }) => toEmqPage(query, pageOf(emqRange(query)))
    }),
    ask: byQuery('curr_page', 'page_size'),
    wrap: (objects, current_page, page_size) => ({
      result: { current_page, page_size, total_num: 2500, total_page: 2500 / page_size, objects }
    }),
    firstPage: 1,
    defaultSize: 20
  },
  {
    dialect: dms,
    route: route({
      ...common,
      method: 'get',
      path: '/v2/p/page',
      query: Type.Object(dmsPaging),
      reply: DmsPage('users', Type.Integer()),
      handle: ({ query }) => toDmsPage('users', pageOf(query))
    }),
    ask: byQuery('offset', 'limit'),
    wrap: (users) => ({ users, total: 2500 }),
    firstPage: 0,
    defaultSize: 10
  },
  {
    dialect: linker,
    route: route({
      ...common,
      method: 'get',
      path: '/v1/cluster/page',
      query: Type.Object(linkerPaging),
      reply: Type.Array(Type.Integer()),
      handle: ({ query }) => toLinkerPage(query, pageOf(linkerRange(query)))
    }),
    ask: byQuery('skip', 'limit'),
    wrap: (data) => ({ success: true, data }),
    firstPage: 0,
    defaultSize: 1000
  }
]

t.test('paging speaks the words of the dialect', async (t) => {
  const { url } = await startApp(t, { apis: paged.map(({ dialect, route }) => ({ dialect, routes: [route] })) })
  for (const { dialect, route, ask, wrap, firstPage, defaultSize } of paged) {
    const path = `${url}${route.path}`
    const first = await ask(path, undefined, undefined)
    t.match(first.body, wrap(numbers.slice(0, defaultSize), firstPage, defaultSize), `${dialect.name} defaults`)
    const second = await ask(path, firstPage === 1 ? 2 : 5, 5)
    t.match(second.body, wrap([5, 6, 7, 8, 9], 2, 5), `${dialect.name} second page`)
    const large = await ask(path, undefined, 1001)
    if (dialect === dms) t.match(large, { status: 400, body: { error_code: 'DMS.10240042' } }, 'DMS has a code for it')
    const bounded = dialect === dms ? await ask(path, undefined, 1000) : await ask(path, undefined, 5000)
    t.match(bounded.text, /\b999\b/, `${dialect.name} gives a thousand`)
    t.notMatch(bounded.text, /\b1001\b/, `${dialect.name} gives no more than a thousand`)
    const beyond = await ask(path, 9_000_000, 10)
    t.equal(beyond.status, 200, `${dialect.name} beyond the end`)
    t.match(beyond.text, /\[\]/, `${dialect.name} beyond the end is empty`)
    for (const [page, size] of [
      [firstPage - 1, 10],
      [firstPage, -1],
      ['x', 10],
      [1.5, 10]
    ]) {
      const refused = await ask(path, page, size)
      const [status, code] = expected[dialect.name].invalid_input
      t.equal(refused.status, status, `${dialect.name} ${page} ${size}`)
      t.match(refused.text, JSON.stringify(code), `${dialect.name} ${page} ${size}`)
    }
  }
})

t.test('linker shows the total where it is asked for, in the envelope and in a header', async (t) => {
  const { url } = await startApp(t, { apis: paged.map(({ dialect, route }) => ({ dialect, routes: [route] })) })
  const asked = await get(`${url}/v1/cluster/page?count=true&skip=&limit=2&name=&sort=`)
  t.same(asked.body, { success: true, count: 2500, data: [0, 1] })
  t.equal(asked.headers.get('x-object-count'), '2500')
  const unasked = await get(`${url}/v1/cluster/page?limit=1`)
  t.same(unasked.body, { success: true, data: [0] })
  t.notOk(unasked.headers.has('x-object-count'))
})
