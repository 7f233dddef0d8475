import type { Delivered, UplinkMessage } from '@fleetgate/kit'
import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import type { Device } from '../src/devices/device.js'
import { createOnTopic } from '../src/telemetry/onTopic.js'
import { startBroker } from './mqttParts.js'
import { type Failure, serveKeys, startDevicesFor } from './support.js'
import { dataOf, type ListedDevice, type Page, searchDevices, searchEntities } from './things.js'

interface Template {
  id: string
  device_count: number
  message_count: number
  sample_count: number
  refused_count: number
  last_error?: { topic: string; reason: string }
}

const parts = await startParts(t)
const keys = testGuardKeys()
await serveKeys(t, parts, keys)
const api = await startDevicesFor(t, parts, { SWEEP_MS: '500' })
const admin = api.as(keys.token())
const broker = await startBroker(t, parts, keys, { farm: [{ name: 'farm/#', perm: 'PUB|SUB' }] })
const client = await broker.connect('farm')

const path = '/mqtt-device/device-template'
/** Seconds: old enough to be the past, young enough to be kept. */
const base = Math.floor(Date.now() / 1000) - 7200
const temperature = {
  identifier: 'temperature',
  name: 'Temperature',
  type: 'PROPERTY',
  access_mod: 'R',
  value_type: 'DOUBLE',
  value_attribute: { min: -40, max: 85, fraction_digits: 2, unit: '°C' },
  pointer: '/t/0',
  factor: 0.1
}
const valve = {
  identifier: 'valve',
  name: 'Valve',
  type: 'PROPERTY',
  access_mod: 'RW',
  value_type: 'BOOLEAN',
  pointer: '/valve/state',
  map: { on: true, off: false }
}
const flush = {
  identifier: 'flush',
  name: 'Flush',
  type: 'SERVICE',
  value_type: 'OBJECT',
  children: [{ identifier: 'seconds', name: 'Seconds', value_type: 'LONG', pointer: '/flush/for' }]
}
const draft = {
  name: 'Soil',
  topic: 'farm/{device}/state',
  down_topic: 'farm/{device}/set',
  timestamp: { pointer: '/ts', unit: 's' },
  auto_create: true,
  entities: [temperature, valve, flush]
}

async function addTemplate(change: object = {}): Promise<string> {
  return dataOf<{ id: string }>(await admin.post(path, { ...draft, ...change })).id
}

async function getTemplate(id: string): Promise<Template> {
  return dataOf<Template>(await admin.get(`${path}/${id}`))
}

function send(topic: string, payload: unknown): Promise<unknown> {
  return client.publishAsync(topic, typeof payload === 'string' ? payload : JSON.stringify(payload), { qos: 1 })
}

async function entityOf(device: string, identifier: string) {
  const key = `mqtt-device.device.${device}.${identifier}`
  const { content } = await searchEntities(admin, { keyword: key, page_size: 10 })
  const found = content.find(({ entity_key }) => entity_key === key)
  if (!found) throw new Error(`${key} is not there`)
  return found.entity_id
}

async function historyOf(device: string, identifier: string) {
  const id = await entityOf(device, identifier)
  const search = { entity_id: id, start_timestamp: 0, end_timestamp: Date.now() + 60_000, page_size: 1000 }
  type Found = Page<{ value: unknown; timestamp: string }>
  return dataOf<Found>(await admin.post('/entity/history/search', search)).content
}

async function latestOf(device: string, identifier: string): Promise<{ value: unknown; timestamp: string }> {
  return dataOf(await admin.get(`/entity/${await entityOf(device, identifier)}/status`))
}

const soil = await addTemplate()

await t.test('makes a device of the first message, and keeps what it says', async (t) => {
  await send('farm/plot-1/state', { ts: base, t: [215, 0], valve: { state: 'on' } })
  await until(async () => (await historyOf('plot-1', 'valve')).length === 1, { what: 'the values' })
  t.match(await historyOf('plot-1', 'temperature'), [{ value: 21.5, timestamp: String(base * 1000) }])
  t.match(await latestOf('plot-1', 'valve'), { value: true, timestamp: String(base * 1000) })
  const { content } = await searchDevices(admin, { identifier: 'plot-1' })
  t.match(content, [{ name: 'plot-1', integration: 'mqtt-device', template: soil, deletable: true }])
})

