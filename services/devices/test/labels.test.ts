import { connectBus, listGrants, listPublicKeys } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, type Session, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { createLabelStore } from '../src/labels/labelStore.js'
import { createLabelSweep } from '../src/labels/labels.js'
import { infoOf } from '../src/templates/brokerInfo.js'
import { type Failure, startDevicesFor } from './support.js'
import { addEntity, searchDevices, searchEntities } from './things.js'

/** Groups of devices, tags of entities, and searches by them. */
const parts = await startParts(t)
const keys = testGuardKeys()
const auth = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
t.teardown(() => auth.close())
const granted = new Map<string, { id: string; type: 'DEVICE' | 'ENTITY' }[]>()
await auth.serve(listPublicKeys, async () => ({ keys: keys.keys }))
await auth.serve(listGrants, async ({ userId }) => ({
  all: false,
  resources: granted.get(userId) ?? [],
  roleIds: ['r']
}))
const api = await startDevicesFor(t, parts, { SWEEP_MS: '200' })
const admin = api.as(keys.token({ userId: '7' }))
const stranger = api.as(keys.token({ tenantId: 't2' }))
const codes = ['device.view', 'device.edit', 'entity_custom.view', 'entity_data.view', 'entity_data.edit']

interface Label {
  id: string
  name: string
  device_count?: number
  tagged_entities_count?: number
}
const ask = async <T>(session: Session, path: string, body: object = {}): Promise<T> => {
  const reply = await session.post<{ data: T }>(path, body)
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data
}
const groupsOf = async (session = admin, wish: object = { with_device_count: true }) =>
  (await ask<{ content: Label[] }>(session, '/device-group/search', wish)).content
const tagsOf = async (session = admin, wish: object = {}) =>
  (await ask<{ content: Label[] }>(session, '/entity/tags/search', wish)).content
const number = async (path: string) => (await admin.get<{ data: { number: number } }>(path)).body.data.number

const ips = ['127.0.0.1', '127.0.0.2', '127.0.0.3']
for (const ip of ips) {
  await ask(admin, '/device', {
    name: `D${ip.at(-1)}`,
    integration: 'ping',
    param_entities: { 'ping.integration.add_device.ip': ip }
  })
}
const found = (await searchDevices(admin)).content
const [one, two, three] = ['D1', 'D2', 'D3'].map((name) => found.find((device) => device.name === name)?.id) as [
  string,
  string,
  string
]
granted.set('8', [{ id: one, type: 'DEVICE' }])
const limited = api.as(keys.token({ userId: '8', isSuperAdmin: false, codes }))

await t.test('a device is added into a group by its name, and searched by group and template', async (t) => {
  const session = api.as(keys.token({ tenantId: 'named' }))
  const draft = (name: string, ip: string, group_name?: string | null) => ({
    ...{ name, integration: 'ping', group_name },
    param_entities: { 'ping.integration.add_device.ip': ip }
  })
  const all = await Promise.all(
    ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((ip) => session.post('/device', draft(ip, ip, ' Roof ')))
  )
  t.same(
    all.map(({ status }) => status),
    [200, 200, 200]
  )
  t.match(await groupsOf(session), [{ name: 'Roof', device_count: 3 }], 'made once')
  t.equal((await session.post('/device', draft('again', '10.0.0.1', 'Cellar'))).status, 409)
  t.equal((await session.post('/device', draft('bad', 'nonsense', 'Cellar'))).status, 400)
  t.equal((await session.post('/device', draft('bad', '10.0.0.5', 'n'.repeat(128)))).status, 400)
  t.equal((await groupsOf(session)).length, 1, 'what is refused makes no group')
  for (const [index, group_name] of [undefined, null, ' '].entries()) {
    await ask(session, '/device', draft('alone', `10.0.1.${index}`, group_name))
  }
  const namesOf = async (wish: object) => (await searchDevices(session, wish)).content.map(({ name }) => name).sort()
  t.match((await searchDevices(session, { name: '10.0.0.1' })).content, [{ group_name: 'Roof' }])
  t.same(await namesOf({ filter_not_grouped: true }), ['alone', 'alone', 'alone'])
  t.equal((await namesOf({ filter_not_grouped: false })).length, 6)
  const [{ id: roof } = { id: '' }] = await groupsOf(session)
  t.same(await namesOf({ filter_not_grouped: true, group_id: roof }), [])

  const entities = [{ identifier: 'a', name: 'A', type: 'PROPERTY', access_mod: 'R', value_type: 'LONG' }]
  const template = { name: 'T', topic: 't/{device}', entities }
  const { id } = await ask<Label>(session, '/mqtt-device/device-template', template)
  const form = 'mqtt-device.integration.add_device'
  const param_entities = { [`${form}.device_id`]: 'd1', [`${form}.template`]: id }
  await ask(session, '/device', { name: 'templated', integration: 'mqtt-device', param_entities })
  t.same(await namesOf({ template: id }), ['templated'])
  t.same(await namesOf({ template: 'another' }), [])
  t.equal((await namesOf({ template: '' })).length, 7)
  t.equal((await session.post('/device/search', { template: { $gt: '' } })).status, 400)
})

