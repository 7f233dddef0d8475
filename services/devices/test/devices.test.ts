import { type Caller, connectBus, listUserNames } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, type Session, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { createDeviceStore } from '../src/devices/deviceStore.js'
import { createRegister } from '../src/devices/register.js'
import { createSettling } from '../src/devices/settle.js'
import { createEntityStore } from '../src/entities/entityStore.js'
import { wholeReach } from '../src/grants/reach.js'
import type { IntegrationTools } from '../src/integrations/manifest.js'
import { createHandlers } from '../src/integrations/ping/handlers.js'
import { blueprintOf } from '../src/templates/blueprint.js'
import { createTemplateStore } from '../src/templates/templateStore.js'
import { createTemplates } from '../src/templates/templates.js'
import { type Failure, serveKeys, startDevicesFor } from './support.js'
import {
  addPing,
  dataOf,
  getDevice,
  type IntegrationDetail,
  type Page,
  searchDevices,
  searchEntities
} from './things.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const api = await startDevicesFor(t, parts)

/** The super admin of a tenant of their own. */
function tenant(tenantId: string): Session {
  return api.as(guardKeys.token({ tenantId, userId: '77' }))
}

await t.test('lists the integrations that people see, and tells one with its form', async (t) => {
  const session = tenant('integrations')
  const all = dataOf<Record<string, unknown>[]>(await session.post('/integration/search', {}))
  const ids = all.map(({ id }) => id)
  t.ok(ids.includes('ping'))
  t.notOk(ids.includes('system'), 'hidden')
  const ping = all.find(({ id }) => id === 'ping')
  t.match(ping, {
    name: 'Ping',
    add_device_service_key: 'ping.integration.add_device',
    entity_count: 5,
    entityCount: 5
  })
  t.notOk(ping && 'device_count' in ping, 'counts of zero are left out')
  t.match(dataOf(await session.post('/integration/search', { device_addable: false })), [{ id: 'fleet' }])
  t.equal(
    dataOf<unknown[]>(await session.post('/integration/search', { device_deletable: true })).length,
    all.length - 1
  )

  t.equal(ping?.icon, 'public/ping-logo.svg')
  const picture = await api.get('/public/ping-logo.svg')
  t.match([picture.status, picture.text], [200, /^<svg /], 'which anybody may look at')
  for (const file of ['system-logo.svg', 'nobody-logo.svg']) t.equal((await api.get(`/public/${file}`)).status, 404)

  const detail = dataOf<IntegrationDetail>(await session.get('/integration/ping'))
  t.match(detail, { id: 'ping', delete_device_service_key: 'ping.integration.delete_device' })
  t.same(
    detail.integration_entities.filter(({ parent }) => parent === 'ping.integration.add_device').map(({ key }) => key),
    ['ping.integration.add_device.ip'],
    'the form, though it is hidden elsewhere'
  )
  t.match(detail.integration_entities[0]?.id, /^\d{10,19}$/)
  t.equal((await session.get('/integration/nobody')).status, 404)
  const again = dataOf<IntegrationDetail>(await session.get('/integration/ping'))
  t.same(again, detail, 'made once')
})

await t.test('adds a device with its entities, and finds it', async (t) => {
  const session = tenant('add')
  t.same(await searchDevices(session), { page_size: 0, page_number: 1, total: 0, content: [] })
  const made = await session.post('/device', {
    name: 'Door',
    integration: 'ping',
    param_entities: { 'ping.integration.add_device.ip': '10.0.0.1', 'other.key': 5 }
  })
  t.match(made.body, { status: 'Success' })
  t.notOk('data' in (made.body as object), 'no id, as in the real system')
  await addPing(session, 'Window', '10.0.0.2')
  const { content, total } = await searchDevices(session)
  t.equal(total, 2)
  t.same(
    content.map(({ name }) => name),
    ['Window', 'Door'],
    'newest first'
  )
  t.match(content[1], {
    id: /^\d{10,19}$/,
    key: 'ping.device.10_0_0_1',
    integration: 'ping',
    integration_name: 'Ping',
    identifier: '10_0_0_1',
    additional_data: { ip: '10.0.0.1' },
    deletable: true,
    created_at: Number
  })
  t.equal((await searchDevices(session, { name: 'DOO' })).total, 1, 'contains, in any case')
  t.equal((await searchDevices(session, { name: '.*' })).total, 0, 'text, not a pattern')
  t.match(await searchDevices(session, { page_number: 2, page_size: 1 }), { total: 2, content: [{ name: 'Door' }] })
  const door = await getDevice(session, content[1]?.id ?? '')
  t.same(
    door.entities.map(({ key }) => key),
    ['ping.device.10_0_0_1.status', 'ping.device.10_0_0_1.delay']
  )
  t.match(door.entities[0], { value_attribute: { enum: { 0: 'ONLINE' } }, value_type: 'LONG' })
})

