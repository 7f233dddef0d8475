/** What integrations hear of, and what is left of devices that are gone. */
import { connectBus } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { createDeviceStore } from '../src/devices/deviceStore.js'
import { createRegister } from '../src/devices/register.js'
import { createSettling } from '../src/devices/settle.js'
import { createEntityStore } from '../src/entities/entityStore.js'
import { createClaims } from '../src/integrations/claims.js'
import type { IntegrationDevice } from '../src/integrations/manifest.js'
import { createTemplateStore } from '../src/templates/templateStore.js'
import { createThings } from '../src/things.js'
import { createHooks } from '../src/workflows/hooks.js'
import { serveKeys, startDevicesFor } from './support.js'
import { addPing, dataOf } from './things.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const bus = await connectBus({ name: 'hooks', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
const open = async (database: string) => {
  const store = await openStore({ uri: parts.mongoUri, database, log: quietLog })
  t.teardown(() => store.close())
  return store
}

await t.test('an integration hears of each device that is gone, again until it has understood', async (t) => {
  const store = await open('hooks')
  let clock = Date.now()
  const own = { store, bus, log: quietLog, now: () => clock }
  const [devices, entities, templates] = [createDeviceStore(own), createEntityStore(own), createTemplateStore(own)]
  await store.sync()
  const heard: [string, IntegrationDevice][] = []
  let isDeaf = true
  const handlers = {
    async deviceRemoved(device: IntegrationDevice, { tenantId }: { tenantId: string }) {
      if (isDeaf) throw new Error('away')
      heard.push([tenantId, device])
    }
  }
  const manifest = { id: 'tally', name: 'Tally', entities: [] }
  const registry = { find: (id: string) => (id === 'tally' ? { manifest, handlers } : undefined) }
  const { settle, sweep } = createSettling({ ...own, devices, entities, registry })
  const register = createRegister({ ...own, store: devices, templates, settle })
  const owner = { tenantId: 't', userId: '1', name: 'Door', integration: 'tally' }
  const entity = { identifier: 'n', name: 'N', type: 'PROPERTY' as const, valueType: 'LONG' as const }
  const additionalData = { place: 'left' }
  const { id } = await register(owner, { identifier: 'door', additionalData, entities: [entity] })
  await devices.remove('t', id)
  await settle(id)
  t.same(await entities.listOf('t', { deviceId: id }), [], 'its entities do not wait for that')
  t.equal((await devices.listUnsettled(clock, 9)).length, 1, 'told again later')
  isDeaf = false
  clock += 15_000
  await sweep()
  t.match(heard[0], ['t', { identifier: 'door', name: 'Door', additionalData }])
  clock += 120_000
  await sweep()
  t.same(await devices.listUnsettled(clock, 9), [], 'and then no more')
})

await t.test('a deleted device leaves nothing in any collection but the record of who deleted it', async (t) => {
  const store = await open('fleetgate_devices')
  const api = await startDevicesFor(t, parts, { HISTORY_DAYS: '0' })
  const admin = api.as(guardKeys.token())
  const device = await addPing(admin, 'gone', '10.9.8.7')
  const ids = device.entities.map(({ id }) => id)
  const samples = ids.map((entity_id) => ({ entity_id, value: 1, timestamp: 1000 }))
  dataOf(await admin.post<{ data: object }>('/entity/ingest', { samples }))
  await admin.post('/device-group', { name: 'G' })
  const { content } = dataOf<{ content: { id: string }[] }>(await admin.post('/device-group/search', {}))
  const move = { group_id: content[0]?.id, device_id_list: [device.id] }
  t.equal((await admin.post('/device/move-to-group', move)).status, 200)
  await admin.post('/entity/tags', { name: 'T', color: '#fff', description: '' })
  const tags = dataOf<{ content: { id: string }[] }>(await admin.post('/entity/tags/search', {})).content
  const mapping = { operation: 'ADD', entity_ids: ids, added_tag_ids: tags.map(({ id }) => id) }
  t.equal((await admin.post('/entity/tags/mapping', mapping)).status, 200)
  const names = [device.id, '10_9_8_7', ...ids]
  const left = async () => {
    const found: string[] = []
    for (const { name } of await store.connection.listCollections()) {
      // Records of changes tell of what is gone; they leave for auth, which keeps them.
      if (name === 'auditTrail') continue
      const text = JSON.stringify(await store.connection.collection(name).find().toArray())
      if (names.some((one) => text.includes(one))) found.push(name)
    }
    return found
  }
  t.same((await left()).sort(), ['devices', 'entities', 'history'])
  t.equal((await admin.post('/device/batch-delete', { device_id_list: [device.id] })).status, 200)
  // The same a while later: what is removed stays for a minute, for those who were at it.
  const late = { store: await open('fleetgate_devices'), bus, log: quietLog, now: () => Date.now() + 120_000 }
  const things = await createThings({ ...late, historyDays: 0, workflows: createHooks() })
  const isClean = async () => {
    await things.sweep()
    return (await left()).length === 0
  }
  await until(isClean, { what: 'everything gone', deadlineMs: 30_000, everyMs: 500 }).catch(() => undefined)
  t.same(await left(), [])
})

await t.test('a value lasts as long as any process does its work, and no longer, whoever dies', async (t) => {
  const store = await open('claims')
  let clock = Date.now()
  const told: unknown[] = []
  const report = async (...[, , value]: [string, string, unknown]) => void told.push(value)
  const claims = createClaims({ store, report, log: quietLog, now: () => clock })
  await store.sync()
  const state = { key: 'k', value: 1, otherwise: 0 }
  let finish = () => {}
  const untilTold = () =>
    new Promise<void>((resolve) => {
      finish = resolve
    })
  const long = claims.during('t', state, untilTold)
  await until(() => told.length === 1, { what: 'the beginning' })
  t.equal(await claims.during('t', state, async () => 'done'), 'done')
  t.same(told, [1, 1], 'the longer one goes on')
  finish()
  await long
  t.same(told, [1, 1, 0])
  await t.rejects(
    claims.during('t', state, () => Promise.reject(new Error('broken'))),
    /broken/
  )
  t.same(told.slice(3), [1, 0], 'also where it fails')

  void claims.during('t', state, untilTold)
  await until(() => told.length === 6, { what: 'the beginning' })
  await claims.sweep()
  t.same(told.slice(5), [1], 'a living one is left alone')
  clock += 60_000
  await claims.sweep()
  t.same(told.slice(5), [1, 0], 'one that says nothing any more has died')
  await claims.sweep()
  t.equal(told.length, 7)
  finish()
})
