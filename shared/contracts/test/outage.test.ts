import t from 'tap'
import { type EventContract, listPublicKeys, Type, userRevoked } from '../src/index.js'
import { openBus, silentLog, startNatsServer, until } from './support/natsServer.js'

const counted = {
  subject: 'test.outage.counted',
  summary: 'A number was counted',
  data: Type.Object({ n: Type.Integer() })
} satisfies EventContract

t.test('loses nothing acknowledged when NATS is killed among 2,000 concurrent publishes', async (t) => {
  const nats = await startNatsServer(t)
  const bus = await openBus(t, nats.url)
  const total = 2_000
  const handled = new Set<number>()
  let acknowledged = 0
  let killed: Promise<void> | undefined
  await bus.consume(counted, { durable: 'outage', ackWaitMs: 2_000 }, async (batch) => {
    for (const { data } of batch) handled.add(data.n)
  })
  const publish = async (n: number) => {
    await bus.publish(counted, { n }, { deadlineMs: 30_000 })
    // At once, not when this test next looks; and with as many under way that cannot have been acknowledged.
    if (++acknowledged === 50) {
      killed = nats.kill('SIGKILL')
      for (let next = total / 2; next < total; next++) publishing.push(publish(next))
    }
  }
  const publishing = Array.from({ length: total / 2 }, (_, n) => publish(n))
  await until(() => killed !== undefined, 'the first acknowledgements')
  await killed
  t.ok(acknowledged < total, `killed after ${acknowledged} acknowledgements`)
  await until(() => !bus.isReady(), 'the bus to notice')
  await nats.start()
  await Promise.all(publishing)
  await until(() => handled.size === total, 'every event handled')
  t.equal(bus.isReady(), true)
  const { state } = await bus.manager.streams.info('EVENTS')
  t.equal(state.messages, total, 'each is stored once')
})

t.test('goes on after NATS did not know its user for a while', async (t) => {
  const nats = await startNatsServer(t)
  const said: string[] = []
  const warn = (_fields: object, message: string) => void said.push(message)
  const bus = await openBus(t, nats.url, { log: { ...silentLog, warn } })
  let refused = 0
  void (async () => {
    for await (const { type } of bus.connection.status()) if (type === 'disconnect') refused++
  })()
  const handled: number[] = []
  await bus.consume(counted, { durable: 'unknown' }, async (batch) => {
    handled.push(...batch.map(({ data }) => data.n))
  })
  await nats.kill('SIGKILL')
  await nats.start('--user', 'somebody', '--pass', 'else')
  await until(() => refused > 3, 'several refusals')
  t.equal(bus.isReady(), false)
  t.equal(said.filter((message) => message === 'disconnected from NATS').length, 1, 'said once')
  await nats.kill('SIGKILL')
  await nats.start()
  await bus.publish(counted, { n: 1 }, { deadlineMs: 15_000 })
  await until(() => handled.length === 1, 'the event')
})

t.test('says at the start that NATS does not know its user', async (t) => {
  const nats = await startNatsServer(t)
  await nats.kill('SIGKILL')
  await nats.start('--user', 'somebody', '--pass', 'else')
  await t.rejects(openBus(t, nats.url), { message: /authorization violation/i })
})

t.test('goes on after NATS was killed', async (t) => {
  const nats = await startNatsServer(t)
  const bus = await openBus(t, nats.url)
  const handled: number[] = []
  const watched: number[] = []
  const revoked = (minVersion: number) => ({ userId: 'u', tenantId: 't', minVersion, at: Date.now() })
  await bus.consume(counted, { durable: 'resume' }, async (batch) => {
    handled.push(...batch.map(({ data }) => data.n))
  })
  await bus.watch(userRevoked, { sinceMs: 60_000 }, ({ minVersion }) => void watched.push(minVersion))
  await bus.serve(listPublicKeys, async () => ({ keys: [] }))
  await bus.publish(counted, { n: 1 })
  await bus.publish(userRevoked, revoked(1))
  await until(() => handled.length + watched.length === 2, 'the first events handled')

  for (const n of [2, 3]) {
    await nats.kill('SIGKILL')
    await until(() => !bus.isReady(), 'the bus to notice')
    await t.rejects(bus.request(listPublicKeys, {}), { code: 'unavailable' })
    await t.rejects(bus.publish(counted, { n: 100 }, { deadlineMs: 100 }), { code: 'unavailable' })
    const waiting = [bus.publish(counted, { n }), bus.publish(userRevoked, revoked(n))]
    await nats.start()
    await Promise.all(waiting)
    // Much sooner than a pull request's own expiry.
    await until(() => handled.includes(n) && watched.includes(n), 'the events handled', 5_000)
    t.strictSame(await bus.request(listPublicKeys, {}), { keys: [] })
  }
  t.strictSame(watched, [1, 2, 3], 'a watcher misses nothing and sees nothing twice')
})

t.test('keeps the order of a batch that fails while NATS is away', async (t) => {
  const nats = await startNatsServer(t)
  const bus = await openBus(t, nats.url)
  const handled: number[] = []
  let isNatsAway = false
  let failures = 0
  for (const n of [1, 2, 3]) await bus.publish(counted, { n })
  await bus.consume(counted, { durable: 'away', maxBatch: 1, ackWaitMs: 60_000 }, async ([one]) => {
    if (!isNatsAway) {
      failures++
      throw new Error('not yet')
    }
    handled.push(one?.data.n ?? 0)
  })
  await until(() => failures > 0, 'the first failure')
  await nats.kill('SIGKILL')
  await until(() => !bus.isReady(), 'the bus to notice')
  isNatsAway = true
  await until(() => handled.length === 1, 'the first one handled')
  await nats.start()
  await until(() => handled.length === 3, 'all handled')
  t.strictSame(handled, [1, 2, 3])
  await until(async () => {
    const { num_ack_pending } = await bus.manager.consumers.info('EVENTS', 'away')
    return num_ack_pending === 0
  }, 'all acknowledged')
})

t.test('makes streams and consumers anew when NATS lost its disk', async (t) => {
  const nats = await startNatsServer(t)
  const bus = await openBus(t, nats.url)
  const handled: number[] = []
  await bus.consume(counted, { durable: 'lost' }, async (batch) => {
    handled.push(...batch.map(({ data }) => data.n))
  })
  await bus.publish(counted, { n: 1 })
  await until(() => handled.length === 1, 'the first event handled')
  await bus.manager.streams.delete('EVENTS')
  await until(async () => {
    await bus.publish(counted, { n: 2 }, { deadlineMs: 200 }).catch(() => undefined)
    return handled.includes(2)
  }, 'an event handled again')
})

t.test('waits for a NATS that is not there yet, and closes without one', async (t) => {
  const nats = await startNatsServer(t)
  await nats.kill('SIGKILL')
  const opening = openBus(t, nats.url)
  await nats.start()
  const bus = await opening
  t.equal(bus.isReady(), true)
  await bus.consume(counted, { durable: 'closing' }, async () => {})
  await nats.kill('SIGKILL')
  await until(() => !bus.isReady(), 'the bus to notice')
  const before = Date.now()
  await bus.close()
  t.ok(Date.now() - before < 5_000, 'closed in time')
})