await t.test('tells who added a device, where auth knows', async (t) => {
  const session = tenant('makers')
  const { id } = await addPing(session, 'Gate', '10.9.9.9')
  t.match(await getDevice(session, id), { user_id: '77', user_nickname: undefined }, 'while auth does not answer')
  const auth = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
  t.teardown(() => auth.close())
  const answering = await auth.serve(listUserNames, async ({ ids }) => ({
    users: ids.map((one) => ({ id: one, nickname: `n${one}`, email: 'n@x.org', isDeleted: false }))
  }))
  t.teardown(() => answering.stop())
  const maker = { user_nickname: 'n77', user_email: 'n@x.org', user_deleted: false }
  t.match(await getDevice(session, id), maker)
  t.match((await searchDevices(session)).content, [maker])
})

await t.test('refuses a device that its integration does not take, and keeps nothing of it', async (t) => {
  const session = tenant('refuse')
  const add = (body: object) => session.post<Failure>('/device', { name: 'x', integration: 'ping', ...body })
  const ip = (value: unknown) => ({ param_entities: { 'ping.integration.add_device.ip': value } })
  const bad: [object, RegExp][] = [
    [{ integration: 'nobody', ...ip('10.0.0.1') }, /no such integration/],
    [{ integration: 'system', ...ip('10.0.0.1') }, /takes no devices/],
    [{}, /add_device.ip is required/],
    [ip(null), /is required/],
    [ip({ $gt: '' }), /is no STRING/],
    [ip('nonsense'), /ip is not an IP address/],
    [ip('1'), /shorter than 2/],
    [{ name: '', ...ip('10.0.0.1') }, /name/],
    [{ name: 'n'.repeat(65), ...ip('10.0.0.1') }, /name/],
    [{ name: { $gt: '' }, ...ip('10.0.0.1') }, /name/],
    [{ param_entities: [] }, /param_entities/]
  ]
  for (const [body, reason] of bad) {
    const reply = await add(body)
    t.equal(reply.status, 400, JSON.stringify(body))
    t.match(reply.body.error_message, reason)
  }
  t.equal((await searchDevices(session)).total, 0)
  t.equal(
    (await session.post<Failure>('/device', { integration: 'nobody', name: 'x' })).body.error_code,
    'data_no_found'
  )
})

await t.test('takes each device once, also of ten at once', async (t) => {
  const session = tenant('once')
  const body = { name: 'same', integration: 'ping', param_entities: { 'ping.integration.add_device.ip': '10.0.0.9' } }
  const replies = await Promise.all(Array.from({ length: 10 }, () => session.post('/device', body)))
  t.same(replies.map(({ status }) => status).sort(), [200, ...Array(9).fill(409)])
  t.equal((await searchEntities(session, { keyword: '10_0_0_9' })).total, 2)
})

await t.test('refuses an address that no key can hold', async (t) => {
  const session = tenant('zone')
  const form = { 'ping.integration.add_device.ip': 'fe80::1%eth0' }
  const reply = await session.post<Failure>('/device', { name: 'zone', integration: 'ping', param_entities: form })
  t.equal(reply.status, 400)
  t.match(reply.body.error_message, /identifier/)
  t.equal((await searchDevices(session)).total, 0)
})

await t.test('renames a device, and its entities know it', async (t) => {
  const session = tenant('rename')
  const device = await addPing(session, 'Before', '10.0.0.1')
  t.match((await session.put(`/device/${device.id}`, { name: 'After' })).body, { status: 'Success' })
  t.equal((await getDevice(session, device.id)).name, 'After')
  t.match(await searchEntities(session, { keyword: 'after' }), { total: 2, content: [{ device_name: 'After' }] })
  t.equal((await session.put('/device/123', { name: 'x' })).status, 404)
  t.equal((await session.put(`/device/${device.id}`, { name: ' ' })).status, 400)
})

