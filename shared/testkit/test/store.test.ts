import { connectBus, type EventContract, Type, withOrigin } from '@fleetgate/contracts'
import {
  containsPattern,
  createCounters,
  createOutbox,
  type OutboxEntry,
  openStore,
  outboxField,
  pageOf,
  Schema,
  toConflict
} from '@fleetgate/store'
import t from 'tap'
import { quietLog, startParts, until } from '../src/index.js'

interface Thing {
  tenantId: string
  name: string
  size: number
  outbox?: OutboxEntry[]
}

const thingNamed = {
  subject: 'test.thing.named',
  summary: 'A thing has a name',
  data: Type.Object({ name: Type.String() })
} satisfies EventContract

function thingSchema() {
  return new Schema<Thing>({
    tenantId: { type: String, required: true },
    name: { type: String, required: true },
    size: { type: Number, default: 0 },
    outbox: outboxField
  }).index({ tenantId: 1, name: 1 }, { unique: true })
}

t.test('store', async (t) => {
  const parts = await startParts(t, { engine: true, nats: true })
  const open = async (database: string) => {
    const store = await openStore({ uri: parts.mongoUri, database, log: quietLog })
    t.teardown(() => store.close())
    return store
  }
  const store = await open('store_test')
  const things = store.model<Thing>('things', thingSchema())
  await store.sync()
  const bus = await connectBus({ name: 'store-test', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const thing = (name: string, size = 0) => ({ tenantId: 't1', name, size })

  await t.test('lets a unique index decide who has a name', async (t) => {
    const tries = Array.from({ length: 10 }, () =>
      things.create(thing('taken')).catch((error) => toConflict(error, 'the name is taken'))
    )
    const results = await Promise.allSettled(tries)
    t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
    for (const result of results) if (result.status === 'rejected') t.match(result.reason, { code: 'conflict' })
    const bulk = things.insertMany([thing('other'), thing('taken')], { ordered: false })
    await t.rejects(
      bulk.catch((error) => toConflict(error, 'taken')),
      { code: 'conflict' }
    )
  })

  await t.test('keeps the databases of two services apart', async (t) => {
    const other = await open('store_test_other')
    const same = other.model<Thing>('things', thingSchema())
    await other.sync()
    t.equal(await same.countDocuments({}), 0)
    await other.close()
    t.equal(await store.ready(), true, 'closing one leaves the other')
  })

  await t.test('refuses a filter on a path that the schema lacks', async (t) => {
    await t.rejects(things.find({ nmae: 'x' } as object).lean(), { name: 'StrictModeError' })
    await t.rejects(things.deleteMany({ $or: [{ nmae: 'x' }] } as object), { name: 'StrictModeError' })
    t.ok((await things.countDocuments({ name: { $in: ['taken'] } })) === 1, 'operators of ours work')
  })

  await t.test('pages, and counts over every page', async (t) => {
    const names = Array.from({ length: 25 }, (_, n) => `Page (${String(n).padStart(2, '0')})`)
    await things.insertMany(names.map((name) => thing(name)))
    const page = (offset: number, limit: number, text = 'page (') =>
      pageOf(things.find({ tenantId: 't1', name: containsPattern(text) }).sort({ name: 1 }), { offset, limit })
    for (const [offset, limit] of [
      [0, 10],
      [10, 10],
      [20, 10],
      [0, 25],
      [0, 100],
      [30, 10],
      [5, 0]
    ] as const) {
      const { items, total } = await page(offset, limit)
      t.strictSame(
        [items.map(({ name }) => name), total],
        [names.slice(offset, offset + limit), 25],
        `${offset}+${limit}`
      )
    }
    for (const text of ['nothing', 'page\0']) t.strictSame(await page(0, 10, text), { items: [], total: 0 }, text)
    const [first] = (await page(0, 1)).items
    t.notOk(first && ('outbox' in first || 'applied' in first || '$__' in first), 'lean, without our own fields')
  })

  await t.test('counts without gap or repeat, also from two processes, per tenant and name', async (t) => {
    const other = await open('store_test')
    const [one, two] = [createCounters(store), createCounters(other)]
    const firsts = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        (n % 2 ? one : two).next('t1', 'jobs', (n % 3) + 1).then((first) => [first, n])
      )
    )
    const given = firsts.flatMap(([first = 0, n = 0]) => Array.from({ length: (n % 3) + 1 }, (_, i) => first + i))
    t.strictSame(
      given.sort((a, b) => a - b),
      Array.from({ length: given.length }, (_, n) => n + 1)
    )
    t.strictSame([await one.next('t2', 'jobs'), await one.next('t1', 'tasks')], [1, 1])
  })

  await t.test('builds an index anew that differs', async (t) => {
    const other = await open('store_test')
    const changed = new Schema<Thing>({ tenantId: String, name: String, size: Number })
    changed.index({ tenantId: 1, name: 1 })
    const model = other.model<Thing>('changing', changed)
    await other.sync()
    changed.clearIndexes()
    changed.index({ tenantId: 1, name: 1 }, { unique: true })
    await other.sync()
    t.match(Object.values(await model.listIndexes()), [
      { key: { _id: 1 } },
      { key: { tenantId: 1, name: 1 }, unique: true }
    ])
  })

  await t.test('goes on with indexes when a database that went away meanwhile is back', async (t) => {
    const other = await open('store_test')
    const schema = new Schema<Thing>({ tenantId: String, name: String, size: Number }).index({ tenantId: 1, name: 1 })
    const model = other.model<Thing>('away', schema)
    const create = model.createIndexes.bind(model)
    let tries = 0
    model.createIndexes = async () => {
      tries += 1
      // As a socket that broke.
      if (tries === 1) throw Object.assign(new Error('read ECONNRESET'), { syscall: 'read' })
      return create()
    }
    await other.sync()
    t.equal(tries, 2)
    t.match(Object.values(await model.listIndexes()), [{ key: { _id: 1 } }, { key: { tenantId: 1, name: 1 } }])
  })

  await t.test('outbox', async (t) => {
    const outbox = createOutbox({ model: things, bus, log: quietLog })
    const seen: { id: string; name: string; requestId?: string | undefined }[] = []
    const traces: (string | undefined)[] = []
    await bus.consume(thingNamed, { durable: 'outbox' }, async (batch) => {
      seen.push(...batch.map(({ id, data, requestId }) => ({ id, name: data.name, requestId })))
      traces.push(...batch.map((one) => one.traceparent))
    })
    const waiting = () => things.countDocuments({ 'outbox.id': { $gt: '' } })

    await t.test('publishes what was written with its document, in order, once', async (t) => {
      const entries = ['one', 'two', 'three'].map((name) => outbox.entry(thingNamed, { name }, { requestId: 'r' }))
      const { _id } = await things.create({ ...thing('boxed'), outbox: entries })
      await Promise.all([outbox.flush([_id]), outbox.flush([_id])])
      await until(() => seen.length >= 3, { what: 'three events' })
      t.strictSame(
        seen,
        entries.map(({ id }, n) => ({ id, name: ['one', 'two', 'three'][n], requestId: 'r' }))
      )
      t.equal(await waiting(), 0)
    })

    await t.test('an entry keeps the origin of the work that made it, whoever sends it', async (t) => {
      const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
      const origin = { requestId: 'maker', traceparent }
      const named = withOrigin(origin, () => outbox.entry(thingNamed, { name: 'of somebody' }))
      const nameless = outbox.entry(thingNamed, { name: 'of nobody' })
      t.match(named, origin)
      const { _id } = await things.create({ ...thing('kept'), outbox: [named, nameless] })
      // Another replica, and on somebody else's behalf.
      const other = createOutbox({ model: things, bus, log: quietLog })
      await withOrigin({ requestId: 'sender' }, () => other.flush([_id]))
      await until(() => seen.length >= 5, { what: 'both events' })
      t.strictSame(
        seen.slice(3).map(({ name, requestId }, n) => ({ name, requestId, traceparent: traces[3 + n] })),
        [
          { name: 'of somebody', ...origin },
          { name: 'of nobody', requestId: undefined, traceparent: undefined }
        ]
      )
    })

    await t.test('sends together what is written together', async (t) => {
      const before = seen.length
      const names = Array.from({ length: 450 }, (_, n) => `many ${n}`)
      const rows = names.map((name) => ({ ...thing(name), outbox: [outbox.entry(thingNamed, { name })] }))
      const written = await things.insertMany(rows)
      await Promise.all(written.map(({ _id }) => outbox.flush([_id])))
      t.equal(await waiting(), 0)
      await until(() => seen.length >= before + names.length, { what: 'all events' })
      t.strictSame(new Set(seen.slice(before).map(({ name }) => name)), new Set(names))
    })

    await t.test('drops what can never be sent, and sends the rest', async (t) => {
      const huge = {
        ...outbox.entry(thingNamed, { name: 'huge' }),
        data: JSON.stringify({ name: 'x'.repeat(2_000_000) })
      }
      const { _id } = await things.create({
        ...thing('huge'),
        outbox: [huge, outbox.entry(thingNamed, { name: 'behind' })]
      })
      await outbox.flush([_id])
      t.equal(await waiting(), 0)
      await until(() => seen.some(({ name }) => name === 'behind'), { what: 'the event behind' })
    })

    await t.test('refuses an entry that breaks its contract', async (t) => {
      t.throws(() => outbox.entry(thingNamed, {} as { name: string }), { code: 'invalid_input' })
    })

    await t.test('finds what waits through an index that holds nothing else', async (t) => {
      const plan = JSON.stringify(await things.find({ 'outbox.id': { $gt: '' } }).explain('executionStats'))
      t.match(plan, /"indexName":"outbox\.id_1"/)
      t.match(plan, /"totalKeysExamined":0/)
    })

    await t.test('sends after an outage and a crash what was left behind', async (t) => {
      await parts.killNats()
      await until(() => !bus.isReady(), { what: 'the bus to notice' })
      const entry = outbox.entry(thingNamed, { name: 'late' })
      const { _id } = await things.create({ ...thing('left'), outbox: [entry] })
      await outbox.flush([_id])
      t.equal(await waiting(), 1, 'flush neither throws nor waits')
      outbox.start()
      t.teardown(() => outbox.stop())
      await parts.startNats()
      await until(() => seen.some(({ name }) => name === 'late'), { what: 'the late event' })
      await until(async () => (await waiting()) === 0, { what: 'the entry to go' })
    })
  })

  await t.test('loses no acknowledged write when the engine is killed, and goes on after it', async (t) => {
    const acknowledged: string[] = []
    const failures: { code?: string }[] = []
    let isStopped = false
    // Whichever way it is written: bulk writes wrap what ended them, the driver's own collection has no hooks.
    const ways: ((name: string) => Promise<unknown>)[] = [
      (name) => things.create(thing(name)),
      (name) => things.insertMany([thing(name)], { ordered: false }),
      (name) => things.collection.insertOne(thing(name)),
      (name) => things.collection.bulkWrite([{ insertOne: { document: thing(name) } }], { ordered: false })
    ]
    const writers = Array.from({ length: 12 }, async (_, w) => {
      for (let n = 0; !isStopped; n++) {
        const name = `kill-${w}-${n}`
        await (ways[w % ways.length] as (typeof ways)[number])(name).then(
          () => acknowledged.push(name),
          (error) => failures.push(error)
        )
      }
    })
    const reader = async () => {
      while (!isStopped)
        await things.collection
          .find({ name: 'taken' })
          .toArray()
          .catch((error) => failures.push(error))
    }
    const readers = [reader(), reader()]
    await until(() => acknowledged.length > 200, { what: 'some writes' })
    await parts.killEngine()
    const asked = Date.now()
    t.equal(await store.ready(), false)
    t.ok(Date.now() - asked < 5_000, 'not ready is known soon')
    const reading = things.findOne({ name: 'taken' }).lean()
    await parts.startEngine()
    t.match(await reading, { name: 'taken' }, 'a read waits for the engine')
    const before = acknowledged.length
    await until(() => acknowledged.length > before + 50, { what: 'writes after the kill' })
    isStopped = true
    await Promise.all([...writers, ...readers])
    t.equal(await store.ready(), true)
    const found = await things
      .find({ name: /^kill-/ })
      .select('name')
      .lean()
    const names = new Set(found.map(({ name }) => name))
    t.strictSame(
      acknowledged.filter((name) => !names.has(name)),
      [],
      `${before} were acknowledged before the kill`
    )
    t.ok(failures.length > 0)
    for (const failure of failures) t.equal(failure.code, 'unavailable', String(failure))
  })
})
