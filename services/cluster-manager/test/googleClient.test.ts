import { generateKeyPairSync } from 'node:crypto'
import { inspect } from 'node:util'
import { freePort } from '@fleetgate/testkit'
import t from 'tap'
import { createGoogleClient } from '../src/providers/google/googleClient.js'
import { type FakeAnswer, type FakeRequest, json, serve } from './clouds/cloud.js'
import { call, problemOf } from './clouds/conformance.js'
import type { Test } from './support.js'

t.setTimeout(240_000)
const key = generateKeyPairSync('rsa', { modulusLength: 2048 })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString()
const token = () => json(200, { access_token: 'given-token', expires_in: 3599 })

/** A client of Compute Engine that answers so, and the requests that came there. */
async function clientOf(t: Test, answer: (request: FakeRequest) => FakeAnswer, options: { now?: () => number } = {}) {
  const asked: string[] = []
  const url = await serve(t, async (request) => {
    asked.push(`${request.method} ${request.url.pathname}`)
    return answer(request)
  })
  const client = createGoogleClient({
    settings: {
      account: { email: 'fleet@project-1.iam.gserviceaccount.com', key },
      project: 'project-1',
      zone: 'europe-west3-a'
    },
    urls: { compute: url, token: `${url}/token` },
    now: options.now ?? Date.now
  })
  const machine = () =>
    client.ask(
      (api, options) =>
        api.instances.get({ project: 'project-1', zone: 'europe-west3-a', instance: 'till-1' }, options),
      call
    )
  return { client, asked, machine }
}

/** Compute Engine as it answers changes. */
function changing(t: Test, change: object, now?: () => number) {
  const answer = ({ url }: FakeRequest) =>
    url.pathname === '/token' ? token() : json(200, { name: 'operation-1', ...change })
  return clientOf(t, answer, { ...(now ? { now } : {}) })
}

function insertRule({ client }: Awaited<ReturnType<typeof clientOf>>, wanted: 'there' | 'gone' = 'there') {
  return problemOf(
    client.change(
      (api, options) => api.firewalls.insert({ project: 'project-1', requestBody: {} }, options),
      call,
      wanted
    )
  )
}

t.test('a change that Google does not end is told of, so that it is asked for anew', async (t) => {
  // Each look at the clock is a minute later.
  let minutes = 0
  const slow = await changing(t, { status: 'RUNNING' }, () => 60_000 * minutes++)
  t.match(await insertRule(slow), { kind: 'unavailable', message: /does not come to an end/ })
  t.ok(slow.asked.includes('GET /compute/v1/projects/project-1/global/operations/operation-1'))
})

t.test(
  'a change that Google took beside the same one has its end by that; too many at once are for later',
  async (t) => {
    const outcome = async (code: string, httpErrorStatusCode: number, wanted?: 'there' | 'gone') => {
      const error = { errors: [{ code, message: 'no' }] }
      return (await insertRule(await changing(t, { status: 'DONE', httpErrorStatusCode, error }), wanted))?.kind
    }
    t.equal(await outcome('RESOURCE_ALREADY_EXISTS', 409), undefined)
    t.equal(await outcome('RESOURCE_NOT_FOUND', 404, 'gone'), undefined)
    t.equal(await outcome('RESOURCE_NOT_FOUND', 404), 'invalid')
    t.equal(await outcome('CONCURRENT_OPERATIONS_QUOTA_EXCEEDED', 403), 'throttled')
    t.equal(await outcome('RESOURCE_OPERATION_RATE_EXCEEDED', 403), 'throttled')
    t.equal(await outcome('QUOTA_EXCEEDED', 403), 'quota')
    t.equal(await outcome('ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS', 503), 'capacity')
    t.equal(await outcome('SERVICE_ACCOUNT_ACCESS_DENIED', 400), 'credentials')
  }
)

