import { connectBus, newNumericId } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, type Session, startParts, testGuardKeys } from '@fleetgate/testkit'
import t from 'tap'
import { createDeviceStore } from '../src/devices/deviceStore.js'
import { draftsOf } from '../src/entities/entityKeys.js'
import { createEntityStore } from '../src/entities/entityStore.js'
import { type Failure, serveKeys, startDevicesFor } from './support.js'
import { addEntity, addPing, dataOf, type ListedEntity, type Page, searchDevices, searchEntities } from './things.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const api = await startDevicesFor(t, parts)

function tenant(tenantId: string): Session {
  return api.as(guardKeys.token({ tenantId, userId: '77' }))
}

const admin = tenant('t1')

async function keysOf(session: Session, wish: object): Promise<string[]> {
  return (await searchEntities(session, { page_size: 100, ...wish })).content.map(({ entity_key }) => entity_key)
}

async function statusOf(session: Session, id: string) {
  return dataOf<{ value?: unknown; updated_at?: string }>(await session.get(`/entity/${id}/status`))
}

await t.test('searches entities by every filter', async (t) => {
  const session = tenant('search')
  await addPing(session, 'Kitchen', '10.0.0.1')
  await addEntity(session, { identifier: 'temp', name: 'Temperature', value_attribute: { unit: '°C' } })
  await addEntity(session, { identifier: 'alarm', name: 'Alarm', type: 'EVENT', value_type: 'STRING' })
  await addEntity(session, { identifier: 'box', name: 'Box', value_type: 'OBJECT' })
  await addEntity(session, {
    identifier: 'lid',
    name: 'Lid',
    parent_identifier: 'box',
    access_mod: 'W',
    visible: false
  })
  const device = ['ping.device.10_0_0_1.delay', 'ping.device.10_0_0_1.status']
  const detecting = 'ping.integration.detect_status'
  const system = (...ids: string[]) => ids.map((id) => `system.integration.${id}`)

  const page = await searchEntities(session, { page_size: 2 })
  t.match(page, { page_size: 2, page_number: 1, total: 7 })
  t.same(
    page.content.map(({ entity_key }) => entity_key),
    system('box', 'alarm'),
    'newest first, hidden ones left out'
  )
  t.match(page.content[1], {
    entity_id: /^\d{10,19}$/,
    entity_name: 'Alarm',
    entity_type: 'EVENT',
    entity_value_type: 'STRING',
    entity_value_attribute: {},
    entity_is_customized: true,
    entity_created_at: Number,
    entity_updated_at: Number,
    integration_name: 'System'
  })
  t.notOk('entity_access_mod' in (page.content[1] ?? {}), 'of properties only')
  t.equal((await searchEntities(session, { page_number: 99 })).page_number, 1, 'begins anew behind the end')

  t.same(await keysOf(session, { keyword: 'kitch' }), device, 'name of the device')
  t.same(await keysOf(session, { keyword: '10_0_0_1.st' }), ['ping.device.10_0_0_1.status'], 'key')
  t.same(await keysOf(session, { keyword: 'PERAT' }), system('temp'), 'name')
  t.same((await keysOf(session, { keyword: 'ping' })).length, 4, 'name of the integration')
  t.same(await keysOf(session, { keyword: '.*' }), [])
  t.same(await keysOf(session, { entity_source_name: 'KITCH' }), device, 'of a device')
  t.same((await keysOf(session, { entity_source_name: 'ping' })).length, 4, 'of an integration')
  t.same(await keysOf(session, { entity_source_name: 'ping', keyword: 'kitch' }), device)
  t.same(await keysOf(session, { entity_source_name: '10_0_0_1' }), [], 'no part of a key')
  t.same(await keysOf(session, { entity_type: ['EVENT'] }), system('alarm'))
  t.same(
    (await keysOf(session, { entity_value_type: ['LONG', 'DOUBLE'] })).sort(),
    [...device, detecting, ...system('temp')].sort()
  )
  t.same((await keysOf(session, { entity_access_mod: ['R'] })).sort(), [...device, detecting])
  t.same(await keysOf(session, { show_hidden: true, entity_access_mod: ['W'] }), system('box.lid'))
  t.same(await keysOf(session, { show_hidden: true, entity_access_mod: ['W'], exclude_children: true }), [])
  t.same((await keysOf(session, { customized: true })).sort(), system('alarm', 'box', 'temp'))
  t.notOk((await keysOf(session, { customized: false })).some((key) => key.startsWith('system.')))
  t.same(await keysOf(session, { entity_keys: system('temp') }), system('temp'))
  t.same(await keysOf(session, { entity_names: ['Alarm'] }), system('alarm'))
  t.same(await keysOf(session, { entity_ids: [page.content[1]?.entity_id] }), system('alarm'))
  t.equal((await keysOf(session, { keyword: null, entity_type: null })).length, 7, 'null leaves out')
  for (const bad of [{ entity_type: ['X'] }, { keyword: { $gt: '' } }, { entity_ids: [{}] }, { show_hidden: 'x' }]) {
    t.equal((await session.post('/entity/search', bad)).status, 400, JSON.stringify(bad))
  }
})