await t.test('groups of devices are made, renamed, counted and deleted', async (t) => {
  t.same(await groupsOf(), [])
  const { id: shops } = await ask<Label>(admin, '/device-group', { name: 'Shops' })
  const { id: depots } = await ask<Label>(admin, '/device-group', { name: 'Depots' })
  const taken = await admin.post<Failure>('/device-group', { name: 'Shops' })
  t.match([taken.status, taken.body.error_code], [409, 'device_group_name_exists'])
  t.equal(await number('/device-group/number'), 2)
  await ask(admin, '/device/move-to-group', { group_id: shops, device_id_list: [one, two, '404'] })
  t.match(await groupsOf(), [
    { id: depots, name: 'Depots', device_count: 0 },
    { id: shops, name: 'Shops', device_count: 2 }
  ])
  t.match(await groupsOf(limited), [{}, { device_count: 1 }], 'each counts what they may see')
  t.match(await groupsOf(admin, { name: 'shop' }), [{ id: shops }])
  t.notOk('device_count' in ((await groupsOf(admin, {}))[0] ?? {}))
  t.match((await searchDevices(admin, { group_id: shops })).content.map(({ name }) => name).sort(), ['D1', 'D2'])
  t.match((await searchDevices(admin, { id_list: [one] })).content, [{ group_id: shops, group_name: 'Shops' }])
  t.match((await admin.get(`/device/${one}`)).body, { data: { group_name: 'Shops' } })

  await t.test('a device is in one group at most, and moves only where its caller reaches it', async (t) => {
    await ask(admin, '/device/move-to-group', { group_id: depots, device_id_list: [one] })
    await ask(limited, '/device/move-to-group', { group_id: depots, device_id_list: [one, two] })
    t.match(await groupsOf(), [{ device_count: 1 }, { device_count: 1 }])
    await ask(admin, '/device/move-to-group', { group_id: null, device_id_list: [one] })
    t.match(await groupsOf(), [{ device_count: 0 }, { device_count: 1 }])
    const nowhere = await admin.post<Failure>('/device/move-to-group', { group_id: '404', device_id_list: [one] })
    t.equal(nowhere.status, 400)
    t.match(nowhere.body.error_message, /group_id/)
    const foreign = await stranger.post('/device/move-to-group', { group_id: shops, device_id_list: [one] })
    t.equal(foreign.status, 400, 'nor into the group of another tenant')
  })

  t.equal((await admin.put(`/device-group/${depots}`, { name: 'Stores' })).status, 200)
  const again = await admin.put(`/device-group/${depots}`, { name: 'Shops' })
  t.match(again, { status: 409, body: { error_code: 'device_group_name_exists' } })
  const stolen = await stranger.put(`/device-group/${depots}`, { name: 'Stolen' })
  t.match(stolen, { status: 404, body: { error_code: 'device_group_not_found' } })
  await stranger.delete(`/device-group/${shops}`)
  t.equal((await admin.delete(`/device-group/${shops}`)).status, 200)
  t.match(await groupsOf(), [{ id: depots, name: 'Stores' }])
  t.notOk((await searchDevices(admin, { id_list: [two] })).content[0]?.group_name, 'its devices stay, in none')
})

await t.test('there are at most 50 groups', async (t) => {
  for (let i = 0; (await number('/device-group/number')) < 50; i++) await ask(admin, '/device-group', { name: `G${i}` })
  t.match((await admin.post<Failure>('/device-group', { name: 'one more' })).body.error_message, /50/)
})

