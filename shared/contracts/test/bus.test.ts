import t from 'tap'
import { AppError, type Delivered, type EventContract, eventSubject, newId, type Static, Type } from '../src/index.js'
import { openBus, silentLog, startNatsServer, until } from './support/natsServer.js'

const counted = {
  subject: 'test.number.counted',
  summary: 'A number was counted',
  data: Type.Object({ n: Type.Integer() })
} satisfies EventContract
type Counted = Static<typeof counted.data>

/** A contract of its own per subtest: subtests share one stream. */
function contractOf(thing: string) {
  return { ...counted, subject: `test.${thing}.counted` }
}

t.test('bus', async (t) => {
  const nats = await startNatsServer(t)
  const bus = await openBus(t, nats.url)

  t.test('hands events over in order, in batches, with their id, request id and time', async (t) => {
    const contract = contractOf('order')
    const seen: Delivered<Counted>[] = []
    const sizes: number[] = []
    const before = Date.now()
    const total = 1_000
    for (let n = 0; n < total; n += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, i) =>
          bus.publish(contract, { n: n + i }, { id: `id-${n + i}`, requestId: `r-${n + i}` })
        )
      )
    }
    const subscription = await bus.consume(contract, { durable: 'order', maxBatch: 64 }, async (batch) => {
      sizes.push(batch.length)
      seen.push(...batch)
    })
    await until(() => seen.length >= total, 'every event handled')
    await subscription.stop()
    t.strictSame(
      seen.map(({ data }) => data.n),
      Array.from({ length: total }, (_, n) => n)
    )
    t.ok(Math.max(...sizes) > 1 && Math.max(...sizes) <= 64, `batches of up to ${Math.max(...sizes)}`)
    const [first] = seen as [Delivered<Counted>]
    t.match(first, { id: 'id-0', requestId: 'r-0', deliveries: 1 })
    t.ok(Math.abs(first.storedAt - before) < 60_000, 'storedAt is epoch milliseconds')
  })

  t.test('stores a repeated id once', async (t) => {
    const contract = contractOf('repeat')
    const id = newId()
    await bus.publish(contract, { n: 1 }, { id })
    await bus.publish(contract, { n: 2 }, { id })
    await bus.publish(contract, { n: 3 })
    const seen: number[] = []
    const subscription = await bus.consume(contract, { durable: 'repeat' }, async (batch) => {
      seen.push(...batch.map(({ data }) => data.n))
    })
    await until(() => seen.includes(3), 'the last event handled')
    await subscription.stop()
    t.strictSame(seen, [1, 3])
  })

  t.test('publishes an outbox payload under its full subject', async (t) => {
    const contract = contractOf('raw')
    const seen: number[] = []
    await bus.publishRaw(eventSubject(contract), '{"n":7}')
    const subscription = await bus.consume(contract, { durable: 'raw' }, async (batch) => {
      seen.push(...batch.map(({ data }) => data.n))
    })
    await until(() => seen.length > 0, 'the event handled')
    await subscription.stop()
    t.strictSame(seen, [7])
  })

  t.test('tries a failed batch again before anything behind it', async (t) => {
    const contract = contractOf('retry')
    const handed: number[][] = []
    const deliveries: number[] = []
    let redelivered = -1
    // Shorter than the first two retries take: without +WPI the server would have given the batch to another replica.
    const options = { durable: 'retry', maxBatch: 3, ackWaitMs: 400 }
    for (const n of [1, 2, 3, 4, 5, 6]) await bus.publish(contract, { n })
    const subscription = await bus.consume(contract, options, async (batch) => {
      handed.push(batch.map(({ data }) => data.n))
      deliveries.push(batch[0]?.deliveries ?? 0)
      if (handed.length === 3) redelivered = (await bus.manager.consumers.info('EVENTS', 'retry')).num_redelivered
      if (handed.length <= 3) throw new Error('not yet')
    })
    await until(() => handed.flat().includes(6), 'the last event handled')
    await subscription.stop()
    // How much makes a batch depends on what had arrived by then; what is tried again is always the same one.
    const [first] = handed
    t.strictSame(handed.slice(0, 4), [first, first, first, first])
    t.strictSame(handed.slice(3).flat(), [1, 2, 3, 4, 5, 6])
    t.strictSame(deliveries.slice(0, 4), [1, 2, 3, 4])
    t.ok(deliveries.slice(4).every((count) => count === 1))
    t.equal(redelivered, 0)
  })

  t.test('leaves what was not handled to the next one, at once and in order', async (t) => {
    const contract = contractOf('handover')
    for (const n of [1, 2, 3, 4]) await bus.publish(contract, { n })
    let isFailing = false
    const first = await bus.consume(contract, { durable: 'handover', maxBatch: 2 }, async () => {
      isFailing = true
      throw new Error('never')
    })
    await until(() => isFailing, 'the first batch failing')
    await first.stop()
    const seen: number[] = []
    const second = await bus.consume(contract, { durable: 'handover', maxBatch: 2 }, async (batch) => {
      seen.push(...batch.map(({ data }) => data.n))
    })
    // Well below the 30 s after which the server gives messages up on its own.
    await until(() => seen.length >= 4, 'everything handled', 5_000)
    await second.stop()
    t.strictSame(seen, [1, 2, 3, 4])
  })

  t.test('ends broken payloads without handing them over', async (t) => {
    const contract = contractOf('broken')
    const errors: object[] = []
    const log = { ...silentLog, error: (fields: object) => void errors.push(fields) }
    const other = await openBus(t, nats.url, { log })
    const subject = eventSubject(contract)
    await bus.publishRaw(subject, 'not json')
    await bus.publishRaw(subject, '{"n":"seven"}')
    await bus.publishRaw(subject, '{"n":8}')
    const seen: number[] = []
    const subscription = await other.consume(contract, { durable: 'broken' }, async (batch) => {
      seen.push(...batch.map(({ data }) => data.n))
    })
    await until(() => seen.length > 0, 'the good one handled')
    await until(async () => {
      const { num_ack_pending, num_pending } = await bus.manager.consumers.info('EVENTS', 'broken')
      return num_ack_pending + num_pending === 0
    }, 'nothing left to deliver')
    await subscription.stop()
    t.strictSame(seen, [8])
    t.match(errors, [
      { durable: 'broken', subject },
      { durable: 'broken', subject }
    ])
  })

  t.test('refuses to publish what breaks the contract', async (t) => {
    await t.rejects(bus.publish(counted, { n: 'x' } as unknown as Counted), { code: 'invalid_input' })
    await t.rejects(bus.publishRaw(eventSubject(counted), 'x'.repeat(2_000_000)), { code: 'body_too_large' })
  })

  t.test('shares the work between replicas of one durable', async (t) => {
    const contract = contractOf('shared')
    const seen: [number[], number[]] = [[], []]
    const replicas = await Promise.all(
      seen.map((list) =>
        bus.consume(contract, { durable: 'shared', maxBatch: 4 }, async (batch) => {
          list.push(...batch.map(({ data }) => data.n))
        })
      )
    )
    const numbers = Array.from({ length: 200 }, (_, n) => n)
    await Promise.all(numbers.map((n) => bus.publish(contract, { n })))
    await until(() => seen.flat().length >= 200, 'every event handled')
    await Promise.all(replicas.map((replica) => replica.stop()))
    t.strictSame(
      seen.flat().sort((a, b) => a - b),
      numbers
    )
    t.ok(
      seen.every((list) => list.length > 0),
      'both had some'
    )
  })

  t.test('takes up changed settings of a durable', async (t) => {
    const contract = contractOf('changed')
    for (const ackWaitMs of [30_000, 7_000]) {
      const subscription = await bus.consume(contract, { durable: 'changed', ackWaitMs }, async () => {})
      await subscription.stop()
    }
    const { config } = await bus.manager.consumers.info('EVENTS', 'changed')
    t.equal(config.ack_wait, 7_000 * 1e6)
  })

  t.test('keeps settings of the streams that an operator made', async (t) => {
    const { config } = await bus.manager.streams.info('UPLINK')
    await bus.manager.streams.update('UPLINK', { ...config, max_bytes: 50_000_000, max_age: 1e9 * 3600 })
    await openBus(t, nats.url)
    const { config: after } = await bus.manager.streams.info('UPLINK')
    t.match(after, { max_bytes: 50_000_000, max_age: 7 * 24 * 3600 * 1e9 })
  })

  t.test('tells a closed bus', async (t) => {
    const other = await openBus(t, nats.url)
    t.equal(other.isReady(), true)
    await other.close()
    t.equal(other.isReady(), false)
    await t.rejects(other.publish(counted, { n: 1 }), new AppError('unavailable', 'the event stream is closed'))
  })
})
