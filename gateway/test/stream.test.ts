import { createHash, randomBytes } from 'node:crypto'
import { Agent, type IncomingMessage, request } from 'node:http'
import type { ServiceName } from '@fleetgate/contracts'
import { until } from '@fleetgate/testkit'
import t from 'tap'
import { read, signedIn, speak, startBackend, startBefore, startGateway } from './setup.js'

const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

async function hashOf(incoming: IncomingMessage): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of incoming) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

t.test('twenty uploads of 5 MB at once arrive byte-identical, with a length and in chunks', async (t) => {
  const { ask, port } = await startBefore(t, async (req, res) => {
    const framing = req.headers['content-length'] ?? req.headers['transfer-encoding']
    res.end(`${framing} ${await hashOf(req)}`)
  })
  const bodies = Array.from({ length: 20 }, () => randomBytes(5_000_000))
  const sendInChunks = (body: Buffer) =>
    new Promise<string>((resolve, reject) => {
      const outgoing = request({ port, path: '/v1/jobs', method: 'PUT', headers: signedIn }, (res) =>
        resolve(read(res))
      )
      outgoing.on('error', reject)
      for (let at = 0; at < body.length; at += 100_000) outgoing.write(body.subarray(at, at + 100_000))
      outgoing.end()
    })
  const answers = await Promise.all(
    bodies.map(async (body, index) => {
      if (index % 2) return sendInChunks(body)
      return (await ask('/v1/jobs', { method: 'POST', headers: signedIn, body })).body
    })
  )
  const expected = bodies.map((body, index) => `${index % 2 ? 'chunked' : body.length} ${sha256(body)}`)
  t.same(answers, expected)
})

t.test('a large download arrives byte-identical, with status, headers and repeated headers', async (t) => {
  const body = randomBytes(5_000_000)
  const { port } = await startBefore(t, (_req, res) => {
    res.writeHead(206, 'Some of it', {
      'X-Some': 'Thing',
      'set-cookie': ['a=1', 'b=2'],
      'keep-alive': 'timeout=3',
      'x-request-id': 'other'
    })
    res.end(body)
  })
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ port, path: '/v1/jobs', headers: { ...signedIn, 'x-request-id': 'mine' } }, resolve)
      .on('error', reject)
      .end()
  })
  t.equal(await hashOf(incoming), sha256(body))
  t.equal(incoming.statusMessage, 'Some of it')
  t.match(incoming, {
    statusCode: 206,
    headers: { 'x-some': 'Thing', 'set-cookie': ['a=1', 'b=2'], 'x-request-id': 'mine' }
  })
  t.not(incoming.headers['keep-alive'], 'timeout=3', "the service's connection is not the client's")
})

t.test('HEAD, 204, 304 and DELETE without a body pass as they are', async (t) => {
  const { ask } = await startBefore(t, (req, res) => {
    if (req.method === 'HEAD') res.writeHead(200, { 'content-length': 42 }).end()
    else if (req.method === 'DELETE') res.writeHead(204).end()
    else res.writeHead(304, { etag: '"x"' }).end()
  })
  t.match(await ask('/v1/jobs', { method: 'HEAD', headers: signedIn }), {
    status: 200,
    headers: { 'content-length': '42' }
  })
  t.equal((await ask('/v1/jobs', { method: 'DELETE', headers: signedIn })).status, 204)
  t.match(await ask('/v1/jobs', { headers: signedIn }), { status: 304, headers: { etag: '"x"' } })
})

t.test('the body of a chunked DELETE is never read as a second request', async (t) => {
  const urls: string[] = []
  const bodies: string[] = []
  const { port, ask } = await startBefore(t, async (req, res) => {
    urls.push(`${req.method} ${req.url}`)
    bodies.push(await read(req))
    res.end('ok')
  })
  const smuggled = 'POST /user/register HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n'
  const head = `DELETE /v1/jobs/1 HTTP/1.1\r\nHost: x\r\nAuthorization: ${signedIn.authorization}\r\nTransfer-Encoding: chunked\r\nConnection: close`
  const chunk = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`
  t.match(await speak(port, `${head}\r\n\r\n${chunk}`, () => false), /^HTTP\/1.1 200/)
  await ask('/v1/jobs', { headers: signedIn })
  t.same(urls, ['DELETE /v1/jobs/1', 'GET /v1/jobs'])
  t.equal(bodies[0], smuggled)
})

t.test('requests that frame their body twice or oddly are refused', async (t) => {
  let asked = 0
  const { port } = await startBefore(t, (_req, res) => {
    asked++
    res.end('ok')
  })
  const odd = [
    'Content-Length: 3\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'Content-Length: 3\r\nContent-Length: 4'
  ]
  for (const framing of odd) {
    const head = `POST /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: ${signedIn.authorization}\r\n${framing}`
    t.match(await speak(port, `${head}\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, () => false), /^HTTP\/1.1 400/, framing)
  }
  t.equal(asked, 0)
})