await t.test('groups and tags are asked for by their function codes', async (t) => {
  const viewer = api.as(keys.token({ userId: '8', isSuperAdmin: false, codes: ['device.view', 'entity_data.view'] }))
  t.equal((await viewer.post('/device-group/search', {})).status, 200)
  t.equal((await viewer.post('/device-group', { name: 'x' })).status, 403)
  t.equal((await viewer.post('/entity/tags/search', {})).status, 200)
  t.equal((await viewer.post('/entity/tags', { name: 'x' })).status, 403)
  t.equal((await viewer.post('/device/move-to-group', { device_id_list: [] })).status, 403)
  t.equal((await viewer.post('/entity/tags/mapping', { operation: 'ADD', entity_ids: [] })).status, 403)
})

await t.test('tags are put on entities and taken off', async (t) => {
  const [a, b] = [await addEntity(admin, { identifier: 'ta' }), await addEntity(admin, { identifier: 'tb' })]
  const red = (await ask<Label>(admin, '/entity/tags', { name: 'red', description: 'hot', color: '#f00' })).id
  const blue = (await ask<Label>(admin, '/entity/tags', { name: 'blue' })).id
  t.equal(await number('/entity/tags/number'), 2)
  t.equal((await admin.post('/entity/tags', { name: 'red' })).status, 409)
  const map = (operation: string, entity_ids: string[], added_tag_ids: string[] = [], removed_tag_ids: string[] = []) =>
    admin.post<Failure>('/entity/tags/mapping', { operation, entity_ids, added_tag_ids, removed_tag_ids })
  const tags = async (id: string) => {
    const [entity] = (await searchEntities(admin, { entity_ids: [id] })).content as { entity_tags?: Label[] }[]
    return (entity?.entity_tags ?? []).map(({ name }) => name)
  }
  t.equal((await map('ADD', [a, b, '404'], [red])).status, 200)
  t.same([await tags(a), await tags(b)], [['red'], ['red']])
  t.match(await tagsOf(), [
    { name: 'blue', tagged_entities_count: 0 },
    { name: 'red', tagged_entities_count: 2 }
  ])
  await map('REPLACE', [a], [blue], [red])
  await map('REPLACE', [b], [blue], [blue])
  t.same([await tags(a), await tags(b)], [['blue'], ['red']], 'where it was not, nothing takes its place')
  await map('OVERWRITE', [a, b], [red, blue])
  t.same(await tags(b), ['red', 'blue'])
  await map('REMOVE', [b], [], [red])
  t.same(await tags(b), ['blue'])
  await Promise.all([map('ADD', [b], [red]), map('REMOVE', [b], [], [blue])])
  t.same(await tags(b), ['red'], 'of two changes at once none is lost')
  await map('OVERWRITE', [b], [blue])
  t.equal((await map('ADD', [a], ['404'])).status, 400)
  t.equal(
    (await stranger.post('/entity/tags/mapping', { operation: 'ADD', entity_ids: [a], added_tag_ids: [red] })).status,
    400
  )

  await t.test('at most ten, and then nothing changes', async (t) => {
    const more = await Promise.all(
      Array.from({ length: 10 }, (_, i) => ask<Label>(admin, '/entity/tags', { name: `n${i}` }))
    )
    t.equal(
      (
        await map(
          'ADD',
          [b],
          more.slice(0, 9).map(({ id }) => id)
        )
      ).status,
      200
    )
    const tooMany = await map(
      'ADD',
      [a, b],
      more.slice(9).map(({ id }) => id)
    )
    t.match(tooMany.body, { error_message: /10 tags/ })
    t.same(await tags(a), ['red', 'blue'])
  })

  t.equal((await admin.put(`/entity/tags/${red}`, { name: 'crimson', color: '#a00' })).status, 200)
  t.same(await tags(a), ['crimson', 'blue'])
  t.equal((await stranger.put(`/entity/tags/${red}`, { name: 'x' })).status, 404)

  await t.test('whose a tag is, nobody says in its body', async (t) => {
    const claim = { id: '1', tenantId: 't2', userId: '9', createdAt: 1 }
    const mine = await ask<Label>(admin, '/entity/tags', { name: 'mine', ...claim })
    t.equal((await admin.put(`/entity/tags/${mine.id}`, { name: 'still mine', ...claim })).status, 200)
    t.match(await tagsOf(admin, { keyword: 'still mine' }), [{ id: mine.id, created_at: Number }])
    t.same(await tagsOf(stranger), [], 'none is with another tenant')
    await ask(admin, '/entity/tags/delete', { ids: [mine.id] })
  })

  await ask(stranger, '/entity/tags/delete', { ids: [red] })
  await ask(admin, '/entity/tags/delete', { ids: [blue, '404'] })
  t.same(await tags(a), ['crimson'])
})