await t.test('the newest counts, late ones are history, repeats are one, what is wrong is refused alone', async (t) => {
  const at = base + 100
  await send('farm/plot-2/state', { ts: at, t: [100] })
  await send('farm/plot-2/state', { ts: at - 50, t: [90], valve: { state: 'ajar' } })
  await send('farm/plot-2/state', { ts: at, t: [100] })
  await send('farm/plot-2/state', { ts: at + 1, t: [9999] })
  await send('farm/plot-2/state', { ts: at + 2, t: [110] })
  await until(async () => (await latestOf('plot-2', 'temperature')).value === 11, { what: 'the newest' })
  await send('farm/plot-2/state', { ts: at - 60, t: [80] })
  await until(async () => (await historyOf('plot-2', 'temperature')).length === 4, { what: 'the late one' })
  t.same(
    (await historyOf('plot-2', 'temperature')).map(({ value }) => value),
    [11, 10, 9, 8]
  )
  t.equal((await latestOf('plot-2', 'temperature')).value, 11)
  t.same(await historyOf('plot-2', 'valve'), [])
})

await t.test('messages without a time of their own are all kept, also those of one millisecond', async (t) => {
  const id = await addTemplate({
    name: 'Burst',
    topic: 'farm/burst/{device}',
    down_topic: undefined,
    timestamp: undefined,
    entities: [temperature]
  })
  await Promise.all(Array.from({ length: 200 }, (_, index) => send('farm/burst/b1', { t: [index] })))
  await until(async () => (await historyOf('b1', 'temperature')).length === 200, { what: '200 samples' })
  const values = (await historyOf('b1', 'temperature')).map(({ value }) => value)
  t.equal(new Set(values).size, 200)
  t.ok(
    (await historyOf('b1', 'temperature')).every(({ timestamp }) => /^\d{13}$/.test(timestamp)),
    'whole milliseconds on the wire'
  )
  t.match(await getTemplate(id), { device_count: 1, message_count: 200, sample_count: 200, refused_count: 0 })
})

