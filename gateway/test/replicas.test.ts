import type { ServiceName } from '@fleetgate/contracts'
import { until } from '@fleetgate/testkit'
import { test } from 'tap'
import { signedIn, startBackend, startGateway } from './setup.js'

/** Two backends that answer with their name, count what they served, and may be told to say that they are ending. */
async function startReplicas(t: Parameters<typeof startGateway>[0]) {
  const served: Record<string, number> = { a: 0, b: 0 }
  const ending = new Set<string>()

  const start = (name: string, port = 0) =>
    startBackend(
      t,
      (req, res) => {
        req.resume()
        if (ending.has(name)) res.setHeader('connection', 'close')
        if (req.url === '/readyz') {
          res.statusCode = ending.has(name) ? 503 : 200
          res.end()
          return
        }
        served[name] = (served[name] ?? 0) + 1
        req.on('end', () => res.end(name))
      },
      port
    )
  const [a, b] = await Promise.all([start('a'), start('b')])
  const services = { scheduler: `${a.url},${b.url}` } as Record<ServiceName, string>
  const gateway = await startGateway(t, { services })
  const get = async (method = 'GET', body?: string) =>
    gateway.ask('/v1/jobs', { method, headers: signedIn, ...(body ? { body } : {}) })
  return { a, b, served, ending, get, start, gateway }
}

test('requests are shared out over the replicas of a service', async (t) => {
  const { served, get } = await startReplicas(t)
  for (let index = 0; index < 20; index++) t.equal((await get()).status, 200)
  t.match(served, { a: 10, b: 10 })
})

test('a replica that says it is ending gets nothing more, and takes part again once it is ready', async (t) => {
  const { served, ending, get } = await startReplicas(t)
  ending.add('a')
  await Promise.all([get(), get()])
  const before = served.a
  for (let index = 0; index < 10; index++) t.equal((await get('POST', '{}')).status, 200)
  t.equal(served.a, before, 'writes went elsewhere')
  ending.clear()
  await until(
    async () => {
      await get()
      return (served.a ?? 0) > (before ?? 0)
    },
    { what: 'the replica to take part again' }
  )
})

test('an idle replica that turns unready is found without a request', async (t) => {
  const { a, b, ending, served } = await startReplicas(t)
  ending.add('b')
  // The gateway asks on its own; nothing of a client's is spent on it.
  await until(() => a.sockets.size > 0 && b.sockets.size > 0, { what: 'the gateway to look' })
  t.match(served, { a: 0, b: 0 })
})

test('a dead replica is passed over at once: reads and writes without a body go to the other', async (t) => {
  const { a, get, start } = await startReplicas(t)
  await a.stop()
  for (let index = 0; index < 10; index++) {
    const answer = await get(index % 2 === 0 ? 'GET' : 'DELETE')
    t.match(answer, { status: 200, body: 'b' })
  }
  await start('a', a.port)
  await until(async () => (await get()).body === 'a', { what: 'the restarted replica to take part' })
})

test('with every replica dead the refusal is the one of a single service', async (t) => {
  const { a, b, get } = await startReplicas(t)
  await Promise.all([a.stop(), b.stop()])
  const answer = await get()
  t.equal(answer.status, 503)
  t.match(answer.json(), { code: 'UNAVAILABLE' })
})