await t.test('what is put on a thing while it goes is taken off again', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_devices', log: quietLog })
  t.teardown(() => store.close())
  const [devices, entities] = ['devices', 'entities'].map((name) => store.connection.collection<{ _id: string }>(name))
  const [{ id: group }] = (await groupsOf()) as [Label]
  const { id: tag } = await ask<Label>(admin, '/entity/tags', { name: 'fleeting' })
  const entity = await addEntity(admin)
  await ask(admin, `/entity/tags/delete`, { ids: [tag] })
  t.equal((await admin.delete(`/device-group/${group}`)).status, 200)
  // As whoever found them there a moment ago writes now.
  await devices?.updateOne({ _id: one }, { $set: { groupId: group } })
  await entities?.updateOne({ _id: entity }, { $set: { tagIds: [tag] } })
  const left = async () =>
    ((await devices?.countDocuments({ groupId: group })) ?? 1) +
    ((await entities?.countDocuments({ tagIds: tag })) ?? 1)
  await until(async () => (await left()) === 0, { what: 'both to be taken off' })
  t.equal((await ask<Label>(admin, '/entity/tags', { name: 'fleeting' })).name, undefined, 'the name is free')

  const labels = createLabelStore(store, 'entityTags')
  t.match(
    (await labels.listRemoved()).find(({ id }) => id === tag),
    { tenantId: 't1' }
  )
  const later = () => Date.now() + 61_000
  await createLabelSweep({ store: labels, takeOff: async () => undefined, now: later })()
  t.same(await labels.listRemoved(), [], 'a minute later nothing is left')
})

await t.test('entities are found by conditions on many columns', async (t) => {
  const group = (await groupsOf()).at(-1) as Label
  await ask(admin, '/device/move-to-group', { group_id: group.id, device_id_list: [three] })
  const parent = { identifier: 'box', name: 'The Box', value_type: 'OBJECT' }
  await addEntity(admin, parent)
  await addEntity(admin, { identifier: 'lid', name: 'Lid', parent_identifier: 'box' })
  const search = async (entity_filter: object, session = admin) => {
    const page = await ask<{ content: { entity_key: string }[]; total: number }>(session, '/entity/advanced-search', {
      entity_filter,
      page_size: 100
    })
    return page.content.map(({ entity_key }) => entity_key)
  }
  const all = await search({})
  const having = (part: string) => all.filter((key) => key.includes(part))
  for (const [filter, keysFound] of [
    [{ ENTITY_KEY: { operator: 'CONTAINS', values: ['INTEGRATION.T'] } }, having('.integration.t')],
    [{ KEY: { operator: 'START_WITH', values: ['system.'] } }, having('system.')],
    [{ ENTITY_KEY: { operator: 'END_WITH', values: ['.ta', '.tb'] } }, [...having('.tb'), ...having('.ta')]],
    [{ NAME: { operator: 'EQ', values: ['Lid'] } }, having('.lid')],
    [
      {
        ENTITY_TYPE: { operator: 'ANY_EQUALS', values: ['SERVICE'] },
        ENTITY_KEY: { operator: 'NOT_CONTAINS', values: ['ping'] }
      },
      []
    ],
    [
      {
        ENTITY_VALUE_TYPE: { operator: 'EQ', values: ['OBJECT'] },
        ENTITY_NAME: { operator: 'CONTAINS', values: ['box'] }
      },
      all.filter((key) => key.endsWith('.box'))
    ],
    [{ ENTITY_PARENT_NAME: { operator: 'CONTAINS', values: ['the box'] } }, having('.lid')],
    [{ ENTITY_TAGS: { operator: 'EQ', values: ['crimson'] } }, having('.ta')],
    [
      { TAGS: { operator: 'IS_NOT_EMPTY' }, NAME: { operator: 'NE', values: ['nobody'] } },
      [...having('.tb'), ...having('.ta')]
    ],
    [{ DEVICE_NAME: { operator: 'EQ', values: ['D3'] } }, having('127_0_0_3')],
    [{ DEVICE_ID: { operator: 'EQ', values: [three] } }, having('127_0_0_3')],
    [{ DEVICE_GROUP: { operator: 'EQ', values: [group.name] } }, having('127_0_0_3')],
    [{ DEVICE_GROUP: { operator: 'IS_NOT_EMPTY' } }, having('127_0_0_3')],
    [
      { INTEGRATION_NAME: { operator: 'CONTAINS', values: ['ping'] }, DEVICE_ID: { operator: 'IS_EMPTY' } },
      having('ping.integration')
    ],
    [{ ENTITY_KEY: { operator: 'CONTAINS', values: ['.*'] } }, []]
  ] as const) {
    t.same(new Set(await search(filter)), new Set(keysFound), JSON.stringify(filter))
  }
  t.ok(having('127_0_0_3').length > 0 && having('.lid').length === 1)
  t.same(
    new Set(
      (await search({ DEVICE_NAME: { operator: 'IS_NOT_EMPTY' } }, limited)).filter((key) => key.includes('device'))
    ),
    new Set(having('127_0_0_1')),
    'within the reach of the caller'
  )
  for (const [filter, word] of [
    [{ COLOUR: { operator: 'EQ', values: ['x'] } }, /COLOUR/],
    [{ 'TWO\nLINES': null }, /entity_filter/],
    [{ ENTITY_KEY: { operator: 'EQ', values: [] } }, /values/],
    [{ ENTITY_KEY: { operator: 'LIKE', values: ['x'] } }, /operator/]
  ] as const) {
    const reply = await admin.post<Failure>('/entity/advanced-search', { entity_filter: filter })
    t.equal(reply.status, 400)
    t.match(reply.body.error_message, word)
  }
})

