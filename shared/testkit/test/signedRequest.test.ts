import { createHmac } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { badSignature, createApp, createGuard, dms, iam, type Route, route, Type } from '@fleetgate/kit'
import t from 'tap'
import { quietLog, signRequest, type Teardown, testGuardKeys } from '../src/index.js'

const key = { accessKey: 'AKEXAMPLE00000000001', secret: 'SecretOfTheExample0000000000000000000001' }
const at = Date.UTC(2026, 0, 31, 23, 59, 59)
const keys = testGuardKeys()
const caller = {
  userId: '7',
  tenantId: 'default',
  email: 'a@example.com',
  nickname: 'Ann',
  isSuperAdmin: false,
  codes: ['device.view'],
  version: 1
}

/** An app whose auth knows one access key. */
async function start(t: Teardown, now: () => number = Date.now): Promise<string> {
  const guard = await createGuard({
    log: quietLog,
    keys: async () => keys.keys,
    now,
    verifySignature: async ({ accessKey, texts, signature }) => {
      const isGood = texts.some((text) => createHmac('sha256', key.secret).update(text).digest('hex') === signature)
      if (accessKey !== key.accessKey || !isGood) throw badSignature('wrong')
      return { tokenId: 't1', caller, codes: ['device.view', 'job.run'], expiresAt: 1e15 }
    }
  })
  const app = createApp({ service: 'test', log: quietLog, guard, apis })
  t.teardown(() => app.close())
  return (await app.listen()).url
}

interface Sent {
  method: string
  headers: Record<string, string>
  body?: string | undefined
}

/** Sent with exactly these headers: fetch sets `host` itself. */
function send(
  url: string,
  { method, headers, body }: Sent
): Promise<{ status: number; body: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const length = body ? { 'content-length': String(Buffer.byteLength(body)) } : {}
    const outgoing = httpRequest(url, { method, headers: { ...headers, ...length } }, async (answer) => {
      let text = ''
      for await (const chunk of answer) text += chunk
      resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) })
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

const echo = (method: 'get' | 'post', path: string, bodyLimit?: number): Route =>
  route({
    method,
    path,
    summary: 'Echo',
    needs: 'signedIn',
    bodyLimit,
    ...(method === 'post' ? { body: Type.Object({}) } : {}),
    handle: ({ body, caller }) => ({ body, codes: [...caller.codes], program: caller.serviceTokenId })
  })
const users = '/v2/default/instances/default/users'
const apis = [
  {
    dialect: dms,
    routes: [
      echo('get', users),
      echo('post', users),
      echo('get', '/v2/default/instances/default/topics/*topic/accesspolicy'),
      echo('post', '/v2/small', 20)
    ]
  },
  { dialect: iam, routes: [echo('get', '/v3/projects')] }
]

/** What the vendor's client library for Node sent for three requests, with this key at this time. */
const vectors: (Sent & { path: string; host: string; signature: string })[] = [
  {
    method: 'GET',
    path: `${users}?offset=0&limit=10`,
    host: '127.0.0.1:8080',
    headers: { 'content-type': 'application/json', 'x-project-id': 'default' },
    signature: 'f6430d679873fa1af6909a5992cf8d6dd89c515c341a5dc0810deb1ecb60b0f6'
  },
  {
    method: 'POST',
    path: users,
    host: 'fleet.example.com',
    headers: { 'content-type': 'application/json;charset=UTF-8' },
    body: '{"access_key":"machine01","secret_key":"ü & 1"}',
    signature: '052e593b8b07ce183f716aa71207e0ccc46069f16b8b8e039eedede520521636'
  }
]

t.test("the testkit's signer makes the signatures of the vendor's library", async (t) => {
  for (const { path, host, signature, ...request } of vectors) {
    const { authorization } = signRequest(key, { ...request, url: new URL(`http://${host}${path}`), at })
    t.match(authorization, `Signature=${signature}`, path)
  }
})

