import { quietLog, type Session, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { createCleaning } from '../src/entities/clean.js'
import type { Entity } from '../src/entities/entity.js'
import { createRecorder } from '../src/entities/recorder.js'
import { toCsv } from '../src/history/csv.js'
import { type Failure, serveKeys, startDevicesFor } from './support.js'
import { addEntity, dataOf, type Page } from './things.js'

interface Found {
  entity_id: string
  timestamp: string
  value: unknown
  value_type: string
}

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
// Times of 1970 stay, however long the tests take.
const api = await startDevicesFor(t, parts, { HISTORY_DAYS: '0' })
const admin = api.as(guardKeys.token({ userId: '77' }))

async function ingest(session: Session, samples: object[]): Promise<{ stored: number; repeated: number }> {
  return dataOf(await session.post('/entity/ingest', { samples }))
}

async function statusOf(id: string): Promise<{ value?: unknown; updated_at?: string; timestamp?: string }> {
  return dataOf(await admin.get(`/entity/${id}/status`))
}

async function search(wish: object): Promise<Page<Found>> {
  return dataOf(await admin.post('/entity/history/search', wish))
}

async function valuesOf(id: string): Promise<unknown[]> {
  return (await search({ entity_id: id, page_size: 100 })).content.map(({ value }) => value)
}

function aggregate(entity_id: string, aggregate_type: string, wish: object = {}) {
  const body = { entity_id, aggregate_type, start_timestamp: 0, end_timestamp: 1_000_000, ...wish }
  return admin.post<{ data: Record<string, unknown> }>('/entity/history/aggregate', body)
}

await t.test('keeps late samples in the history, and the newest as the latest', async (t) => {
  const id = await addEntity(admin)
  t.same(await statusOf(id), {}, 'never set')
  t.same(await ingest(admin, [{ entity_id: id, value: 2, timestamp: 2000 }]), { stored: 1, repeated: 0 })
  t.same(await ingest(admin, [{ entity_id: id, value: 1, timestamp: 1000 }]), { stored: 1, repeated: 0 })
  t.match(await statusOf(id), { value: 2, value_type: 'DOUBLE', updated_at: '2000', timestamp: '2000' })
  t.same(await valuesOf(id), [2, 1])
  t.same(await ingest(admin, [{ entity_id: id, value: 3, timestamp: 3000 }]), { stored: 1, repeated: 0 })
  t.match(await statusOf(id), { value: 3 })
})

await t.test('of one moment the later value counts, in one batch, in two, and of twenty at once', async (t) => {
  const id = await addEntity(admin)
  const sample = { entity_id: id, value: 5, timestamp: 5000 }
  t.same(await ingest(admin, [sample, sample, { ...sample, value: 6 }]), { stored: 1, repeated: 2 })
  t.match(await statusOf(id), { value: 6, timestamp: '5000' })
  t.same(await ingest(admin, [{ ...sample, value: 6 }]), { stored: 0, repeated: 1 }, 'the same again')
  t.same(await ingest(admin, [sample]), { stored: 1, repeated: 0 }, 'put right')
  t.same(await valuesOf(id), [5])
  t.match(await statusOf(id), { value: 5, timestamp: '5000' })
  const many = Array.from({ length: 20 }, (_, value) => ingest(admin, [{ entity_id: id, value, timestamp: 6000 }]))
  const stored = (await Promise.all(many)).reduce((sum, one) => sum + one.stored, 0)
  t.ok(stored >= 1)
  const values = await valuesOf(id)
  t.equal(values.length, 2)
  t.equal((await statusOf(id)).value, values[0], 'latest and history agree')
})

await t.test('values without a time are no repeats, in one batch and of two processes', async (t) => {
  const id = await addEntity(admin)
  const values = [1, 2, 3].map((value) => ({ entity_id: id, value }))
  t.same(await ingest(admin, values), { stored: 3, repeated: 0 })
  t.same(await valuesOf(id), [3, 2, 1])
  t.equal((await statusOf(id)).value, 3)
  t.match((await statusOf(id)).timestamp, /^\d{13}$/)
  const recorderOf = () => createRecorder({ history: {}, entities: {}, tell: async () => {}, now: () => 1000 } as never)
  const [one, two] = [recorderOf(), recorderOf()]
  const stamps = Array.from({ length: 100 }, () => [one.stamp(), two.stamp()]).flat()
  t.equal(new Set(stamps).size, 200)
})

await t.test('stores a batch or nothing of it, and says why', async (t) => {
  const id = await addEntity(admin, { value_type: 'LONG', value_attribute: { min: 0, max: 10 } })
  const good = { entity_id: id, value: 1, timestamp: 1000 }
  const bad: [unknown, RegExp][] = [
    [{ entity_id: id, value: 11 }, /samples.1 is greater than 10/],
    [{ entity_id: id, value: 'x' }, /samples.1 is no LONG/],
    [{ entity_id: id, value: { $gt: '' } }, /samples.1 is no LONG/],
    [{ entity_id: id }, /samples.1/],
    [{ entity_id: '999', value: 1 }, /samples.1 names no entity/],
    [{ entity_key: 'no.such', value: 1 }, /samples.1 names no entity/],
    [{ value: 1 }, /samples.1 needs entity_id or entity_key/],
    [{ entity_key: { $gt: '' }, value: 1 }, /entity_key/],
    [{ entity_id: id, value: 1, timestamp: Date.now() + 48 * 3_600_000 }, /in the future/],
    [{ entity_id: id, value: 1, timestamp: -1 }, /timestamp/],
    [null, /samples.1/]
  ]
  for (const [sample, reason] of bad) {
    const reply = await admin.post<Failure>('/entity/ingest', { samples: [good, sample] })
    t.equal(reply.status, 400, JSON.stringify(sample))
    t.match(reply.body.error_message, reason)
  }
  t.equal((await admin.post('/entity/ingest', { samples: [] })).status, 400)
  t.equal((await admin.post('/entity/ingest', { samples: Array(5001).fill(good) })).status, 400)
  t.same(await valuesOf(id), [])
  t.same(await statusOf(id), {})
})

await t.test('takes a large batch of several entities, by id and by key', async (t) => {
  const ids = [await addEntity(admin), await addEntity(admin, { identifier: 'keyed' })]
  const samples = Array.from({ length: 4000 }, (_, i) =>
    i % 2
      ? { entity_id: ids[0], value: i, timestamp: 1000 + i }
      : { entity_key: 'system.integration.keyed', value: i, timestamp: 1000 + i }
  )
  t.same(await ingest(admin, samples), { stored: 4000, repeated: 0 })
  t.equal((await search({ entity_ids: ids })).total, 4000)
  t.match(await statusOf(ids[0] ?? ''), { value: 3999 })
  t.match(await statusOf(ids[1] ?? ''), { value: 3998 })
})

await t.test('events have a history and no latest value, services are called', async (t) => {
  const event = await addEntity(admin, { type: 'EVENT', value_type: 'STRING' })
  await ingest(admin, [{ entity_id: event, value: 'opened', timestamp: 1000 }])
  t.same(await statusOf(event), {})
  t.same(await valuesOf(event), ['opened'])
  const service = await addEntity(admin, { type: 'SERVICE', value_type: 'STRING' })
  t.equal((await admin.post('/entity/ingest', { samples: [{ entity_id: service, value: 'x' }] })).status, 400)
})

await t.test('searches a time, both ends inclusive, newest first, page by page', async (t) => {
  const [one, two] = [await addEntity(admin), await addEntity(admin, { value_type: 'LONG' })]
  await ingest(
    admin,
    [1, 2, 3, 4].map((n) => ({ entity_id: one, value: n, timestamp: n * 1000 }))
  )
  await ingest(admin, [{ entity_id: two, value: '9007199254740993', timestamp: 2500 }])
  const span = { start_timestamp: 2000, end_timestamp: 3000 }
  t.same((await search({ entity_id: one, ...span })).content, [
    { entity_id: one, timestamp: '3000', value: 3, value_type: 'DOUBLE' },
    { entity_id: one, timestamp: '2000', value: 2, value_type: 'DOUBLE' }
  ])
  t.same(
    (await search({ entity_ids: [one, two], ...span })).content.map(({ value }) => value),
    [3, '9007199254740993', 2],
    'LONG as text, with every digit'
  )
  const oldestFirst = { sorts: [{ direction: 'ASC', property: 'timestamp' }] }
  t.match((await search({ entity_ids: [one, two], page_size: 2, ...oldestFirst })).content, [
    { value: 1 },
    { value: 2 }
  ])
  const second = await search({ entity_id: one, page_number: 2, page_size: 3 })
  t.match(second, { page_size: 3, page_number: 2, total: 4, content: [{ value: 1 }] })
  t.equal((await search({ entity_id: one, start_timestamp: null, end_timestamp: null })).total, 4)
  t.equal((await admin.post('/entity/history/search', { entity_id: 999 })).status, 404, 'a number is an id too')
  for (const bad of [
    {},
    { entity_id: one, start_timestamp: 5, end_timestamp: 5 },
    { entity_id: one, start_timestamp: 'x' },
    { entity_id: { $gt: '' } },
    { entity_ids: [] }
  ]) {
    t.equal((await admin.post('/entity/history/search', bad)).status, 400, JSON.stringify(bad))
  }
})

await t.test('tells a chart all values of its time on one page, up to a bound', async (t) => {
  const id = await addEntity(admin)
  const most = 20_000
  const from = Date.now() - 100_000
  const samples = Array.from({ length: most + 1 }, (_, value) => ({ entity_id: id, value, timestamp: from + value }))
  for (let at = 0; at < samples.length; at += 5000) await ingest(admin, samples.slice(at, at + 5000))
  const all = await search({ entity_id: id, page_size: 999_999 })
  t.match(all, { page_size: most, total: most + 1 })
  t.equal(all.content.length, most)
  t.equal(all.content[0]?.value, most, 'the newest of them')
  t.match(await search({ entity_id: id, page_size: 999_999, page_number: 2 }), { content: [{ value: 0 }] })
})

await t.test('aggregates in the shapes of the real system', async (t) => {
  const double = await addEntity(admin)
  const long = await addEntity(admin, { value_type: 'LONG' })
  const text = await addEntity(admin, { value_type: 'STRING' })
  const flag = await addEntity(admin, { value_type: 'BOOLEAN' })
  const bytes = await addEntity(admin, { value_type: 'BINARY' })
  const put = (entity_id: string, values: unknown[]) =>
    ingest(
      admin,
      values.map((value, i) => ({ entity_id, value, timestamp: 1000 + i }))
    )
  for (const type of ['LAST', 'MIN', 'SUM', 'AVG', 'COUNT']) {
    t.same((await aggregate(double, type)).body.data, {}, `${type} of nothing`)
  }
  await put(double, [0.1, 0.2, 5])
  await put(long, ['9223372036854775807', 1, 1])
  await put(text, ['b', 'a', 'b'])
  await put(flag, [true, false, true])
  await put(bytes, ['AQ==', '/w==', 'AQI='])
  const cases: [string, string, object][] = [
    [double, 'LAST', { value: 5, value_type: 'DOUBLE' }],
    [double, 'MIN', { value: 0.1, value_type: 'DOUBLE' }],
    [double, 'MAX', { value: 5, value_type: 'DOUBLE' }],
    [double, 'SUM', { value: 5.3, value_type: 'DOUBLE' }],
    [double, 'AVG', { value: 1.76666667, value_type: 'DOUBLE' }],
    [long, 'LAST', { value: '1', value_type: 'LONG' }],
    [long, 'MAX', { value: '9223372036854775807', value_type: 'LONG' }],
    [long, 'SUM', { value: '9223372036854775809', value_type: 'LONG' }],
    [long, 'AVG', { value: '3074457345618258603', value_type: 'LONG' }],
    [text, 'MIN', { value: 'a', value_type: 'STRING' }],
    [flag, 'MIN', { value: false, value_type: 'BOOLEAN' }],
    [bytes, 'MAX', { value: '/w==', value_type: 'BINARY' }]
  ]
  for (const [id, type, data] of cases)
    t.same((await aggregate(id, type)).body.data, data, `${type} ${JSON.stringify(data)}`)
  t.same((await aggregate(text, 'COUNT')).body.data, {
    count_result: [
      { value: 'b', value_type: 'STRING', count: 2 },
      { value: 'a', value_type: 'STRING', count: 1 }
    ]
  })
  const huge = await addEntity(admin)
  await put(huge, [1.5e308, 1.5e308])
  t.same((await aggregate(huge, 'SUM')).body.data, { value: '3E+308', value_type: 'DOUBLE' }, 'more than a DOUBLE')
  t.same((await aggregate(double, 'SUM', { start_timestamp: 1001, end_timestamp: 1002 })).body.data.value, 5.2)
  for (const type of ['SUM', 'AVG']) t.equal((await aggregate(text, type)).status, 400)
  for (const wish of [{ aggregate_type: 'MEDIAN' }, { end_timestamp: 0 }, { entity_id: { $gt: '' } }, { bucket: 0 }]) {
    t.equal((await aggregate(double, 'LAST', wish)).status, 400, JSON.stringify(wish))
  }
  t.equal((await aggregate('999', 'LAST')).status, 404)
})

await t.test('puts a time into buckets', async (t) => {
  const id = await addEntity(admin, { value_type: 'LONG' })
  await ingest(
    admin,
    [1000, 1500, 1999, 4000].map((timestamp, i) => ({ entity_id: id, value: i + 1, timestamp }))
  )
  const bucketsOf = async (type: string) => (await aggregate(id, type, { bucket: 1000 })).body.data.buckets
  t.same(await bucketsOf('SUM'), [
    { start_timestamp: '1000', value: '6', count: 3 },
    { start_timestamp: '4000', value: '4', count: 1 }
  ])
  t.match(await bucketsOf('LAST'), [{ value: '3' }, { value: '4' }])
  t.match(await bucketsOf('AVG'), [{ value: '2' }, { value: '4' }])
  t.match(await bucketsOf('MIN'), [{ value: '1' }, { value: '4' }])
  t.same(await bucketsOf('COUNT'), [
    { start_timestamp: '1000', count: 3 },
    { start_timestamp: '4000', count: 1 }
  ])
  t.equal((await aggregate(id, 'SUM', { bucket: 1 })).status, 400, 'a million buckets')
})

await t.test('exports values as CSV, with labels, children, and nothing that a spreadsheet would run', async (t) => {
  const attribute = { enum: { on: 'Switched "on"', '=1+1': '=1+1' } }
  const parent = await addEntity(admin, { identifier: 'box', name: 'Box', value_type: 'OBJECT' })
  const own = { parent_identifier: 'box', identifier: 'lamp', name: 'Lamp, red', value_type: 'STRING' }
  const lamp = await addEntity(admin, { ...own, value_attribute: attribute })
  await ingest(admin, [
    { entity_id: lamp, value: 'on', timestamp: 1000 },
    { entity_id: lamp, value: '=1+1', timestamp: 2000 }
  ])
  const reply = await admin.get(`/entity/export?ids=${parent}&startTimestamp=0&end_timestamp=5000&time_zone=UTC`)
  t.equal(reply.status, 200)
  t.match(reply.headers.get('content-type'), 'text/csv')
  t.match(reply.headers.get('content-disposition'), /^attachment; filename="EntityData_.*\.csv"$/)
  t.same(reply.text.split('\r\n'), [
    'Entity Name,Entity Identifier,Value,Update Time,Integration,Device',
    `"Lamp, red",system.integration.box.lamp,'=1+1,1970/01/01 00:00:02,System,`,
    '"Lamp, red",system.integration.box.lamp,"Switched ""on""",1970/01/01 00:00:01,System,',
    ''
  ])
  for (const query of ['', 'ids=x', `ids=${lamp}&time_zone=Mars`, `ids=${lamp}&start_timestamp=9&end_timestamp=1`]) {
    t.equal((await admin.get(`/entity/export?${query}`)).status, 400, query)
  }
  t.equal((await admin.get('/entity/export?ids=999')).status, 404)
})

await t.test('exports no cell that begins like a formula', async (t) => {
  const starts = ['=', '+', '-', '@', '\t', '\r', '\n']
  async function* rows() {
    for (const start of starts) {
      const text = `${start}1+cmd()`
      const entity = { name: text, key: 'k', attribute: {}, integration: text, deviceName: text } as Entity
      yield { entity, sample: { entityId: '1', valueType: 'STRING' as const, value: text, at: 0 } }
    }
    const sample = { entityId: '1', valueType: 'DOUBLE' as const, value: -1.5, at: 0 }
    yield { entity: { name: 'n', key: 'k', attribute: {}, integration: 'i' } as Entity, sample }
  }
  let text = ''
  for await (const part of toCsv(rows(), { clock: () => '', integrationName: (id) => id })) text += part
  const guarded = starts.map((start) => {
    const cell = /[\r\n]/.test(start) ? `"'${start}1+cmd()"` : `'${start}1+cmd()`
    return [cell, 'k', cell, '', cell, cell].join(',')
  })
  const lines = [...guarded, 'n,k,-1.5,,i,'].map((line) => `${line}\r\n`)
  t.equal(text.slice(text.indexOf('\r\n') + 2), lines.join(''), 'numbers stay numbers')
})

await t.test('exports long values as they come, and not together', async (t) => {
  async function* rows() {
    for (let at = 0; at < 50; at++) {
      const sample = { entityId: '1', valueType: 'STRING' as const, value: 'x'.repeat(100_000), at }
      yield { entity: { name: 'n', key: 'k', attribute: {}, integration: 'i' } as Entity, sample }
    }
  }
  const lengths: number[] = []
  for await (const part of toCsv(rows(), { clock: String, integrationName: () => 'I' })) lengths.push(part.length)
  t.ok(Math.max(...lengths) < 300_000)
  t.ok(lengths.reduce((sum, length) => sum + length, 0) > 5_000_000)
})

await t.test('exports many rows, all of them', async (t) => {
  const id = await addEntity(admin)
  const batch = Array.from({ length: 3000 }, (_, i) => ({ entity_id: id, value: i, timestamp: 1000 + i }))
  await ingest(admin, batch)
  const lines = (await admin.get(`/entity/export?ids=${id}`)).text.trim().split('\r\n')
  t.equal(lines.length, 3001)
  t.equal(new Set(lines.map((line) => line.split(',')[2])).size, 3001)
})

await t.test('shows no history to another tenant', async (t) => {
  const id = await addEntity(admin)
  await ingest(admin, [{ entity_id: id, value: 1, timestamp: 1000 }])
  const other = api.as(guardKeys.token({ tenantId: 'other' }))
  t.equal((await other.post('/entity/history/search', { entity_id: id })).status, 404)
  t.equal(dataOf<Page<Found>>(await other.post('/entity/history/search', { entity_ids: [id] })).total, 0)
  t.equal((await other.post('/entity/ingest', { samples: [{ entity_id: id, value: 2 }] })).status, 400)
  t.equal((await other.get(`/entity/export?ids=${id}`)).status, 404)
})

await t.test('forgets what is older than its days', async (t) => {
  const short = await startDevicesFor(t, parts, { HISTORY_DAYS: '30', SWEEP_MS: '100' })
  const session = short.as(guardKeys.token({ tenantId: 'old' }))
  const id = await addEntity(session)
  const day = 24 * 3_600_000
  const now = Date.now()
  await ingest(session, [
    { entity_id: id, value: 1, timestamp: now - 31 * day },
    { entity_id: id, value: 2, timestamp: now - 29 * day }
  ])
  const found = async () => dataOf<Page<Found>>(await session.post('/entity/history/search', { entity_id: id })).content
  await until(async () => (await found()).length === 1, { what: 'the old one to go' })
  t.match(await found(), [{ value: 2 }])
})

await t.test('cleaning up after many at once goes over what is left twice at most', async (t) => {
  const asked: string[] = []
  const clean = createCleaning({
    entities: { listRemoved: async () => [{ id: '1', tenantId: 'x' }], purge: async () => undefined },
    history: { removeOf: async (_tenantId, id) => void asked.push(id) },
    log: quietLog,
    now: Date.now
  })
  await Promise.all(Array.from({ length: 50 }, () => clean()))
  t.same(asked, ['1', '1'], 'the second for those who came while the first was at work')
  await clean()
  t.equal(asked.length, 3)
})