await t.test('the address of the broker is told where it is known', async (t) => {
  t.match((await admin.get('/mqtt-device/broker-info')).body, { error_message: /MACHINE_MQTT_URL/ })
  const ports = { MQTTS_PORT: '8883', MQTT_WS_PORT: '8083', MQTT_WSS_PORT: '0' }
  const told = await startDevicesFor(t, parts, { MACHINE_MQTT_URL: 'mqtt://mqtt.example.com', ...ports })
  const reply = await told.as(keys.token()).get<{ data: object }>('/mqtt-device/broker-info')
  const editor = told.as(keys.token({ codes: ['workflow.view'] }))
  t.same((await editor.get<{ data: object }>('/mqtt/broker-info')).body.data, reply.body.data, 'as editors ask for it')
  const doors = { mqtt_port: 1883, mqtts_port: 8883, ws_port: 8083, ws_path: '/mqtt' }
  t.same(reply.body.data, { host: 'mqtt.example.com', ...doors }, 'one that is chosen at each start is not told')
  t.same(infoOf('mqtts://[::1]'), { host: '::1', mqtts_port: 8883 })
  t.same(infoOf('ssl://a:443', { MQTTS_PORT: 8883 }), { host: 'a', mqtts_port: 443 }, 'as it is seen from outside')
  t.same(infoOf('wss://x.example/mq'), { host: 'x.example', wss_port: 443, ws_path: '/mq' })
  t.throws(() => infoOf('mqtt://a:b'), /MACHINE_MQTT_URL/)
})

await t.test('groups and tags take the codes of later versions, and those of before', async (t) => {
  const as = (...codes: string[]) => api.as(keys.token({ codes, tenantId: 'codes', userId: '5' }))
  for (const code of ['device.group_manage', 'device.edit']) {
    t.equal((await as(code).post('/device-group', { name: code })).status, 200, code)
  }
  t.equal((await as('device.group_manage').post('/device-group/search', {})).status, 200)
  t.equal((await as('device.group_manage').post('/device/search', {})).status, 403)
  t.equal((await as('device.view').post('/device-group', { name: 'no' })).status, 403)
  for (const code of ['entity_tag.manage', 'entity_data.edit']) {
    t.equal((await as(code).post('/entity/tags', { name: code })).status, 200, code)
  }
  for (const code of ['entity_tag.view', 'entity_tag.manage', 'entity_data.view']) {
    t.equal((await as(code).get('/entity/tags/number')).status, 200, code)
  }
  t.equal((await as('entity_tag.view').post('/entity/tags', { name: 'no' })).status, 403)
  const full = Array.from({ length: 48 }, (_, n) => as('device.edit').post('/device-group', { name: `g${n}` }))
  await Promise.all(full)
  const tooMany = await as('device.edit').post('/device-group', { name: 'one more' })
  t.match(tooMany, { status: 400, body: { error_code: 'device_group_number_limitation' } })
})
