import { createServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { ServiceName } from '@fleetgate/contracts'
import { until } from '@fleetgate/testkit'
import t from 'tap'
import { hear, shake, startEcho } from './handshake.js'
import { read, signedIn, startBackend, startGateway, token } from './setup.js'

t.test('a websocket opens with a token in the query or a header, and carries bytes both ways', async (t) => {
  const { port, handshakes } = await startEcho(t)
  const query = new URLSearchParams({ Authorization: `Bearer ${token()}` })
  const ways: [string, Record<string, string>][] = [
    [`/websocket?${query}`, {}],
    [`/websocket?Authorization=${token()}`, {}],
    ['/websocket', signedIn],
    [`/api/v1/websocket?${query}`, {}]
  ]
  for (const [path, headers] of ways) {
    const { status, socket, headers: reply } = await shake(port, path, headers)
    t.equal(status, 101, path)
    t.equal(reply['sec-websocket-accept'], 'y')
    if (!socket) return
    socket.write('x'.repeat(100_000))
    socket.write('the end')
    await hear(socket, 'the end')
    socket.destroy()
  }
  t.match(handshakes[0], {
    headers: { 'x-forwarded-for': '127.0.0.1', 'x-request-id': /^[0-9a-f]{32}$/, upgrade: 'websocket' }
  })
  t.equal(handshakes[3]?.url, `/websocket?${query}`)
})

t.test('a bad token is refused with 401 before the upgrade', async (t) => {
  const { port, handshakes } = await startEcho(t)
  for (const path of [
    '/websocket',
    '/websocket?Authorization=Bearer%20nonsense',
    `/websocket?Authorization=${token({ expiresIn: -5 })}`
  ]) {
    const { status, body } = await shake(port, path)
    t.equal(status, 401, path)
    t.match(JSON.parse(body), { status: 'Failed', error_code: 'authentication_failed' })
  }
  t.equal(handshakes.length, 0)
})

t.test('a client that keeps its side open after a refusal keeps no connection', async (t) => {
  const { port } = await startEcho(t)
  const handshake = (path: string, authorization: string) =>
    `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: ${authorization}\r\n\r\n`
  for (const [text, status] of [
    [handshake('/websocket', 'Bearer nonsense'), '401'],
    [handshake('/websocket?refuse', signedIn.authorization), '403']
  ] as const) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    t.teardown(() => socket.destroy())
    socket.write(text)
    let isGone = false
    socket.on('error', () => {
      isGone = true
    })
    await hear(socket, `HTTP/1.1 ${status}`)
    // Only a side that is gone answers with a reset.
    await until(() => isGone || (socket.write('x') && false), { what: `the connection to end after ${status}` })
    t.ok(isGone)
  }
})

t.test('there is no websocket anywhere else', async (t) => {
  const { port, handshakes } = await startEcho(t)
  for (const path of ['/websocket/x', '/device', '/v1/jobs', '/x', '/device/../websocket']) {
    t.equal((await shake(port, path, signedIn)).status, 404, path)
  }
  t.equal(handshakes.length, 0)
})

t.test('a refusal by the service reaches the client whole', async (t) => {
  const { port } = await startEcho(t)
  t.match(await shake(port, '/websocket?refuse', signedIn), { status: 403, body: 'not you' })
})

t.test('a dead devices service is 503', async (t) => {
  const { port, backend } = await startEcho(t)
  await backend.stop()
  const { status, body } = await shake(port, '/websocket', signedIn)
  t.equal(status, 503)
  t.match(JSON.parse(body), { error_code: 'server_error', error_message: 'devices is not available' })
})

t.test('either side that leaves takes the other along', async (t) => {
  const { port, open, gateway } = await startEcho(t)
  const first = await shake(port, '/websocket', signedIn)
  await until(() => open.size === 1, { what: 'the websocket' })
  t.match(await gateway.metrics.registry.metrics(), /gateway_websockets_open\{.*\} 1/)
  first.socket?.destroy()
  await until(() => open.size === 0, { what: 'the service to notice' })
  const second = await shake(port, '/websocket', signedIn)
  for (const socket of open) socket.destroy()
  await until(() => second.socket?.destroyed || second.socket?.readableEnded || (second.socket?.resume() && false), {
    what: 'the client to notice'
  })
  second.socket?.destroy()
  await until(async () => /gateway_websockets_open\{.*\} 0/.test(await gateway.metrics.registry.metrics()), {
    what: 'none open'
  })
})

t.test('a service that resets an open websocket puts nothing into it', async (t) => {
  const { port, open } = await startEcho(t)
  const { socket } = await shake(port, '/websocket', signedIn)
  let heard = ''
  socket?.on('data', (chunk) => {
    heard += chunk
  })
  const closed = new Promise((resolve) => socket?.once('close', resolve))
  for (const serviceSocket of open) serviceSocket.resetAndDestroy()
  await closed
  t.notMatch(heard, 'HTTP/1.1')
})

t.test('closing the gateway ends open websockets', async (t) => {
  const { port, gateway } = await startEcho(t)
  const { socket } = await shake(port, '/websocket', signedIn)
  socket?.resume()
  const ended = new Promise((resolve) => socket?.once('end', resolve))
  await gateway.close(0, 5000)
  await ended
  socket?.destroy()
})

t.test('an offer of another protocol is ignored and the request answered, body and all', async (t) => {
  const bodies: string[] = []
  const backend = await startBackend(t, async (req, res) => {
    bodies.push(await read(req))
    res.end(`plain ${req.url} ${req.headers.upgrade} ${req.headers['http2-settings']}`)
  })
  const { port } = await startGateway(t, { services: { scheduler: backend.url } as Record<ServiceName, string> })
  const offer = (method: string, body: string) =>
    `${method} /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n` +
    `Authorization: ${signedIn.authorization}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.write(offer('POST', 'a body'))
  await hear(socket, 'plain /v1/jobs undefined undefined')
  socket.write(offer('GET', ''))
  await until(() => bodies.length === 2, { what: 'a second request on the same connection' })
  t.same(bodies, ['a body', ''])
})

t.test('a client that resets during the handshake harms nobody', async (t) => {
  const silent = createServer()
  let arrived = 0
  silent.on('upgrade', (_req, socket: Socket) => {
    arrived++
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    silent.close()
    silent.closeAllConnections()
  })
  const address = silent.address() as { port: number }
  const { port, ask } = await startGateway(t, {
    services: { devices: `http://127.0.0.1:${address.port}` } as Record<ServiceName, string>
  })
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  socket.write(
    `GET /websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: ${signedIn.authorization}\r\n\r\n`
  )
  await until(() => arrived === 1, { what: 'the handshake' })
  socket.resetAndDestroy()
  t.equal((await ask('/healthz')).status, 200)
})
