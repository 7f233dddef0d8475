import {
  connectBus,
  listGrants,
  listNames,
  listPublicKeys,
  type ResourceType,
  resourceDeleted,
  type Static
} from '@fleetgate/kit'
import { quietLog, type Session, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { startDevicesFor } from './support.js'
import {
  addEntity,
  addPing,
  dataOf,
  getDevice,
  type IntegrationDetail,
  type ListedEntity,
  searchDevices,
  searchEntities
} from './things.js'

type Resource = Static<typeof listGrants.reply>['resources'][number]

const parts = await startParts(t)
const guardKeys = testGuardKeys()
/** Answers for auth, by hand. */
const auth = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
t.teardown(() => auth.close())
const granted = new Map<string, Resource[]>()
await auth.serve(listPublicKeys, async () => ({ keys: guardKeys.keys }))
await auth.serve(listGrants, async ({ userId }) => ({ all: false, resources: granted.get(userId) ?? [], roleIds: [] }))
const gone: Resource[] = []
await auth.watch(resourceDeleted, { sinceMs: 60_000 }, ({ resource }) => void gone.push(resource))

const api = await startDevicesFor(t, parts, { HISTORY_DAYS: '0' })
const admin = api.as(guardKeys.token({ userId: '77' }))
const codes = [
  'device.view',
  'device.add',
  'device.edit',
  'device.delete',
  'integration.view',
  'dashboard.view',
  'dashboard.edit',
  'entity_custom.view',
  'entity_custom.add',
  'entity_custom.edit',
  'entity_custom.delete',
  'entity_data.view',
  'entity_data.edit',
  'entity_data.export'
]

/** A member with every function code, who sees what is given here. */
function member(userId: string, ...resources: [ResourceType, string][]): Session {
  granted.set(
    userId,
    resources.map(([type, id]) => ({ type, id }))
  )
  return api.as(guardKeys.token({ userId, codes }))
}

const one = await addPing(admin, 'one', '10.0.0.1')
const two = await addPing(admin, 'two', '10.0.0.2')
const [status, delay] = one.entities.map(({ id }) => id)
const hidden = two.entities[0]?.id ?? ''
await admin.post('/entity/ingest', {
  samples: [status, delay, hidden].map((entity_id) => ({ entity_id, value: 1, timestamp: 1000 }))
})

async function keysOf(session: Session, wish: object = {}): Promise<string[]> {
  return (await searchEntities(session, { page_size: 100, show_hidden: true, ...wish })).content.map(
    ({ entity_key }) => entity_key
  )
}

/** Every way to one entity, as far as it does not change it. */
async function readsOf(session: Session, id: string): Promise<number[]> {
  const replies = [
    await session.get(`/entity/${id}/meta`),
    await session.get(`/entity/${id}/status`),
    await session.get(`/entity/${id}/children`),
    await session.post('/entity/history/search', { entity_id: id }),
    await session.post('/entity/history/aggregate', {
      entity_id: id,
      aggregate_type: 'LAST',
      start_timestamp: 0,
      end_timestamp: 2000
    }),
    await session.get(`/entity/export?ids=${id}`)
  ]
  return replies.map((reply) => reply.status)
}

await t.test('shows nothing to whom nothing is granted', async (t) => {
  const nobody = member('1')
  t.same(dataOf(await nobody.post('/integration/search', {})), [])
  t.equal((await nobody.get('/integration/ping')).status, 404)
  t.same(await searchDevices(nobody), { page_size: 0, page_number: 1, total: 0, content: [] })
  t.equal((await nobody.get(`/device/${one.id}`)).status, 404)
  t.same(await keysOf(nobody), [])
  t.same(await readsOf(nobody, status ?? ''), Array(6).fill(404))
  const several = await nobody.post('/entity/history/search', { entity_ids: [status, hidden] })
  t.match(dataOf(several as never), { total: 0, content: [] })
  t.same(dataOf(await nobody.post('/entity/batch-get-status', { entity_ids: [status] })), {})
})

await t.test('an integration covers its devices and their entities', async (t) => {
  const owner = member('2', ['INTEGRATION', 'ping'])
  t.match(dataOf(await owner.post('/integration/search', {})), [{ id: 'ping', device_count: 2 }])
  t.equal(dataOf<IntegrationDetail>(await owner.get('/integration/ping')).integration_entities.length, 5)
  t.equal((await searchDevices(owner)).total, 2)
  t.equal((await keysOf(owner)).length, 9)
  t.same(await readsOf(owner, hidden), Array(6).fill(200))
})

await t.test('a device covers its entities and nothing else', async (t) => {
  const owner = member('3', ['DEVICE', one.id])
  t.same(dataOf(await owner.post('/integration/search', {})), [])
  t.same(
    (await searchDevices(owner)).content.map(({ id }) => id),
    [one.id]
  )
  t.equal((await getDevice(owner, one.id)).entities.length, 2)
  t.same((await keysOf(owner)).sort(), one.entities.map(({ key }) => key).sort())
  t.same(await keysOf(owner, { entity_ids: [hidden] }), [])
  t.same(await keysOf(owner, { entity_keys: [two.entities[0]?.key] }), [])
  t.same(await readsOf(owner, status ?? ''), Array(6).fill(200))
  t.same(await readsOf(owner, hidden), Array(6).fill(404))
  const both = await owner.post('/entity/history/search', { entity_ids: [status, hidden] })
  t.match(dataOf(both as never), { total: 1, content: [{ entity_id: status }] })
  t.same(Object.keys(dataOf(await owner.post('/entity/batch-get-status', { entity_ids: [status, hidden] }))), [status])
  const csv = (await owner.get(`/entity/export?ids=${status}&ids=${hidden}`)).text
  t.match(csv, one.entities[0]?.key)
  t.notMatch(csv, two.key)
})

await t.test('an entity stands for itself alone', async (t) => {
  const owner = member('4', ['ENTITY', status ?? ''])
  t.equal((await searchDevices(owner)).total, 0)
  t.equal((await owner.get(`/device/${one.id}`)).status, 404)
  t.same(await keysOf(owner), [one.entities[0]?.key])
  t.same(await readsOf(owner, status ?? ''), Array(6).fill(200))
  t.same(await readsOf(owner, delay ?? ''), Array(6).fill(404))
})

await t.test('changes nothing outside the reach', async (t) => {
  const owner = member('5', ['DEVICE', one.id])
  t.equal((await owner.put(`/device/${two.id}`, { name: 'stolen' })).status, 404)
  t.equal((await owner.put(`/entity/${hidden}`, { name: 'stolen' })).status, 404)
  t.equal((await owner.post('/device/batch-delete', { device_id_list: [two.id] })).status, 200, 'passed over')
  t.equal((await owner.post('/entity/delete', { entity_ids: [hidden] })).status, 200, 'passed over')
  const ingest = await owner.post('/entity/ingest', { samples: [{ entity_id: hidden, value: 9 }] })
  t.equal(ingest.status, 400)
  t.match(ingest.text, 'samples.0 names no entity')
  const add = { name: 'x', integration: 'ping', param_entities: { 'ping.integration.add_device.ip': '10.0.0.7' } }
  t.equal((await owner.post('/device', add)).status, 400, 'the integration is not granted')
  const exchange = { 'ping.integration.benchmark': {}, [two.entities[0]?.key ?? '']: 0 }
  t.equal((await owner.post('/entity/service/call', { exchange })).status, 400)
  t.equal((await owner.post('/entity/property/update', { exchange })).status, 400)
  t.match(await getDevice(admin, two.id), { name: 'two', entities: [{}, {}] })
  t.match(dataOf(await admin.get(`/entity/${hidden}/status`)), { value: '1' })
  t.equal((await searchDevices(admin)).total, 2)
})

await t.test('may do all with what is granted', async (t) => {
  const owner = member('6', ['INTEGRATION', 'ping'])
  const three = await addPing(owner, 'three', '10.0.0.3')
  t.equal((await owner.put(`/device/${three.id}`, { name: 'drei' })).status, 200)
  t.equal((await owner.put(`/entity/${three.entities[0]?.id}`, { name: 'Zustand' })).status, 200)
  const samples = [{ entity_id: three.entities[0]?.id, value: 1 }]
  t.same(dataOf(await owner.post('/entity/ingest', { samples })), { stored: 1, repeated: 0 })
  t.equal((await owner.post('/device/batch-delete', { device_id_list: [three.id] })).status, 200)
  t.equal((await searchDevices(admin)).total, 2)
})

await t.test('sees what it made itself, and everybody sees custom entities who may', async (t) => {
  const maker = member('7', ['INTEGRATION', 'ping'])
  const own = await addPing(maker, 'own', '10.0.0.8')
  const custom = await addEntity(maker, { identifier: 'shared' })
  granted.set('8', [])
  const later = api.as(guardKeys.token({ userId: '7', codes, tenantId: 't1' }))
  t.equal((await getDevice(later, own.id)).entities.length, 2)
  t.same(await keysOf(member('8')), ['system.integration.shared'])
  t.same(await readsOf(member('8'), custom), Array(6).fill(200))
  const withoutCode = api.as(guardKeys.token({ userId: '9', codes: ['entity_data.view'] }))
  granted.set('9', [])
  t.same(await keysOf(withoutCode), [], 'lists them for entity_custom.view alone')
  t.same(await keysOf(withoutCode, { customized: true }), [])
  await maker.post('/device/batch-delete', { device_id_list: [own.id] })
  await maker.post('/entity/delete', { entity_ids: [custom] })
})

await t.test('keeps what it made after the grant of its integration went', async (t) => {
  const made = await addPing(member('10', ['INTEGRATION', 'ping']), 'kept', '10.0.0.9')
  const second = await startDevicesFor(t, parts, { HISTORY_DAYS: '0' })
  granted.set('10', [])
  const later = second.as(guardKeys.token({ userId: '10', codes }))
  t.same(
    (await searchDevices(later)).content.map(({ id }) => id),
    [made.id]
  )
  t.same(
    (await searchEntities(later)).content.map((entity: ListedEntity) => entity.entity_key).sort(),
    made.entities.map(({ key }) => key).sort()
  )
})

await t.test('asks for the function code of each route of entities', async (t) => {
  const as = (...own: string[]) => api.as(guardKeys.token({ userId: '11', codes: own }))
  granted.set('11', [])
  const nobody = as('device.view')
  const routes: [string, string][] = [
    ['POST', '/entity/search'],
    ['GET', '/entity/1/children'],
    ['GET', '/entity/1/status'],
    ['POST', '/entity/batch-get-status'],
    ['POST', '/entity/history/search'],
    ['POST', '/entity/history/aggregate'],
    ['POST', '/entity/property/update'],
    ['POST', '/entity/service/call'],
    ['POST', '/entity/ingest'],
    ['POST', '/entity'],
    ['PUT', '/entity/1'],
    ['POST', '/entity/delete'],
    ['GET', '/entity/export?ids=1']
  ]
  for (const [method, path] of routes) {
    t.equal((await nobody.send(method, path)).status, 403, path)
    t.equal((await api.send(method, path)).status, 401, path)
  }
  t.equal((await nobody.get('/entity/1/meta')).status, 404, 'needs none')
  const editor = as('workflow.edit')
  for (const [method, path] of routes.slice(0, 8)) t.not((await editor.send(method, path)).status, 403, path)
})

await t.test('tells names of devices, integrations and entities to others', async (t) => {
  const ask = (question: object) =>
    auth.request(listNames, { tenantId: 'names', type: 'DEVICE', offset: 0, limit: 10, ...question })
  const namesOf = async (question: object) => (await ask(question)).items.map(({ name }) => name)
  const other = api.as(guardKeys.token({ tenantId: 'names', userId: '77' }))
  const a = await addPing(other, 'Alpha', '10.0.0.1')
  await addPing(other, 'Beta', '10.0.0.2')
  t.same(await namesOf({}), ['Beta', 'Alpha'])
  t.same(await namesOf({ ids: [a.id] }), ['Alpha'])
  t.same(await namesOf({ ids: [], parentIds: ['ping'] }), ['Beta', 'Alpha'])
  t.same(await namesOf({ exceptIds: [a.id] }), ['Beta'])
  t.same(await namesOf({ exceptIds: [], exceptParentIds: ['ping'] }), [])
  t.same(await namesOf({ keyword: 'ALPH' }), ['Alpha'])
  t.same(await namesOf({ keyword: 'pin' }), ['Beta', 'Alpha'], 'of the integration')
  t.same(await namesOf({ ids: [] }), [])
  t.match((await ask({ ids: [a.id] })).items[0], { parentId: 'ping', parentName: 'Ping', userId: '77' })

  const integrations = await ask({ type: 'INTEGRATION', ids: ['ping', 'nobody'] })
  t.match(integrations, {
    isKnown: true,
    total: 1,
    items: [{ id: 'ping', name: 'Ping', deviceCount: 2, entityCount: 9 }]
  })
  t.notOk((await namesOf({ type: 'INTEGRATION' })).includes('System'), 'hidden')
  t.notOk((await namesOf({ type: 'INTEGRATION', exceptIds: ['ping'] })).includes('Ping'))

  t.equal((await ask({ type: 'ENTITY', ids: [], parentIds: [a.id] })).total, 2)
  const [entity] = (await ask({ type: 'ENTITY', ids: [a.entities[0]?.id ?? ''] })).items
  t.match(entity, { name: 'Status', parentId: a.id, parentName: 'Alpha' })
  t.equal((await ask({ type: 'ENTITY', exceptParentIds: ['ping', 'mqtt-device'] })).total, 0)
  t.match(await ask({ type: 'WORKFLOW' }), { isKnown: true, total: 0 })
})

await t.test('says to others what was deleted', async (t) => {
  const device = await addPing(admin, 'told', '10.0.0.20')
  await admin.post('/device/batch-delete', { device_id_list: [device.id] })
  const ids = [device.id, ...device.entities.map(({ id }) => id)]
  await until(() => ids.every((id) => gone.some((resource) => resource.id === id)), { what: 'the events' })
  t.equal(gone.find(({ id }) => id === device.id)?.type, 'DEVICE')
  t.equal(gone.find(({ id }) => id === device.entities[0]?.id)?.type, 'ENTITY')
})