await t.test('what cannot be read is counted and shown, and the next one is taken', async (t) => {
  const before = await getTemplate(soil)
  await send('farm/plot-3/state', '{"broken":')
  await send('farm/plot-3/state', Buffer.from([0xff, 0xfe]).toString('latin1'))
  await send('farm/plot-3/state', { ts: 'soon', t: [1] })
  await send('farm/a.b/state', { t: [1] })
  await send('farm/plot-3/state', { ts: base, t: [50] })
  await until(async () => (await historyOf('plot-3', 'temperature')).length === 1, { what: 'the good one' })
  await until(async () => (await getTemplate(soil)).refused_count === before.refused_count + 4, { what: 'the count' })
  t.match((await getTemplate(soil)).last_error, { topic: /^farm\//, reason: /./ })
})

await t.test('a device that nobody added is refused where the template makes none, and taken once added', async (t) => {
  const id = await addTemplate({
    name: 'Closed',
    topic: 'farm/closed/{device}',
    down_topic: undefined,
    auto_create: false,
    entities: [temperature]
  })
  await send('farm/closed/c1', { t: [1] })
  await until(async () => /nobody added/.test((await getTemplate(id)).last_error?.reason ?? ''), {
    what: 'the refusal'
  })
  const form = (key: string) => `mqtt-device.integration.add_device.${key}`
  const add = (device_id: string, template: string) =>
    admin.post<Failure>('/device', {
      name: 'C one',
      integration: 'mqtt-device',
      param_entities: { [form('device_id')]: device_id, [form('template')]: template }
    })
  t.match((await add('c1', '1')).body, {
    error_code: 'parameter_validation_failed',
    error_message: 'template names no template'
  })
  t.match((await add('c.1', id)).status, 400)
  t.equal((await add('c1', id)).status, 200)
  t.equal((await add('c1', id)).status, 409)
  await send('farm/closed/c1', { ts: base, t: [30] })
  await until(async () => (await historyOf('c1', 'temperature')).length === 1, { what: 'the value' })
})

await t.test('writes and calls go down to the topic of the device', async (t) => {
  const heard: { topic: string; payload: unknown }[] = []
  client.on('message', (topic, payload) => void heard.push({ topic, payload: JSON.parse(payload.toString()) }))
  await client.subscribeAsync('farm/+/set', { qos: 1 })
  const key = (name: string) => `mqtt-device.device.plot-1.${name}`
  const write = await admin.post('/entity/property/update', {
    exchange: { [key('valve')]: false, [key('temperature')]: 3 }
  })
  t.equal(write.status, 200, write.text)
  await until(() => heard.length === 1, { what: 'the write' })
  t.same(heard[0], { topic: 'farm/plot-1/set', payload: { valve: { state: 'off' } } })
  t.equal((await latestOf('plot-1', 'valve')).value, false)
  const call = await admin.post('/entity/service/call', { exchange: { [key('flush')]: { seconds: 30 } } })
  t.equal(call.status, 200, call.text)
  await until(() => heard.length === 2, { what: 'the call' })
  t.same(heard[1], { topic: 'farm/plot-1/set', payload: { flush: { for: 30 } } })
  t.equal((await admin.post('/entity/property/update', { exchange: { [key('temperature')]: 3 } })).status, 400)
})

await t.test('templates are refused with the field and the reason', async (t) => {
  const cases: [object, RegExp][] = [
    [{ topic: 'farm/state' }, /^topic needs \{device\}/],
    [{ topic: 'fleet/{device}/up' }, /^topic may not be one of the fleet/],
    [{ topic: 'farm/{device}/#' }, /^topic has a level/],
    [{ topic: '$x/{device}' }, /^topic may not begin/],
    [{ down_topic: 'farm/+/{device}' }, /^down_topic has a wildcard/],
    [{ down_topic: undefined }, /^down_topic is required/],
    [{ entities: [temperature, temperature] }, /^entities.1.identifier is there twice/],
    [{ entities: [{ ...temperature, pointer: 't' }] }, /^entities.0.pointer/],
    [{ entities: [{ ...temperature, factor: 0 }] }, /^entities.0.factor/],
    [{ entities: [{ ...temperature, value_type: 'OBJECT' }] }, /^entities.0.value_type/],
    [{ entities: [{ ...temperature, value_attribute: { min: 2, max: 1 } }] }, /max/],
    [{ entities: [valve, { ...valve, identifier: 'other', pointer: '/valve' }] }, /overlaps/],
    [{ entities: [] }, /^entities/],
    [{ name: ' ' }, /^name/],
    [{ timestamp: { pointer: '/ts', unit: 'h' } }, /^timestamp.unit must be one of ms, s, iso/],
    [{ name: { $gt: '' } }, /^name/]
  ]
  for (const [change, reason] of cases) {
    for (const place of [path, `${path}/validate`]) {
      const { status, body } = await admin.post<Failure>(place, { ...draft, name: 'Other', ...change })
      t.match([status, body.error_code], [400, 'parameter_validation_failed'], String(reason))
      t.match(body.error_message, reason)
    }
  }
  t.match((await admin.post<Failure>(path, draft)).status, 409)
  t.equal((await admin.post(`${path}/validate`, { ...draft, name: 'Other' })).status, 200)
  t.equal((await admin.get(`${path}/1`)).status, 404)
  t.equal((await admin.get(`${path}/x`)).status, 400)
})

await t.test(
  'a template is tried, replaced with its devices following, listed, and deleted when it has none',
  async (t) => {
    const trial = await admin.post<{ data: unknown }>(`${path}/${soil}/test`, {
      topic: 'farm/p9/state',
      test_data: JSON.stringify({ ts: 5, t: [9999], valve: { state: 'off' } })
    })
    t.match(trial.body.data, {
      device: 'p9',
      timestamp: '5000',
      entities: [
        { identifier: 'temperature', reason: /./ },
        { identifier: 'valve', value: false }
      ]
    })
    t.equal((await admin.post(`${path}/${soil}/test`, { test_data: '{' })).status, 400)
    const humidity = {
      ...temperature,
      identifier: 'humidity',
      name: 'Humidity',
      pointer: '/h',
      value_attribute: { max: 100 }
    }
    const bad = await admin.put<Failure>(`${path}/${soil}`, {
      ...draft,
      entities: [{ ...temperature, value_type: 'LONG' }]
    })
    t.match(bad.body.error_message, /cannot be changed/)
    const [seconds] = flush.children
    const child = { ...flush, children: [{ ...seconds, value_type: 'STRING' }] }
    const alsoBad = await admin.put<Failure>(`${path}/${soil}`, { ...draft, entities: [temperature, valve, child] })
    t.match(alsoBad.body.error_message, /^entities.2.children.0.value_type and type cannot be changed/)
    t.equal((await admin.put(`${path}/${soil}`, { ...draft, entities: [...draft.entities, humidity] })).status, 200)
    await send('farm/plot-1/state', { ts: base + 500, h: 400 })
    await until(async () => (await historyOf('plot-1', 'humidity'))[0]?.value === 40, { what: 'the new entity' })
    const found = dataOf<Page<Template>>(await admin.post(`${path}/search`, { name: 'soi' }))
    t.match(found, { total: 1, content: [{ id: soil, device_count: 3, name: 'Soil' }] })
    t.equal((await admin.post(`${path}/batch-delete`, { id_list: [soil] })).status, 400, 'it has devices')
    const spare = await addTemplate({ name: 'Spare' })
    t.equal((await admin.post(`${path}/batch-delete`, { id_list: [spare, '7'] })).status, 200)
    t.equal((await admin.get(`${path}/${spare}`)).status, 404)
  }
)

await t.test('what a template no longer names is not written, and stays of its type', async (t) => {
  const [a, b] = ['a', 'b'].map((name) => ({ identifier: name, name, type: 'PROPERTY', value_type: 'STRING' }))
  const kind = { name: 'Kind', topic: 'farm/kind/{device}', down_topic: 'farm/{device}/set', timestamp: undefined }
  const id = await addTemplate({ ...kind, entities: [a, b] })
  await send('farm/kind/k1', { a: 'abc', b: 'abc' })
  await until(async () => (await latestOf('k1', 'b')).value === 'abc', { what: 'the values' })
  t.equal((await admin.put(`${path}/${id}`, { ...draft, ...kind, entities: [b] })).status, 200)
  const key = (name: string) => `mqtt-device.device.k1.${name}`
  for (const exchange of [{ [key('a')]: 'new' }, { [key('b')]: 'new', [key('a')]: 'new' }]) {
    const reply = await admin.post<Failure>('/entity/property/update', { exchange })
    t.equal(reply.status, 400)
    t.match(reply.body.error_message, /template/)
  }
  t.match([await latestOf('k1', 'a'), await latestOf('k1', 'b')], [{ value: 'abc' }, { value: 'abc' }], 'none is kept')
  await send('farm/kind/k2', { b: 'abc' })
  await until(async () => (await latestOf('k2', 'b')).value === 'abc', { what: 'another device' })
  const both = { 'mqtt-device.device.k2.b': 'told', [key('a')]: 'new' }
  t.equal((await admin.post('/entity/property/update', { exchange: both })).status, 400)
  t.match(
    [await latestOf('k2', 'b'), await latestOf('k1', 'a')],
    [{ value: 'told' }, { value: 'abc' }],
    'as it was sent'
  )
  const long = await admin.post('/entity/property/update', { exchange: { [key('b')]: 'x'.repeat(950_000) } })
  t.match([long.status, (await latestOf('k1', 'b')).value], [400, 'abc'])
  const changed = [b, { ...a, value_type: 'LONG' }]
  t.equal((await admin.put(`${path}/${id}`, { ...draft, ...kind, entities: changed })).status, 200)
  t.match(await latestOf('k1', 'a'), { value: 'abc', value_type: 'STRING' })
})

await t.test('a batch of messages with very many values is not held as a whole', async (t) => {
  const open: number[] = []
  const fields = Array.from({ length: 200 }, (_, i) => `f${i}`)
  const template = {
    ...{ id: '1', tenantId: 't', name: 'T', topic: 'x/{device}', autoCreate: false, createdAt: 1, updatedAt: 1 },
    entities: fields.map((name) => ({ identifier: name, name, type: 'PROPERTY' as const, valueType: 'LONG' as const })),
    traffic: { messages: 0, samples: 0, refused: 0 }
  }
  const device = { id: '1', identifier: 'd', key: 'mqtt-device.device.d', template: '1' } as Device
  const onTopic = createOnTopic({
    templates: { all: async () => [template], addTraffic: async () => {} },
    devices: { findByKeys: async () => [{ device, isUnsettled: false }] },
    register: async () => device,
    settle: async () => {},
    checks: () => async (measured) => ({ taken: measured as never, refused: [] }),
    parts: () => {
      let count = 0
      return {
        add: async (samples) => {
          count += samples.length
        },
        end: async () => void open.push(count)
      }
    }
  })
  const payload = Buffer.from(JSON.stringify(Object.fromEntries(fields.map((name) => [name, 1]))))
  const client = { tenantId: 't', clientId: 'd', username: 'd' }
  const data: UplinkMessage = { ...client, channel: 'topic', topic: 'x/d', payload, receivedAt: 1 }
  await onTopic(Array.from({ length: 4000 }, (_, sequence) => ({ data, sequence }) as Delivered<UplinkMessage>))
  t.equal(
    open.reduce((sum, count) => sum + count, 0),
    800_000
  )
  t.ok(Math.max(...open) <= 150_000, 'told of in parts')
})

await t.test('each tenant has its own templates and hears its own devices', async (t) => {
  const other = api.as(keys.token({ tenantId: 't2' }))
  t.equal((await other.get(`${path}/${soil}`)).status, 404)
  t.equal((await other.put(`${path}/${soil}`, draft)).status, 404)
  t.equal((await other.post(path, draft)).status, 200, 'the same name in another tenant')
  await send('farm/plot-1/state', { ts: base + 600, t: [1] })
  await until(async () => (await latestOf('plot-1', 'temperature')).timestamp === String((base + 600) * 1000), {
    what: 'it'
  })
  t.same((await searchDevices(other)).content, [] as ListedDevice[])
  const stranger = api.as(keys.token({ userId: '5', codes: [] }))
  t.equal((await stranger.post(`${path}/search`, {})).status, 403)
})