await t.test('what happens to a device while others are at it is not lost on its entities', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'settling', log: quietLog })
  t.teardown(() => store.close())
  const bus = await connectBus({ name: 'settling', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  let clock = Date.now()
  const own = { store, bus, log: quietLog, now: () => clock }
  const [devices, entities, templates] = [createDeviceStore(own), createEntityStore(own), createTemplateStore(own)]
  await store.sync()
  const registry = { find: () => undefined }
  const { settle, sweep } = createSettling({ ...own, devices, entities, registry })
  const entity = (identifier: string) => {
    return { identifier, name: identifier, type: 'PROPERTY' as const, valueType: 'STRING' as const }
  }
  const traffic = { messages: 0, samples: 0, refused: 0 }
  const now = {
    id: '1',
    tenantId: 't',
    name: 'T',
    topic: '{device}',
    autoCreate: true,
    createdAt: 1,
    updatedAt: 2,
    traffic
  }
  await templates.insert({ ...now, entities: [entity('a'), entity('b')] })
  const register = createRegister({ ...own, store: devices, templates, settle })
  const owner = { tenantId: 't', userId: '1', name: 'New', integration: 'mqtt-device' }
  const { id } = await register(owner, blueprintOf({ id: '1', entities: [entity('a')] }, 'd'))
  const found = () => entities.listOf('t', { deviceId: id })
  t.same(
    (await found()).map(({ key }) => key.at(-1)),
    ['a', 'b'],
    'it has what its template got meanwhile'
  )

  const late = register({ ...owner, name: 'late' }, blueprintOf({ id: '404', entities: [entity('a')] }, 'late'))
  await t.rejects(late, { code: 'invalid_state' })
  t.same(await devices.findByKeys('t', ['mqtt-device.device.late']), [], 'whose template is gone goes as well')
  const counts = [0, 1]
  const seen = { ...devices, countOfTemplate: async () => counts.shift() ?? 1 }
  const removing = createTemplates({ ...own, store: templates, devices: seen, settle, reachOf: async () => wholeReach })
  await t.rejects(removing.remove(['1'], { tenantId: 't' } as Caller), { code: 'invalid_state' })
  t.match(
    await templates.find('t', '1'),
    { name: 'T', entities: { length: 2 } },
    'nor goes a template that got a device'
  )

  const overtaken = createSettling({
    ...own,
    devices,
    registry,
    entities: {
      ...entities,
      async renameDevice(tenantId, deviceId, name) {
        await devices.rename('t', id, 'Newest')
        await settle(id)
        await entities.renameDevice(tenantId, deviceId, name)
      }
    }
  })
  await devices.rename('t', id, 'Newer')
  await overtaken.settle(id)
  const spare = (n: number) => ({ id: `9${n}`, tenantId: 't', key: `i.device.${n}`, identifier: `${n}`, name: 'S' })
  const rest = { integration: 'i', additionalData: {}, userId: '1', createdAt: clock, updatedAt: clock }
  await devices.insertMany(
    Array.from({ length: 250 }, (_, n) => ({ ...spare(n), ...rest })),
    [entity('a')]
  )
  clock += 60_000
  await sweep()
  t.same(await devices.listUnsettled(clock - 10_000, 1), [], 'one sweep finishes all that was left')
  t.ok(
    (await found()).every(({ deviceName }) => deviceName === 'Newest'),
    'nor is a name that came later'
  )
})

await t.test('deletes devices with their entities and history, and passes over unknown ids', async (t) => {
  const session = tenant('delete')
  const [one, two] = [await addPing(session, 'one', '10.0.0.1'), await addPing(session, 'two', '10.0.0.2')]
  const [status] = one.entities
  const sample = { entity_id: status?.id, value: 1, timestamp: 1000 }
  dataOf(await session.post('/entity/ingest', { samples: [sample] }))
  const gone = await session.post('/device/batch-delete', { device_id_list: [one.id, '999', one.id] })
  t.match(gone.body, { status: 'Success' })
  t.same(
    (await searchDevices(session)).content.map(({ id }) => id),
    [two.id]
  )
  t.equal((await session.get(`/device/${one.id}`)).status, 404)
  t.equal((await session.get(`/entity/${status?.id}/meta`)).status, 404)
  t.equal((await searchEntities(session, { keyword: '10_0_0_1' })).total, 0)
  t.equal((await session.post('/entity/history/search', { entity_id: status?.id })).status, 404)
  const back = await addPing(session, 'one', '10.0.0.1')
  t.not(back.id, one.id, 'the place is free again')
  t.equal(back.entities.length, 2)
  t.notOk(back.entities.some(({ id }) => id === status?.id))
})

