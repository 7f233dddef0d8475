import t from 'tap'
import {
  continueOrigin,
  currentOrigin,
  type Delivered,
  detached,
  type EventContract,
  type Origin,
  oneByOne,
  originFields,
  originOr,
  type RpcContract,
  Type,
  withOrigin
} from '../src/index.js'
import { openBus, silentLog, startNatsServer, until } from './support/natsServer.js'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`
const origin = { requestId: 'r1', traceparent }
const sameTrace = new RegExp(`^00-${traceId}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`)

t.test('work, and what it leads to, knows its origin; a loop that it sets going does not', async (t) => {
  const seen: Record<string, Origin | undefined> = {}
  t.equal(currentOrigin(), undefined)
  const work = withOrigin(origin, async () => {
    setImmediate(() => {
      seen.timer = currentOrigin()
    })
    await new Promise(setImmediate)
    seen.later = currentOrigin()
    seen.inner = withOrigin({ requestId: 'r2' }, currentOrigin)
    seen.detached = await detached(async () => {
      await null
      return currentOrigin()
    })
    seen.after = currentOrigin()
  })
  t.equal(currentOrigin(), undefined, 'whoever began it goes on without')
  await work
  t.strictSame(seen, { timer: origin, later: origin, inner: { requestId: 'r2' }, detached: undefined, after: origin })
})

t.test('a message goes out with what is given, else with the origin at hand, never with a part of each', async (t) => {
  t.strictSame(originOr({}), {})
  withOrigin(origin, () => {
    t.strictSame(originOr({}), origin)
    t.strictSame(originOr({ requestId: undefined, traceparent: undefined }), origin)
    t.strictSame(originOr({ requestId: 'own' }), { requestId: 'own', traceparent: undefined })
  })
})

t.test('what a message asks for is a span of its own of the same trace', async (t) => {
  t.match(continueOrigin(origin), { requestId: 'r1', traceparent: sameTrace })
  t.strictSame(continueOrigin({ requestId: 'r1', traceparent: 'nonsense' }), { requestId: 'r1' })
  t.equal(continueOrigin({}), undefined)
  t.strictSame(originFields(origin), { requestId: 'r1', trace_id: traceId, span_id: '00f067aa0ba902b7' })
  t.strictSame(originFields(undefined), {})
})

const happened = { subject: 'test.thing.happened', summary: 'x', data: Type.Object({ n: Type.Integer() }) }
const contractOf = (thing: string): EventContract & typeof happened => ({
  ...happened,
  subject: `test.${thing}.happened`
})
const asked = {
  operation: 'test.ask',
  summary: 'x',
  request: Type.Object({ n: Type.Integer() }),
  reply: Type.Object({}),
  timeoutMs: 5_000
} satisfies RpcContract

t.test('over the bus', async (t) => {
  const nats = await startNatsServer(t)
  const lines: Record<string, unknown>[] = []
  const log = { ...silentLog, debug: (fields: object, msg: string) => void lines.push({ ...fields, msg }) }
  const bus = await openBus(t, nats.url, { log })

  await t.test(
    'an origin goes with a question, with the event that it leads to, and to whoever hears of it',
    async (t) => {
      const contract = contractOf('chain')
      const seen: (Delivered<{ n: number }> & { at: Origin | undefined })[] = []
      await bus.serve(asked, async ({ n }) => {
        await bus.publish(contract, { n })
        return {}
      })
      await bus.consume(contract, { durable: 'chain', maxBatch: 1 }, async (batch) => {
        await null
        seen.push(...batch.map((one) => ({ ...one, at: currentOrigin() })))
      })
      await withOrigin(origin, () => bus.request(asked, { n: 1 }))
      await bus.request(asked, { n: 2 }, { requestId: 'given' })
      await bus.request(asked, { n: 3 })
      await until(() => seen.length === 3, 'three events')
      const [first, second, third] = seen
      t.match(first, { requestId: 'r1', traceparent: sameTrace, at: { requestId: 'r1', traceparent: sameTrace } })
      t.not(first?.at?.traceparent, first?.traceparent, 'each process has its own span')
      t.match(second, { requestId: 'given', at: { requestId: 'given' } })
      t.match([third?.requestId, third?.traceparent, third?.at], [undefined, undefined, undefined])

      const said = (msg: string) => lines.filter((line) => line.msg === msg)
      await until(() => said('message handled').length === 2, 'a line for each with an origin')
      t.match(said('RPC answered'), [
        { operation: 'test.ask', requestId: 'r1', trace_id: traceId },
        { requestId: 'given' },
        {}
      ])
      const [, spanOfFirst] = /-([0-9a-f]{16})-01$/.exec(first?.at?.traceparent ?? '') ?? []
      t.match(said('message handled'), [
        { durable: 'chain', id: first?.id, requestId: 'r1', trace_id: traceId, span_id: spanOfFirst },
        { durable: 'chain', id: second?.id, requestId: 'given' }
      ])
    }
  )

  await t.test('a batch of several origins has none, each of its messages its own', async (t) => {
    const contract = contractOf('batch')
    const batches: { size: number; at: Origin | undefined }[] = []
    const each: (string | undefined)[] = []
    /** What was delivered before this answer has arrived. */
    const delivered = async () => (await bus.manager.consumers.info('EVENTS', 'mixed')).num_ack_pending
    let isBegun = false
    await bus.publish(contract, { n: 0 })
    const mixed = await bus.consume(contract, { durable: 'mixed', maxBatch: 3 }, async (batch) => {
      isBegun = true
      if (batch[0]?.data.n === 0) return until(async () => (await delivered()) === 4, 'the others to be there')
      batches.push({ size: batch.length, at: currentOrigin() })
      await oneByOne(batch, async () => {
        await null
        each.push(currentOrigin()?.requestId)
      })
    })
    await until(() => isBegun, 'the first at work, alone')
    for (const requestId of ['a', 'b']) await bus.publish(contract, { n: 1 }, { requestId })
    await bus.publish(contract, { n: 1 })
    await until(() => each.length >= 3, 'all handled')
    await mixed.stop()
    t.strictSame(each, ['a', 'b', undefined])
    t.strictSame(batches, [{ size: 3, at: undefined }])
  })

  await t.test('a batch of one origin has it, also when it is tried again', async (t) => {
    const contract = contractOf('shared')
    await withOrigin(origin, () => Promise.all([1, 2, 3].map((n) => bus.publish(contract, { n }))))
    const spans = new Set<string | undefined>()
    let tries = 0
    const shared = await bus.consume(contract, { durable: 'shared', maxBatch: 3 }, async (batch) => {
      spans.add(currentOrigin()?.traceparent)
      tries += 1
      if (tries === 1) throw new Error('not now')
      await oneByOne(batch, () => void spans.add(currentOrigin()?.traceparent))
      t.equal(currentOrigin()?.requestId, 'r1')
    })
    await until(() => tries > 1, 'the second try')
    await shared.stop()
    t.equal([...spans].filter((span) => span === undefined).length, 0)
    for (const span of spans) t.match(span, sameTrace)
  })
})
