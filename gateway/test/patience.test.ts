import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceName } from '@fleetgate/contracts'
import { until } from '@fleetgate/testkit'
import t from 'tap'
import { patient, read, signedIn, speak, startBackend, startBefore, startGateway, type Teardown } from './setup.js'

const timing = { timeoutMs: 20_000, connectTimeoutMs: 1000 }
const slow = { ...patient, bytesPerSecond: 2000, windowMs: 500 }

interface Upload {
  port: number
  path: string
  /** Bytes of each piece, and the pause after it in ms. */
  piece: number
  pauseMs: number
  pieces: number
  headers?: Record<string, string>
}

/** Sends a body piece by piece; answers what came back, or that the connection was cut. */
async function upload(t: Teardown, { port, path, piece, pauseMs, pieces, headers = signedIn }: Upload) {
  const all = { ...headers, 'content-length': piece * pieces }
  const outgoing: ClientRequest = request({ port, path, method: 'POST', headers: all })
  t.teardown(() => outgoing.destroy())
  const answer = new Promise<IncomingMessage | 'cut'>((resolve) => {
    outgoing.on('response', resolve).on('error', () => resolve('cut'))
  })
  let isOver = false
  void answer.then(() => {
    isOver = true
  })
  for (let sent = 0; sent < pieces && !isOver; sent++) {
    outgoing.write('x'.repeat(piece))
    await sleep(pauseMs)
  }
  if (!isOver) outgoing.end()
  const got = await answer
  return got === 'cut'
    ? { status: 0, body: 'cut' }
    : { status: got.statusCode, body: await read(got), headers: got.headers }
}

t.test('headers that do not come to their end close the connection', async (t) => {
  const { port } = await startBefore(t, (_req, res) => res.end(), timing, { clients: { ...patient, headersMs: 300 } })
  t.match(await speak(port, 'GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Slow: ', () => false), /^HTTP\/1.1 408/)
  t.match(await speak(port, '', () => false), /^HTTP\/1.1 408/, 'nor does one stay that says nothing at all')
})

t.test('a body that comes too slowly is given up, and the service hears of it', async (t) => {
  let left = 0
  const { port, ask } = await startBefore(
    t,
    (req, res) => {
      req.on('close', () => req.complete || left++)
      req.on('end', () => res.end('fine')).resume()
    },
    timing,
    { clients: slow }
  )
  const drip = { port, path: '/v1/jobs', piece: 10, pauseMs: 50, pieces: 10_000 }
  const answer = await upload(t, drip)
  t.match(answer, { status: 408, body: /"code":"TIMEOUT".*too slowly/, headers: { connection: 'close' } })
  await until(() => left === 1, { what: 'the service to be told' })
  t.equal((await ask('/v1/jobs', { method: 'POST', headers: signedIn, body: 'x' })).body, 'fine')
})

t.test('strangers and refused ones are given no more time', async (t) => {
  const { port } = await startBefore(t, (_req, res) => res.end(), timing, { clients: slow })
  const drip = { port, piece: 10, pauseMs: 50, pieces: 10_000, headers: {} }
  t.match(await upload(t, { ...drip, path: '/oauth2/token' }), { status: 408 })
  const refused = connect(port, '127.0.0.1')
  t.teardown(() => refused.destroy())
  refused.on('error', () => {})
  refused.write('POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n')
  const [first] = await once(refused, 'data')
  t.match(String(first), /^HTTP\/1.1 401/)
  await once(refused, 'close')
  t.pass('its connection is closed after the answer')
})

t.test('a file may take as long as it goes on coming, another body may not', async (t) => {
  const services = await startBackend(t, (req, res) => req.on('end', () => res.end('whole')).resume())
  const { port } = await startGateway(t, {
    // Silence of the service is judged by a much shorter time than the uploads take.
    timing: { ...timing, timeoutMs: 400 },
    clients: { ...patient, bodyMs: 1000 },
    services: { scheduler: services.url, 'broker-proxy': services.url } as Record<ServiceName, string>
  })
  const steady = { port, piece: 20_000, pauseMs: 50, pieces: 60 }
  t.match(await upload(t, { ...steady, path: '/v1/files?name=x' }), { status: 200, body: 'whole' })
  t.match(await upload(t, { ...steady, path: '/v1/jobs' }), { status: 408 })
})

t.test('a service that reads slowly is not the fault of the client', async (t) => {
  const { ask } = await startBefore(
    t,
    (req, res) => {
      req.pause()
      setTimeout(() => req.on('end', () => res.end('whole')).resume(), 6000)
    },
    timing,
    { clients: { ...slow, windowMs: 3000, bodyMs: 3000 } }
  )
  t.match(await ask('/v1/jobs', { method: 'POST', headers: signedIn, body: 'x'.repeat(16_000_000) }), { body: 'whole' })
})