t.test('each question is asked once, for trying again belongs to the caller', async (t) => {
  let status = 503
  const { asked, machine } = await clientOf(t, ({ url }) =>
    url.pathname === '/token' ? token() : { ...json(status, {}, { 'retry-after': '7' }) }
  )
  t.match(await problemOf(machine()), { kind: 'unavailable', retryAfterMs: 7000, message: /it answered 503/ })
  status = 429
  t.match(await problemOf(machine()), { kind: 'throttled', retryAfterMs: 7000 })
  const look = 'GET /compute/v1/projects/project-1/zones/europe-west3-a/instances/till-1'
  t.same(asked, ['POST /token', look, look], 'with one token')
})

t.test('a log-in is asked for once, and what is wrong with it is told without its secrets', async (t) => {
  const outcome = async (answer: FakeAnswer) => {
    const { asked, machine } = await clientOf(t, () => answer)
    const found = await problemOf(machine())
    t.same(asked, ['POST /token'])
    t.notMatch(inspect(found, { depth: 10 }), /PRIVATE|assertion|Bearer|eyJ/)
    return found
  }
  const refused = json(400, { error: 'invalid_grant', error_description: 'Invalid JWT Signature.' })
  t.match(await outcome(refused), { kind: 'credentials', message: /refuses the service account's key: Invalid JWT/ })
  t.match(await outcome(json(503, {}, { 'retry-after': '2' })), { kind: 'unavailable', retryAfterMs: 2000 })
  t.match(await outcome(json(429, {})), { kind: 'throttled' })
})

t.test('a token that is refused before its time is renewed once', async (t) => {
  const { asked, machine } = await clientOf(t, ({ url }) =>
    url.pathname === '/token' ? token() : json(401, { error: { message: 'Invalid Credentials' } })
  )
  t.match(await problemOf(machine()), { kind: 'credentials', message: 'Google Cloud: Invalid Credentials' })
  t.same(
    asked.map((one) => one.split(' ')[0]),
    ['POST', 'GET', 'POST', 'GET']
  )
})

t.test('where nobody answers it is for later, and whoever is told to stop stops at once', async (t) => {
  const nobody = `http://127.0.0.1:${await freePort()}`
  const closed = createGoogleClient({
    settings: { account: { email: 'fleet@project-1', key }, project: 'project-1', zone: 'europe-west3-a' },
    urls: { compute: nobody, token: `${nobody}/token` },
    now: Date.now
  })
  const list = (signal: AbortSignal) =>
    problemOf(closed.ask((api, options) => api.networks.list({ project: 'project-1' }, options), { signal }))
  t.match(await list(call.signal), { kind: 'unavailable', message: /did not answer: ECONNREFUSED/ })

  const silent = await clientOf(t, () => ({ status: 200, body: '', isSilent: true }))
  const stop = new AbortController()
  const stopping = problemOf(
    silent.client.ask((api, options) => api.networks.list({ project: 'project-1' }, options), { signal: stop.signal })
  )
  while (silent.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  stop.abort(new Error('told to'))
  t.match(await stopping, { message: 'told to' })
  t.same(silent.asked, ['POST /token'], 'in the middle of a log-in too')
})

t.test('variables of this machine do not change where it asks, or who it is', async (t) => {
  const names = [
    'GOOGLE_APPLICATION_CREDENTIALS',
    'GOOGLE_CLOUD_UNIVERSE_DOMAIN',
    'GOOGLE_CLOUD_QUOTA_PROJECT',
    'HTTPS_PROXY'
  ]
  const before = names.map((name) => process.env[name])
  t.teardown(() => {
    for (const [at, name] of names.entries()) {
      if (before[at] === undefined) delete process.env[name]
      else process.env[name] = before[at]
    }
  })
  for (const name of names) process.env[name] = 'evil.example.com'
  const seen: unknown[] = []
  const { asked, machine } = await clientOf(t, ({ url, headers }) => {
    seen.push(headers['x-goog-user-project'])
    return url.pathname === '/token' ? token() : json(200, { name: 'till-1' })
  })
  t.match(await machine(), { name: 'till-1' })
  t.equal(asked.length, 2)
  t.same(seen, [undefined, undefined])
})