await t.test('tells an editor all entities at once, up to a bound', async (t) => {
  const session = tenant('many')
  await searchEntities(session)
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_devices', log: quietLog })
  t.teardown(() => store.close())
  const bus = await connectBus({ name: 'test', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const entities = createEntityStore({ store, bus, log: quietLog, now: Date.now })
  const owner = { tenantId: 'many', integration: 'ping' }
  const identifiers = Array.from({ length: 10_001 }, (_, i) => `e${i}`)
  const templates = identifiers.map((identifier) => ({
    ...{ identifier, name: identifier },
    ...{ type: 'PROPERTY' as const, valueType: 'OBJECT' as const }
  }))
  await entities.ensure(draftsOf('ping.integration', templates, owner))
  const found = await searchEntities(session, { page_number: 1, page_size: 99_999, keyword: 'ping.integration.e' })
  t.match(found, { page_size: 10_000, total: 10_001 })
  t.equal(found.content.length, 10_000)
  const rest = { page_number: 2, page_size: 99_999, keyword: 'ping.integration.e' }
  t.equal((await searchEntities(session, rest)).content.length, 1)

  const advanced = (entity_filter: object) => session.post<Failure>('/entity/advanced-search', { entity_filter })
  const few = await advanced({ ENTITY_PARENT_NAME: { operator: 'EQ', values: ['e1'] } })
  t.equal(few.status, 200)
  const many = await advanced({ ENTITY_PARENT_NAME: { operator: 'START_WITH', values: ['e'] } })
  t.match([many.status, many.body.error_message], [400, /entity_filter leads to more than 10000 parents/])

  const devices = createDeviceStore({ store, bus, log: quietLog, now: Date.now })
  const groupId = dataOf<{ id: string }>(await session.post('/device-group', { name: 'All' })).id
  const about = { tenantId: 'many', integration: 'ping', groupId, additionalData: {}, userId: '1', name: 'D' }
  const grouped = identifiers.map((identifier) => {
    const key = `ping.device.${identifier}`
    return { ...about, identifier, key, id: newNumericId(), createdAt: 1, updatedAt: 1 }
  })
  await devices.insertMany(grouped, [])
  await devices.settledMany(grouped.map(({ id }) => id))
  for (const operator of ['EQ', 'NE']) {
    const refused = await advanced({ DEVICE_GROUP: { operator, values: ['All'] } })
    t.match([refused.status, refused.body.error_message], [400, /more than 10000 devices/])
  }
  await devices.remove('many', grouped[0]?.id ?? '')
  t.equal((await advanced({ DEVICE_GROUP: { operator: 'EQ', values: ['All'] } })).status, 200)
})

await t.test('puts entities and devices in the order that is asked for', async (t) => {
  const session = tenant('order')
  for (const identifier of ['c', 'a', 'b']) await addEntity(session, { identifier })
  const by = (direction: string, ...properties: string[]) => ({
    keyword: 'system.integration.',
    sorts: properties.map((property) => ({ direction, property }))
  })
  const order = async (wish: object) => (await keysOf(session, wish)).map((key) => key.at(-1)).join('')
  t.equal(await order(by('ASC', 'key')), 'abc')
  t.equal(await order(by('DESC', 'colour', 'key')), 'cba', 'what is not known is passed over')
  t.equal(await order(by('ASC', 'created_at')), 'cab')
  t.equal(await order(by('ASC', 'toString')), 'bac')
  t.equal(await order({ ...by('ASC', 'key'), page_size: 2, page_number: 2 }), 'c')
  const wish = { ...by('ASC', 'key'), entity_filter: { ENTITY_KEY: { operator: 'CONTAINS', values: ['system.'] } } }
  const advanced = dataOf<Page<ListedEntity>>(await session.post('/entity/advanced-search', wish))
  t.equal(advanced.content.map(({ entity_key }) => entity_key.at(-1)).join(''), 'abc')
  for (const [name, ip] of [
    ['one', '10.0.0.2'],
    ['two', '10.0.0.1']
  ] as const)
    await addPing(session, name, ip)
  const devices = async (sort: object) => (await searchDevices(session, sort)).content.map(({ name }) => name)
  t.same(await devices(by('ASC', 'created_at')), ['one', 'two'])
  t.same(await devices(by('ASC', 'key')), ['two', 'one'])
  t.equal((await session.post('/entity/search', { sorts: [{ direction: 'UP', property: 'key' }] })).status, 400)
})

await t.test('makes custom entities and children, tells what they are', async (t) => {
  const draft = { identifier: 'room', name: 'Room', type: 'PROPERTY', value_type: 'OBJECT', access_mod: 'RW' }
  const made = dataOf<Record<string, unknown>>(await admin.post('/entity', draft))
  t.match(made, { id: String, key: 'system.integration.room', customized: true, access_mod: 'RW' })
  const child = await addEntity(admin, { identifier: 'heat', parent_identifier: 'room', value_attribute: { max: 30 } })
  t.match(dataOf(await admin.get(`/entity/${child}/meta`)), {
    key: 'system.integration.room.heat',
    value_attribute: { max: 30 },
    created_at: Number
  })
  const children = dataOf<ListedEntity[]>(await admin.get(`/entity/${made.id}/children`))
  t.match(children, [{ entity_key: 'system.integration.room.heat', entity_parent_name: 'Room' }])
  t.same(dataOf(await admin.get(`/entity/${child}/children`)), [])
  t.equal((await admin.get('/entity/999/meta')).status, 404)
  t.equal((await admin.get('/entity/999/children')).status, 404)
  t.equal((await admin.post('/entity', draft)).status, 409, 'the identifier is taken')
  t.ok(await addEntity(tenant('t2'), draft), 'elsewhere it is free')
})

await t.test('takes limits as the web client sends them, as texts', async (t) => {
  const draft = { identifier: 'typed', value_type: 'STRING', value_attribute: { min_length: '1', max_length: '3' } }
  await addEntity(admin, draft)
  const write = (key: string, value: unknown) =>
    admin.post('/entity/property/update', { exchange: { [`system.integration.${key}`]: value } })
  t.equal((await write('typed', 'abc')).status, 200)
  t.equal((await write('typed', 'abcd')).status, 400)
  const id = await addEntity(admin, { identifier: 'rounded', value_attribute: { fraction_digits: '1' } })
  t.equal((await write('rounded', 1.26)).status, 200)
  t.match(dataOf(await admin.get(`/entity/${id}/status`)), { value: 1.3 })
  for (const min_length of ['', 'x', '-1', '1.5', {}]) {
    const reply = await admin.post('/entity', {
      ...draft,
      name: 'n',
      type: 'PROPERTY',
      identifier: 'no',
      value_attribute: { min_length }
    })
    t.equal(reply.status, 400, JSON.stringify(min_length))
  }
})

await t.test('refuses custom entities that cannot be', async (t) => {
  const good = { identifier: 'good', name: 'Good', type: 'PROPERTY', value_type: 'LONG', access_mod: 'R' }
  await addEntity(admin, { identifier: 'plain' })
  const bad: [object, RegExp][] = [
    [{ identifier: 'a.b' }, /identifier/],
    [{ identifier: '' }, /identifier/],
    [{ identifier: 'i'.repeat(51) }, /identifier/],
    [{ name: undefined }, /name/],
    [{ name: '  ' }, /name/],
    [{ type: 'THING' }, /type/],
    [{ value_type: 'FLOAT' }, /value_type/],
    [{ access_mod: 'X' }, /access_mod/],
    [{ value_attribute: 'x' }, /value_attribute/],
    [{ value_attribute: { min: 2, max: 1 } }, /value_attribute.max/],
    [{ parent_identifier: 'nobody' }, /parent_identifier/],
    [{ parent_identifier: 'plain' }, /parent_identifier must name an OBJECT/]
  ]
  for (const [change, reason] of bad) {
    const reply = await admin.post<Failure>('/entity', { ...good, ...change })
    t.equal(reply.status, 400, JSON.stringify(change))
    t.match(reply.body.error_message, reason)
  }
  t.same(await keysOf(admin, { entity_names: ['Good'] }), [])
})

await t.test('renames, changes attributes of custom ones only, deletes custom ones only', async (t) => {
  const session = tenant('change')
  const device = await addPing(session, 'dev', '10.0.0.1')
  const status = device.entities[0]?.id ?? ''
  const id = await addEntity(session, { value_attribute: { max: 5 } })
  const renamed = await session.put(`/entity/${id}`, { name: 'New', value_attribute: { max: 9 } })
  t.match(dataOf(renamed as never), { name: 'New', value_attribute: { max: 9 } })
  t.match(dataOf(await session.put(`/entity/${status}`, { name: 'Zustand' })), { name: 'Zustand' })
  t.equal((await session.put(`/entity/${status}`, { name: 'x', value_attribute: {} })).status, 400)
  t.equal((await session.put(`/entity/${id}`, { name: '' })).status, 400)
  t.equal((await session.put(`/entity/${id}`, { name: 'x', value_attribute: { min: 'a' } })).status, 400)

  const parent = await addEntity(session, { identifier: 'p', value_type: 'OBJECT' })
  const child = await addEntity(session, { identifier: 'c', parent_identifier: 'p' })
  dataOf(await session.post('/entity/delete', { entity_ids: [parent, status, '999'] }))
  t.equal((await session.get(`/entity/${child}/meta`)).status, 404, 'with its parent')
  t.equal((await session.get(`/entity/${status}/meta`)).status, 200, 'passed over')
  t.equal((await session.get(`/entity/${id}/meta`)).status, 200)
  t.ok(await addEntity(session, { identifier: 'p' }), 'the identifier is free again')
})

await t.test('writes properties by key, children by key or within their parent', async (t) => {
  const session = tenant('write')
  const light = await addEntity(session, { identifier: 'light', value_type: 'BOOLEAN' })
  const fixed = await addEntity(session, { identifier: 'fixed', access_mod: 'R' })
  await addEntity(session, { identifier: 'room', value_type: 'OBJECT' })
  const heat = await addEntity(session, { identifier: 'heat', parent_identifier: 'room', value_attribute: { max: 30 } })
  const cool = await addEntity(session, { identifier: 'cool', parent_identifier: 'room' })
  const write = (exchange: unknown) => session.post<Failure>('/entity/property/update', { exchange })
  const key = (id: string) => `system.integration.${id}`

  t.match((await write({ [key('light')]: true, [key('fixed')]: 1, 'no.such': 1 })).body, { status: 'Success' })
  t.equal((await statusOf(session, light)).value, true)
  t.same(await statusOf(session, fixed), {}, 'may only be read')
  await write({ [key('room')]: { heat: 20.5 }, [key('room.cool')]: 4 })
  t.equal((await statusOf(session, heat)).value, 20.5)
  t.equal((await statusOf(session, cool)).value, 4)
  t.match((await write({ [key('light')]: false, [key('room.heat')]: 31 })).body.error_message, 'greater than 30')
  t.equal((await statusOf(session, light)).value, true, 'all or nothing')
  for (const exchange of [{}, { [key('fixed')]: 1 }, { 'no.such': 1 }, { [key('room')]: 5 }, 'x', undefined]) {
    t.equal((await write(exchange)).status, 400, JSON.stringify(exchange))
  }
  const writes = Array.from({ length: 20 }, (_, i) => write({ [key('room.cool')]: i }))
  for (const { status } of await Promise.all(writes)) t.equal(status, 200)
  const history = await session.post('/entity/history/search', { entity_id: cool, page_size: 100 })
  t.equal(dataOf<Page<unknown>>(history as never).total, 21, 'none is lost, though many are of the same moment')
})

await t.test('calls services with their parameters checked, and keeps the calls', async (t) => {
  const session = tenant('call')
  await addEntity(session, { identifier: 'go', type: 'SERVICE', value_type: 'OBJECT' })
  const own = { type: 'SERVICE', parent_identifier: 'go' }
  const speed = await addEntity(session, { ...own, identifier: 'speed', value_attribute: { max: 10 } })
  await addEntity(session, { ...own, identifier: 'note', value_type: 'STRING', value_attribute: { optional: true } })
  const call = (exchange: unknown) => session.post<Failure & { data: unknown }>('/entity/service/call', { exchange })
  t.same((await call({ 'system.integration.go.speed': 3 })).body.data, {})
  t.same((await call({ 'system.integration.go': { speed: 4 } })).body.data, {})
  const history = await session.post('/entity/history/search', { entity_id: speed })
  t.match(dataOf(history as never), { total: 2, content: [{ value: 4 }, { value: 3 }] })
  t.same(await statusOf(session, speed), {}, 'a call is no state')
  t.match((await call({ 'system.integration.go': {} })).body.error_message, 'speed is required')
  t.match((await call({ 'system.integration.go.speed': 11 })).body.error_message, 'greater than 10')
  for (const exchange of [{}, { 'no.such': 1 }, { 'ping.integration.add_device.ip': '1.2.3.4' }]) {
    t.equal((await call(exchange)).status, 400, JSON.stringify(exchange))
  }
})

await t.test('tells many latest values at once', async (t) => {
  const [one, two] = [await addEntity(admin, { value_type: 'LONG' }), await addEntity(admin)]
  dataOf(await admin.post('/entity/ingest', { samples: [{ entity_id: one, value: 7, timestamp: 1000 }] }))
  t.same(dataOf(await admin.post('/entity/batch-get-status', { entity_ids: [one, two, '999'] })), {
    [one]: { value: '7', value_type: 'LONG', updated_at: '1000', timestamp: '1000' }
  })
  t.match(await searchEntities(admin, { entity_ids: [one] }), { content: [{ entity_latest_value: '7' }] })
})
