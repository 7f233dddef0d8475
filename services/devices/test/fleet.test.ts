import {
  clientConnected,
  clientDisconnected,
  connectBus,
  eventSubject,
  listGrants,
  listPublicKeys,
  machineChanged
} from '@fleetgate/kit'
import { createApi, quietLog, startParts, startService, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { startDevicesFor } from './support.js'
import { dataOf, getDevice, type Page, searchDevices, searchEntities } from './things.js'

const parts = await startParts(t)
const keys = testGuardKeys()
/** In place of auth and of the broker. */
const bus = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
await bus.serve(listPublicKeys, async () => ({ keys: keys.keys }))
await bus.serve(listGrants, async () => ({ all: false, resources: [], roleIds: [] }))
const scheduler = await startService(t, { name: 'scheduler', parts, env: { LOG_LEVEL: 'warn' } })
const env = { FLEET_RECONCILE_MS: '1000', SWEEP_MS: '500' }
const closing: (() => unknown)[] = []
t.teardown(async () => {
  for (let close = closing.pop(); close; close = closing.pop()) await close()
})
const api = await startDevicesFor({ teardown: (close) => closing.push(close) }, parts, env)
let admin = api.as(keys.token())
const fleet = createApi(scheduler.url).as(keys.token())

const connectedAt = Date.now()
const connection = (clientId: string) => ({
  ...{ tenantId: 't1', clientId, username: 'till-user', node: 'n1', ip: '10.1.1.1', connectedAt }
})

async function hello(clientId: string, attributes: Record<string, string>, receivedAt = Date.now()): Promise<void> {
  const payload = Buffer.from(JSON.stringify({ role: 'SERVER', version: '1.2.3', attributes }))
  const topic = `fleet/${clientId}/up/hello`
  await bus.uplink({ tenantId: 't1', clientId, username: 'till-user', channel: 'hello', topic, receivedAt, payload })
}

/** Latest values of a machine's device by their identifiers. */
async function valuesOf(name: string): Promise<Record<string, unknown>> {
  const { content } = await searchDevices(admin, { name })
  const { entities } = await getDevice(admin, String(content[0]?.id))
  const ids = entities.map(({ id }) => id)
  const values = dataOf<Record<string, { value: unknown }>>(
    await admin.post('/entity/batch-get-status', { entity_ids: ids })
  )
  return Object.fromEntries(entities.map(({ id, key }) => [key.split('.').at(-1), values[id]?.value]))
}

await t.test('a machine that connects and says hello is a device with its attributes', async (t) => {
  await bus.publish(clientConnected, connection('till-1'))
  await hello('till-1', { os: 'linux', diskFree: '123456789012', 'my.shop': 'north' })
  const values = await until(
    async () => {
      const found = await valuesOf('till-1')
      return found.attribute_os === 'linux' && found.status === 'ONLINE' ? found : undefined
    },
    { what: 'the machine', everyMs: 100 }
  )
  t.match(values, {
    ...{ status: 'ONLINE', role: 'SERVER', version: '1.2.3', user: 'till-user', address: '10.1.1.1', enabled: Boolean },
    ...{ diskFree: '123456789012', attribute_my_shop: 'north' }
  })
  const { content } = await searchDevices(admin, { name: 'till-1' })
  t.match(content, [{ integration: 'fleet', deletable: false, additional_data: { mqttClientId: 'till-1' } }])
})

await t.test('it goes offline, and each change is one value of the history', async (t) => {
  await bus.publish(clientDisconnected, { ...connection('till-1'), disconnectedAt: Date.now(), reason: 'gone' })
  await until(async () => (await valuesOf('till-1')).status === 'OFFLINE', { what: 'OFFLINE', everyMs: 100 })
  await hello('till-1', { os: 'linux', diskFree: '5' })
  await until(async () => (await valuesOf('till-1')).diskFree === '5', { what: 'the new figure', everyMs: 100 })
  const { content } = await searchEntities(admin, { keyword: 'attribute_os' })
  const search = { entity_id: content[0]?.entity_id }
  const found = dataOf<Page<{ value: unknown }>>(await admin.post('/entity/history/search', search))
  t.equal(found.total, 1, 'what stays the same is kept once')
})

await t.test('nothing of it can be written or deleted here', async (t) => {
  const { content } = await searchDevices(admin, { name: 'till-1' })
  const key = `${content[0]?.key}.status`
  t.equal((await admin.post('/entity/property/update', { exchange: { [key]: 'ONLINE' } })).status, 400)
  t.equal((await admin.post('/device/batch-delete', { device_id_list: [content[0]?.id] })).status, 400)
  t.equal((await admin.post('/device', { name: 'x', integration: 'fleet', param_entities: {} })).status, 400)
  t.equal((await searchDevices(api.as(keys.token({ tenantId: 't2' })))).total, 0, 'another tenant sees none')
  t.equal(
    (await searchDevices(api.as(keys.token({ userId: '9', codes: ['device.view'] })))).total,
    0,
    'nothing granted'
  )
})

await t.test('a deleted machine takes its device along', async (t) => {
  await bus.publish(clientConnected, connection('till-2'))
  await until(async () => (await valuesOf('till-2')).status === 'ONLINE', { what: 'till-2', everyMs: 100 })
  const { content } = await searchDevices(admin, { name: 'till-2' })
  const clientId = content[0]?.identifier
  const gone = await fleet.delete(`/v1/clients/${clientId}`)
  t.ok(gone.status < 300, gone.text)
  await until(async () => (await searchDevices(admin, { name: 'till-2' })).total === 0, {
    what: 'its end',
    everyMs: 100
  })
  t.equal((await searchDevices(admin, { name: 'till-1' })).total, 1)
})

await t.test('events that nobody heard are made good by comparing', async (t) => {
  // Numbers are given in order of arrival, but one may be left out where two messages make the same machine at once.
  const { content } = await searchDevices(admin, { name: 'till-1' })
  for (let close = closing.pop(); close; close = closing.pop()) await close()
  const made = await fleet.post('/v1/clients', { mqttClientId: 'till-3', username: 'u', enabled: true })
  t.ok(made.status < 300, made.text)
  const gone = await fleet.delete(`/v1/clients/${content[0]?.identifier}`)
  t.ok(gone.status < 300, gone.text)
  const filter = eventSubject(machineChanged)
  const told = async () => (await bus.manager.streams.purge('EVENTS', { filter })).purged >= 2
  await until(told, { what: 'the events to drop', everyMs: 200 })
  admin = (await startDevicesFor(t, parts, env)).as(keys.token())
  await until(async () => (await valuesOf('till-3')).status === 'OFFLINE', { what: 'till-3', everyMs: 100 })
  await until(async () => (await searchDevices(admin, { name: 'till-1' })).total === 0, {
    what: 'the end',
    everyMs: 100
  })
})