t.test('Expect: 100-continue is answered after the token was checked, and only then', async (t) => {
  const { port } = await startBefore(t, async (req, res) => res.end(`${req.headers.expect} ${await read(req)}`))
  const head = (authorization: string) =>
    `POST /v1/jobs HTTP/1.1\r\nHost: x\r\n${authorization}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`
  const refused = await speak(port, head(''), () => false)
  t.match(refused, /^HTTP\/1.1 401/)
  t.match(refused, /connection: close/i, 'the connection cannot be used again')
  const outgoing = request({
    port,
    path: '/v1/jobs',
    method: 'POST',
    headers: { ...signedIn, expect: '100-continue', 'content-length': 5 }
  })
  const answer = new Promise<IncomingMessage>((resolve, reject) => outgoing.on('response', resolve).on('error', reject))
  outgoing.flushHeaders()
  await new Promise((resolve) => outgoing.once('continue', resolve))
  outgoing.end('hello')
  t.equal(await read(await answer), 'undefined hello')
})

t.test('a refused upload of any length is answered and the connection stays usable', async (t) => {
  const { ask } = await startBefore(t, (_req, res) => res.end('ok'))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  t.equal((await ask('/v1/jobs', { method: 'POST', body: randomBytes(3_000_000), agent })).status, 401)
  t.equal((await ask('/v1/jobs', { headers: signedIn, agent })).status, 200)
})

t.test('an upload that its service does not read to the end leaves the connection usable', async (t) => {
  const { ask, backend } = await startBefore(t, (req, res) => {
    if (req.method === 'GET') res.end('ok')
    else res.writeHead(413, { connection: 'close' }).end('too much', () => req.socket.destroySoon())
  })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const body = randomBytes(3_000_000)
  const early = await ask('/v1/jobs', { method: 'POST', headers: signedIn, body, agent })
  t.ok([413, 503].includes(early.status), 'the answer, or the broken connection where that came first')
  t.equal((await ask('/v1/jobs', { headers: signedIn, agent })).body, 'ok')
  await backend.stop()
  t.equal((await ask('/v1/jobs', { method: 'POST', headers: signedIn, body, agent })).status, 503)
  t.equal((await ask('/healthz', { agent })).status, 200)
})

t.test('an early answer to an upload holds up nothing that comes behind it', async (t) => {
  const { port } = await startBefore(t, (req, res) => {
    if (Number(req.headers['content-length']) > 1_000_000) res.writeHead(413).end('too much')
    else req.on('end', () => res.end('ok')).resume()
  })
  // fetch keeps several connections and sends on while it reads: what stood still before.
  const post = async (body: string) => {
    const signal = AbortSignal.timeout(5_000)
    const reply = await fetch(`http://127.0.0.1:${port}/v1/jobs`, { method: 'POST', headers: signedIn, body, signal })
    return `${reply.status} ${await reply.text()}`
  }
  for (let round = 0; round < 6; round++) {
    t.equal(await post('x'.repeat(2_000_000)), '413 too much')
    for (let next = 0; next < 3; next++) t.equal(await post('{}'), '200 ok')
  }
})

t.test('a client that reads slowly slows the service down instead of filling memory', async (t) => {
  const whole = 96
  let written = 0
  const { port } = await startBefore(t, (_req, res) => {
    const piece = Buffer.alloc(1024 * 1024, 'x')
    const more = () => {
      while (written < whole) {
        written++
        if (!res.write(piece)) return void res.once('drain', more)
      }
      res.end()
    }
    more()
  })
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ port, path: '/v1/jobs', headers: signedIn }, resolve).on('error', reject).end()
  })
  let last = -1
  let unchanged = 0
  const standsStill = () => {
    unchanged = written === last ? unchanged + 1 : 0
    last = written
    return unchanged > 20
  }
  await until(standsStill, { what: 'the service to wait' })
  t.ok(written < whole / 2, `${written} of ${whole} MB were taken while nobody read`)
  let read = 0
  for await (const chunk of incoming) read += (chunk as Buffer).length
  t.equal(read, whole * 1024 * 1024)
})

t.test('strangers who send a body byte by byte keep nobody from logging in', async (t) => {
  const bodies: string[] = []
  const auth = await startBackend(t, async (req, res) => {
    bodies.push(await read(req))
    res.end('welcome')
  })
  const services = { auth: auth.url, devices: auth.url } as Record<ServiceName, string>
  const { port, ask } = await startGateway(t, { maxSockets: 2, services })
  const slow = ['/oauth2/token', '/user/register', '/v1/user/login'].map((path) => {
    const outgoing = request({ port, path, method: 'POST', headers: { 'content-length': 9 } })
    outgoing.on('error', () => {})
    t.teardown(() => outgoing.destroy())
    outgoing.write('slow')
    return outgoing
  })
  const logIn = (body: string, headers = {}) => ask('/oauth2/token', { method: 'POST', body, headers })
  t.equal((await logIn('quick')).body, 'welcome')
  t.equal((await logIn('asked first', { expect: '100-continue', 'content-length': '11' })).body, 'welcome')
  const answer = new Promise<IncomingMessage>((resolve) => slow[0]?.on('response', resolve))
  slow[0]?.end(' body')
  t.equal(await read(await answer), 'welcome')
  t.equal((await ask('/oauth2/token', { method: 'POST', headers: { 'transfer-encoding': 'chunked' } })).body, 'welcome')
  t.same(bodies, ['quick', 'asked first', 'slow body', ''])

  const large = 'x'.repeat(300_000)
  t.match(await logIn(large), { status: 413, body: /data_too_large/ })
  t.equal((await ask('/workflow-http-in/1@default/x', { method: 'POST', body: large })).body, 'welcome')
  t.equal(bodies.at(-1)?.length, large.length)
})