await t.test('shows and changes nothing of another tenant', async (t) => {
  const [owner, other] = [tenant('mine'), tenant('yours')]
  const device = await addPing(owner, 'private', '10.0.0.1')
  const entity = device.entities[0]?.id
  t.equal((await searchDevices(other)).total, 0)
  t.equal((await searchDevices(other, { id_list: [device.id] })).total, 0)
  t.equal((await searchEntities(other, { entity_ids: [entity] })).total, 0)
  for (const path of [`/device/${device.id}`, `/entity/${entity}/meta`, `/entity/${entity}/status`]) {
    t.equal((await other.get(path)).status, 404, path)
  }
  t.equal((await other.get(`/entity/${entity}/children`)).status, 404)
  t.equal((await other.put(`/device/${device.id}`, { name: 'stolen' })).status, 404)
  t.equal((await other.put(`/entity/${entity}`, { name: 'stolen' })).status, 404)
  await other.post('/device/batch-delete', { device_id_list: [device.id] })
  await other.post('/entity/delete', { entity_ids: [entity] })
  t.equal((await getDevice(owner, device.id)).name, 'private')
})

await t.test('refuses malformed ids and paging', async (t) => {
  const session = tenant('hostile')
  for (const id of ['abc', '-1', '%7B%22$gt%22:%22%22%7D', '1'.repeat(20)]) {
    t.equal((await session.get(`/device/${id}`)).status, 400, id)
    t.equal((await session.put(`/device/${id}`, { name: 'a' })).status, 400, id)
  }
  for (const body of [{ page_number: 0 }, { page_size: 'x' }, { name: { $gt: '' } }, { id_list: [{ $gt: '' }] }]) {
    t.equal((await session.post('/device/search', body)).status, 400, JSON.stringify(body))
  }
  for (const device_id_list of [undefined, 'all', [null], [{ $gt: '' }], Array(1001).fill('1')]) {
    t.equal((await session.post('/device/batch-delete', { device_id_list })).status, 400)
  }
})

await t.test('asks for the function code of each operation', async (t) => {
  const as = (...codes: string[]) => api.as(guardKeys.token({ codes, tenantId: 'codes' }))
  const nobody = as('dashboard.add')
  t.equal((await nobody.post('/device', {})).status, 403)
  t.equal((await nobody.post('/device/search', {})).status, 403)
  t.equal((await nobody.get('/device/1')).status, 403)
  t.equal((await nobody.put('/device/1', {})).status, 403)
  t.equal((await nobody.post('/device/batch-delete', {})).status, 403)
  t.equal((await nobody.post('/integration/search', {})).status, 403)
  t.equal((await nobody.get('/integration/ping')).status, 403)
  t.equal((await as('device.add').post('/integration/search', {})).status, 200)
  t.equal((await as('device.view').post('/device/search', {})).status, 200)
  t.equal((await as('device.edit').put('/device/1', { name: 'x' })).status, 404)
  t.equal((await as('device.delete').post('/device/batch-delete', { device_id_list: [] })).status, 200)
  t.equal((await api.post('/device/search', {})).status, 401)
})

await t.test('asks the machines of ping, and keeps what they answered', async (t) => {
  const session = tenant('ping')
  const device = await addPing(session, 'here', '127.0.0.1')
  const answer = dataOf(await session.post('/entity/service/call', { exchange: { 'ping.integration.benchmark': {} } }))
  t.same(answer, { asked: 1, reached: 1 })
  const key = 'ping.integration.detect_status'
  const [{ entity_id } = { entity_id: '' }] = (await searchEntities(session, { entity_keys: [key] })).content
  t.match(dataOf(await session.get(`/entity/${entity_id}/meta`)), {
    ...{ type: 'PROPERTY', access_mod: 'R' },
    value_attribute: { enum: { 0: 'STANDBY', 1: 'DETECTING' } }
  })
  const told = dataOf<Page<{ value: string }>>(await session.post('/entity/history/search', { entity_id })).content
  t.same(
    told.map(({ value }) => value),
    ['0', '1'],
    'newest first: it detected, and is done'
  )
  const lists: string[] = []
  const tools = {
    async *listDevices(tenantId: string) {
      lists.push(tenantId)
      yield { id: '1', identifier: 'a', name: 'a', additionalData: { ip: '127.0.0.1' } }
    },
    during: (_tenantId: string, _state: object, work: () => Promise<object>) => work(),
    report: async () => {}
  } as unknown as IntegrationTools
  const { call } = createHandlers(tools)
  const question = { tenantId: 'ping', service: 'benchmark', params: {} }
  const answers = await Promise.all(Array.from({ length: 20 }, () => call?.(question)))
  t.same(
    [answers, lists],
    [Array(20).fill({ asked: 1, reached: 1 }), ['ping']],
    'they are asked once for all who want it'
  )
  const [status] = device.entities
  await until(async () => dataOf<{ value?: string }>(await session.get(`/entity/${status?.id}/status`)).value === '0', {
    what: 'the status'
  })
})
