import { Agent, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { createApp, type Route, route, sdes } from '../src/index.js'
import { get, memoryLog, type Running, startApp, until } from './support.js'

const open = { summary: 'Test', needs: 'public' } as const

function api(...routes: Route[]) {
  return { apis: [{ dialect: sdes, routes }] }
}

function slowApp(t: Parameters<typeof startApp>[0], closeLimitMs?: number) {
  const gate: { open?: (value: unknown) => void; entered: number } = { entered: 0 }
  const wait = () => {
    gate.entered += 1
    return new Promise((resolve) => {
      gate.open = resolve
    })
  }
  const slow = route({ ...open, method: 'get', path: '/v1/jobs', handle: wait })
  const quick = route({ ...open, method: 'get', path: '/v1/tasks', handle: () => 1 })
  const running = startApp(t, { ...api(slow, quick), ...(closeLimitMs && { closeLimitMs }) })
  return { gate, running }
}

t.test('close lets a running request finish and closes all other connections', async (t) => {
  const { gate, running } = slowApp(t)
  const { app, url }: Running = await running
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const ask = (path: string) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest(`${url}${path}`, { agent }, resolve).on('error', reject).end()
    })
  const slow = ask('/v1/jobs')
  await until(() => gate.entered === 1 || undefined, 'the slow request')
  const idle = await ask('/v1/tasks')
  t.equal(idle.headers.connection, 'keep-alive')
  idle.resume()
  const { port } = app.server.address() as { port: number }
  const silent = connect(port, '127.0.0.1')
  silent.on('error', () => {})
  await new Promise((resolve) => app.server.once('connection', resolve))
  const silentEnd = new Promise((resolve) => silent.once('close', resolve))

  const closing = app.close()
  await silentEnd
  await t.rejects(fetch(`${url}/v1/tasks`), 'nothing new is accepted')
  gate.open?.({ done: true })
  const answer = await slow
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers.connection, 'close')
  answer.resume()
  await closing
  t.equal(await connectionsOf(app.server), 0)
  await app.close()
})

t.test('close cuts what does not finish in time', async (t) => {
  const { gate, running } = slowApp(t, 50)
  const { app, url } = await running
  const slow = get(`${url}/v1/jobs`)
  slow.catch(() => {})
  await until(() => gate.entered === 1 || undefined, 'the slow request')
  await app.close()
  await t.rejects(slow)
})

t.test('while draining, a request on an open connection is answered and the connection ended', async (t) => {
  const { gate, running } = slowApp(t)
  const { app, url } = await running
  const slow = fetch(`${url}/v1/jobs`)
  await until(() => gate.entered === 1 || undefined, 'the slow request')
  const { port } = app.server.address() as { port: number }
  const socket = connect(port, '127.0.0.1')
  let heard = ''
  socket.on('data', (chunk) => {
    heard += chunk
  })
  const ended = new Promise((resolve) => socket.once('close', resolve))
  // Half a request makes the connection busy: it is not cut by the drain.
  socket.write('GET /readyz HTTP/1.1\r\n')
  const quick = await get(`${url}/v1/tasks`)
  t.equal(quick.status, 200, 'the server has had time to read the half')
  const closing = app.close()
  socket.write('host: x\r\n\r\n')
  await ended
  t.match(heard, /^HTTP\/1\.1 503 /)
  t.match(heard, /connection: close/i)
  t.match(heard, /"failing":\["shutdown"\]/)
  gate.open?.(1)
  t.equal((await slow).status, 200)
  await closing
})

function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve) => server.getConnections((_, count) => resolve(count)))
}

t.test('listen says when the port is taken', async (t) => {
  const { app, url } = await startApp(t, api())
  const { port } = app.server.address() as { port: number }
  t.equal(url, `http://127.0.0.1:${port}`)
  const second = createApp({ service: 'second', log: memoryLog(), apis: [] })
  await t.rejects(second.listen(port), { code: 'EADDRINUSE' })
})