t.test("the vendor's signatures are accepted, also of a path that was escaped twice", async (t) => {
  const url = await start(t, () => at + 14 * 60_000)
  const twice: (typeof vectors)[number] = {
    method: 'GET',
    // A space of a query may come as a plus, and in any order.
    path: '/v2/default/instances/default/topics/a%2Fb/accesspolicy?%C3%A9=/%2B%3D&b=2&b=1&a=x+y',
    host: 'fleet.example.com',
    headers: { 'content-type': 'application/json' },
    body: undefined,
    signature: 'e8187bd6f14edb0e63b80c217cd321eb7566ac433066019f0861e3a759b52c65'
  }
  for (const { method, path, host, headers, body, signature } of [...vectors, twice]) {
    const names = ['host', 'x-sdk-date', ...Object.keys(headers)].sort().join(';')
    const authorization = `SDK-HMAC-SHA256 Access=${key.accessKey}, SignedHeaders=${names}, Signature=${signature}`
    const all = { ...headers, host, 'x-sdk-date': '20260131T235959Z', authorization }
    const answer = await send(url + path, { method, body, headers: all })
    t.equal(answer.status, 200, path)
    t.same(answer.body, { codes: ['device.view'], program: 't1', ...(body && { body: JSON.parse(body) }) })
  }
})

t.test('whatever was changed on the way, or is too old, is refused without its reason being told', async (t) => {
  const url = await start(t)
  const good = {
    method: 'POST',
    url: new URL(url + users),
    headers: { 'content-type': 'application/json' } as Record<string, string>,
    body: '{"a":1}'
  }
  const sign = (change: Partial<typeof good> & { at?: number } = {}, by = key) =>
    signRequest(by, { ...good, ...change })
  t.equal((await send(url + users, { ...good, headers: sign() })).status, 200)
  const otherBody = sign()
  const cases: [string, Record<string, string>, string?][] = [
    ['another body', otherBody, '{"a":2}'],
    ['no body', otherBody, ''],
    ['another header', { ...sign(), 'content-type': 'application/json; charset=utf-8' }],
    ['another date', { ...sign(), 'x-sdk-date': '20260131T235959Z' }],
    ['a date too old', sign({ at: Date.now() - 15 * 60_000 - 5000 })],
    ['a date too new', sign({ at: Date.now() + 15 * 60_000 + 60_000 })],
    ['another path', sign({ url: new URL(`${url}/v2/other`) })],
    ['another query', sign({ url: new URL(`${url}${users}?x=1`) })],
    ['another method', sign({ method: 'PUT' })],
    ['another host', sign({ url: new URL(`http://elsewhere${users}`) })],
    ['another secret', sign({}, { ...key, secret: 'x' })],
    ['another key', sign({}, { ...key, accessKey: 'AKEXAMPLE00000000002' })],
    [
      'a hash that is not that of the body',
      sign({ headers: { ...good.headers, 'x-sdk-content-sha256': 'UNSIGNED-PAYLOAD' } })
    ]
  ]
  for (const [what, headers, body = good.body] of cases) {
    const answer = await send(url + users, { method: 'POST', body, headers })
    t.match(answer, { status: 401, body: { error_code: 'APIGW.0301', request_id: String } }, what)
  }
})

t.test('a header that is broken, or leaves date or host unsigned, is refused in the form of the path', async (t) => {
  const url = await start(t)
  const good = signRequest(key, { method: 'GET', url: new URL(url + users) })
  const { authorization = '' } = good
  const broken = [
    authorization.replace('host;', ''),
    authorization.replace(';x-sdk-date', ''),
    authorization.slice(0, -1),
    authorization.replace(/Access=\w+/, 'Access='),
    'SDK-HMAC-SHA256',
    'SDK-HMAC-SHA256 __proto__'
  ]
  for (const header of broken) {
    const headers = { ...good, authorization: header }
    t.match(
      await send(url + users, { method: 'GET', headers }),
      { status: 401, body: { error_code: 'APIGW.0301' } },
      header
    )
    t.match(await send(`${url}/v3/projects`, { method: 'GET', headers }), {
      status: 401,
      body: { error: { code: 401, title: 'Unauthorized' } }
    })
  }
  t.equal((await send(url + users, { method: 'GET', headers: { authorization } })).status, 401, 'no date')
  t.match(
    await send(url + users, { method: 'GET', headers: { ...good, 'x-auth-token': keys.token() } }),
    { status: 200 },
    'a token goes first'
  )
})

t.test('a signed body of more than 64 KB, or than its route takes, is 413', async (t) => {
  const url = await start(t)
  for (const [path, size, status] of [
    [users, 64 * 1024 - 10, 200],
    [users, 64 * 1024, 413],
    ['/v2/small', 20, 413]
  ] as const) {
    const body = JSON.stringify({ a: 'x'.repeat(size) })
    const headers = signRequest(key, { method: 'POST', url: new URL(url + path), body })
    t.equal((await send(url + path, { method: 'POST', body, headers })).status, status, `${path} ${size}`)
  }
})