t.test('a client that takes nothing of its answer is cut off, one that takes it slowly is not', async (t) => {
  let ended = 0
  const size = 24 * 1024 * 1024
  const { port } = await startBefore(
    t,
    (_req, res) => {
      res.on('close', () => ended++)
      res.end(Buffer.alloc(size))
    },
    timing,
    { clients: { ...patient, readMs: 1000 } }
  )
  const open = () =>
    new Promise<IncomingMessage>((resolve, reject) => {
      request({ port, path: '/v1/jobs', headers: signedIn }, resolve).on('error', reject).end()
    })
  const lazy = await open()
  lazy.on('error', () => {})
  await until(() => ended === 1, { what: 'the connection to the service to be free', deadlineMs: 20_000 })
  const steady = await open()
  let got = 0
  for await (const chunk of steady) {
    got += (chunk as Buffer).length
    if (got % (1024 * 1024) < 65_536) await sleep(20)
  }
  t.equal(got, size)
})

t.test('an answer that goes on sending may take longer than silence may', async (t) => {
  const { ask } = await startBefore(
    t,
    async (_req, res) => {
      for (let part = 0; part < 12; part++) {
        res.write('x')
        await sleep(100)
      }
      res.end()
    },
    { ...timing, timeoutMs: 500 }
  )
  t.equal((await ask('/v1/jobs', { headers: signedIn })).body, 'x'.repeat(12))
})

t.test('who waits for a connection to a service that hangs has the same deadline', async (t) => {
  let asked = 0
  const { ask } = await startBefore(t, () => void asked++, { ...timing, timeoutMs: 500 }, { maxSockets: 2 })
  const method = (index: number) => (index % 2 ? { method: 'POST', body: 'x' } : {})
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) => ask('/v1/jobs', { ...method(i), headers: signedIn }))
  )
  t.same(new Set(answers.map(({ status }) => status)), new Set([504]))
  t.match(answers[0]?.json(), { code: 'TIMEOUT' })
  t.ok(asked < 40, `${asked} of 40 reached the service; the others were given up where they waited`)
})

t.test('a process that stands still holds only so many requests, and serves again afterwards', async (t) => {
  const program =
    "require('http').createServer((q, s) => q.resume().on('end', () => s.end('up'))).listen(0, '127.0.0.1', function () { console.log(this.address().port) })"
  const service = spawn(process.execPath, ['-e', program], { env: {}, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => service.kill('SIGKILL'))
  const [line] = await once(service.stdout, 'data')
  const gateway = await startGateway(t, {
    timing: { ...timing, timeoutMs: 3000 },
    maxWaiting: 10,
    services: { scheduler: `http://127.0.0.1:${String(line).trim()}` } as Record<ServiceName, string>
  })
  const ask = (index: number) =>
    gateway.ask('/v1/jobs', { headers: signedIn, ...(index % 2 ? { method: 'POST', body: 'x' } : {}) })
  t.equal((await ask(0)).body, 'up')
  service.kill('SIGSTOP')
  const answers = await Promise.all(Array.from({ length: 30 }, (_, index) => ask(index)))
  const refused = answers.filter(({ status }) => status === 503)
  t.same([refused.length, answers.filter(({ status }) => status === 504).length], [20, 10])
  t.match(refused[0], { headers: { 'retry-after': '1' }, body: /too many requests wait for scheduler/ })
  service.kill('SIGCONT')
  const again = await Promise.all(Array.from({ length: 10 }, (_, index) => ask(index)))
  t.same(new Set(again.map(({ body }) => body)), new Set(['up']))
})

t.test('a replica that hangs does not use up the room of the others', async (t) => {
  const hung = await startBackend(t, (req, res) => (req.url === '/readyz' ? res.end() : undefined))
  const good = await startBackend(t, (_req, res) => res.end('good'))
  const { ask } = await startGateway(t, {
    timing,
    maxWaiting: 3,
    services: { scheduler: `${hung.url},${good.url}` } as Record<ServiceName, string>
  })
  const answered: string[] = []
  for (let index = 0; index < 20; index++) {
    void ask('/v1/jobs', { headers: signedIn }).then(
      ({ status }) => answered.push(String(status)),
      () => {}
    )
  }
  await until(() => answered.length === 17, { what: 'all but those that hang' })
  t.same(new Set(answered), new Set(['200']))
})

t.test('upgrades that wait count too', async (t) => {
  const devices = await startBackend(t, () => {})
  devices.server.on('upgrade', (_req, socket) => socket.on('end', () => socket.destroy()).resume())
  const { port, ask } = await startGateway(t, {
    timing,
    maxWaiting: 2,
    services: { devices: devices.url } as Record<ServiceName, string>
  })
  const handshake = `GET /websocket HTTP/1.1\r\nHost: x\r\nAuthorization: ${signedIn.authorization}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n`
  const waiting = [1, 2].map(() => connect(port, '127.0.0.1'))
  for (const socket of waiting) socket.on('error', () => {}).write(handshake)
  t.teardown(() => waiting.map((socket) => socket.destroy()))
  await until(() => devices.sockets.size === 2, { what: 'both to reach the service' })
  t.match(await speak(port, handshake, () => false), /^HTTP\/1.1 503/)
  t.equal((await ask('/device', { headers: signedIn })).status, 503)
  for (const socket of waiting) socket.destroy()
  await until(() => devices.sockets.size === 0, { what: 'their places to be free' })
  const third = connect(port, '127.0.0.1')
  t.teardown(() => third.destroy())
  third.on('error', () => {})
  third.write(handshake)
  await until(() => devices.sockets.size === 1, { what: 'another to get in' })
})
