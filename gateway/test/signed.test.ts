import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import type { ServiceName } from '@fleetgate/contracts'
import { signRequest } from '@fleetgate/testkit'
import t from 'tap'
import { accessKey, read, startBackend, startGateway } from './setup.js'

const path = '/v2/default/instances/default/users'

interface Heard {
  method: string | undefined
  url: string | undefined
  framing: string | undefined
  authorization: string | undefined
  body: string
}

async function start(t: Parameters<typeof startGateway>[0]) {
  const heard: Heard[] = []
  const backend = await startBackend(t, async (req, res) => {
    const { method, url, headers } = req
    const framing = headers['transfer-encoding'] ?? headers['content-length']
    heard.push({ method, url, framing, authorization: headers.authorization, body: await read(req) })
    res.end('fine')
  })
  const gateway = await startGateway(t, { services: { 'broker-proxy': backend.url } as Record<ServiceName, string> })
  const sign = (method: string, body = '', target = path) =>
    signRequest(accessKey, { method, url: new URL(gateway.url + target), body })
  return { ...gateway, heard, sign }
}

t.test('a signed request passes with its body and its signature as they are, however the body is framed', async (t) => {
  const { ask, sign, heard } = await start(t)
  const body = JSON.stringify({ name: 'ä'.repeat(30_000) })
  const headers = sign('POST', body)
  t.equal((await ask(`${path}?a=1`, { headers: sign('GET', '', `${path}?a=1`) })).status, 200)
  t.equal((await ask(path, { method: 'POST', headers, body })).status, 200)
  t.equal(
    (await ask(path, { method: 'POST', headers: { ...headers, 'transfer-encoding': 'chunked' }, body })).status,
    200
  )
  t.equal((await ask(path, { method: 'DELETE', headers: sign('DELETE') })).status, 200)
  const { authorization } = headers
  const whole = { method: 'POST', url: path, framing: String(Buffer.byteLength(body)), authorization, body }
  t.match(heard, [{ method: 'GET', body: '' }, whole, whole, { method: 'DELETE', body: '' }])
})

t.test('what was changed is refused before the service is asked, in the form of DMS', async (t) => {
  const { ask, sign, heard } = await start(t)
  const headers = sign('POST', '{"a":1}')
  const refusal = { status: 401, body: /"error_code":"APIGW.0301"/ }
  t.match(await ask(path, { method: 'POST', headers, body: '{"a":2}' }), refusal)
  t.match(await ask(path, { method: 'PUT', headers, body: '{"a":1}' }), refusal)
  t.match(await ask(`${path}/x`, { method: 'POST', headers, body: '{"a":1}' }), refusal)
  t.match(await ask(path, { headers: { authorization: 'SDK-HMAC-SHA256 Access=x' } }), refusal)
  t.match(await ask('/v1/jobs', { headers: sign('GET', '', '/v1/jobs') }), { status: 401 }, 'only where DMS is spoken')
  t.same(heard, [])
})

t.test('a signed body of more than 64 KB is 413, with a length and without one', async (t) => {
  const { ask, sign, heard } = await start(t)
  const body = 'x'.repeat(64 * 1024 + 1)
  const headers = sign('POST', body)
  t.match(await ask(path, { method: 'POST', headers, body }), { status: 413, body: /DMS.00400062/ })
  const chunked = { ...headers, 'transfer-encoding': 'chunked' }
  t.equal((await ask(path, { method: 'POST', headers: chunked, body })).status, 413)
  t.same(heard, [])
})

t.test('a client that asks before it sends a signed body gets its go-ahead', async (t) => {
  const { port, sign, heard } = await start(t)
  const body = '{"a":1}'
  const headers = { ...sign('POST', body), expect: '100-continue', 'content-length': body.length }
  const outgoing = request({ host: '127.0.0.1', port, path, method: 'POST', headers })
  let goAheads = 0
  outgoing.on('continue', () => {
    goAheads += 1
    outgoing.end(body)
  })
  const answer = new Promise<IncomingMessage>((resolve, reject) => outgoing.on('response', resolve).on('error', reject))
  outgoing.flushHeaders()
  t.equal(await read(await answer), 'fine')
  t.match([goAheads, heard], [1, [{ body }]])
})
