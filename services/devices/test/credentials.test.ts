import { openStore } from '@fleetgate/store'
import { quietLog, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import mqtt from 'mqtt'
import t from 'tap'
import { startBroker } from './mqttParts.js'
import { type Failure, serveKeys, startDevicesFor } from './support.js'
import { dataOf, type Page } from './things.js'

const parts = await startParts(t)
const keys = testGuardKeys()
await serveKeys(t, parts, keys)
const api = await startDevicesFor(t, parts, { SWEEP_MS: '500' })
const broker = await startBroker(t, parts, keys, {})
const admin = api.as(keys.token())
const other = api.as(keys.token({ tenantId: 't2' }))
const draft = { credentials_type: 'MQTT', access_key: 'door', access_secret: 'open-sesame' }

async function logIn(username: string, password: string) {
  const client = await mqtt.connectAsync(broker.mqttUrl, { username, password, reconnectPeriod: 0 })
  client.on('error', () => {})
  t.teardown(() => client.endAsync(true))
  return client
}
const isLetIn = (username: string, password: string) =>
  logIn(username, password).then(
    (client) => client.endAsync(true).then(() => true),
    () => false
  )
const becomes = (username: string, password: string, wanted: boolean) =>
  until(async () => (await isLetIn(username, password)) === wanted, {
    what: `${username} ${wanted ? 'let in' : 'kept out'}`,
    deadlineMs: 60_000
  })

await t.test('a credential of the type MQTT is a user of the broker, of its tenant, until it is deleted', async (t) => {
  const made = dataOf<{ id: string; access_key: string }>(await admin.post('/credentials', draft))
  t.equal(made.access_key, 'door@t1')
  t.match(dataOf(await admin.get(`/credentials/${made.id}`)), { access_key: 'door@t1', credentials_type: 'MQTT' })
  const client = await logIn('door@t1', 'open-sesame')
  t.match(await client.subscribeAsync('beaver-iot/mqtt@t1/#', { qos: 1 }), [{ qos: 1 }])
  await t.rejects(client.subscribeAsync('beaver-iot/mqtt@t2/#', { qos: 1 }), 'not those of another tenant')
  t.notOk(await isLetIn('door@t1', 'wrong'))

  const theirs = dataOf<{ id: string }>(await other.post('/credentials', { ...draft, access_secret: 'not-yours' }))
  t.ok(await isLetIn('door@t2', 'not-yours'), 'the same name of another tenant is another user')
  t.equal((await other.post('/credentials', { ...draft, access_key: 'door@t1' })).status, 200)
  t.ok(await isLetIn('door@t1', 'open-sesame'), 'which nobody there can take')

  dataOf(await admin.put(`/credentials/${made.id}`, { access_secret: 'changed-1' }))
  await becomes('door@t1', 'changed-1', true)
  t.notOk(await isLetIn('door@t1', 'open-sesame'))
  dataOf(await admin.put(`/credentials/${made.id}`, { access_key: 'gate' }))
  await becomes('gate@t1', 'changed-1', true)
  await becomes('door@t1', 'changed-1', false)

  const leaving = await logIn('gate@t1', 'changed-1')
  dataOf(await other.post('/credentials/delete', { ids: [made.id] }))
  t.ok(await isLetIn('gate@t1', 'changed-1'), 'another tenant deletes nothing')
  dataOf(await admin.post('/credentials/delete', { ids: [made.id, '5'] }))
  await until(() => !leaving.connected, { what: 'the end of its connections', deadlineMs: 30_000 })
  t.notOk(await isLetIn('gate@t1', 'changed-1'))
  t.equal((await admin.get(`/credentials/${made.id}`)).status, 404)
  dataOf(await other.post('/credentials/delete', { ids: [theirs.id] }))
})

await t.test('refuses names that another credential has, or that no user may have', async (t) => {
  const unnamed = dataOf<{ id: string; access_key: string }>(
    await admin.post('/credentials', { credentials_type: 'MQTT', access_secret: 'x' })
  )
  t.equal(unnamed.access_key, `${unnamed.id}@t1`, 'without a name it has its id')
  dataOf(await admin.post('/credentials', { ...draft, access_key: 'once' }))
  const refused: [string, number][] = [
    ['once', 409],
    ['once@t1', 409],
    ['mqtt', 409],
    ['n'.repeat(126), 400],
    ['a\u0000b', 400]
  ]
  for (const [access_key, status] of refused) {
    const reply = await admin.post<Failure>('/credentials', { ...draft, access_key })
    t.match([reply.status, reply.body.error_message], [status, /access.key|default/], JSON.stringify(access_key))
    t.equal((await admin.put(`/credentials/${unnamed.id}`, { access_key })).status, status)
  }
  const { total } = dataOf<Page<object>>(await admin.get('/credentials?credentials_type=MQTT'))
  t.equal(total, 2, 'what was refused is not kept')
  t.ok(await isLetIn(unnamed.access_key, 'x'), 'nor changes anything')
})

await t.test('what the broker could not be told while it was away it is told later', async (t) => {
  const was = dataOf<{ id: string }>(await admin.post('/credentials', { ...draft, access_key: 'early' }))
  await broker.kill()
  const made = dataOf<{ id: string }>(await admin.post('/credentials', { ...draft, access_key: 'late' }))
  dataOf(await admin.put(`/credentials/${was.id}`, { access_key: 'moved', access_secret: 'second' }))
  t.equal((await admin.post('/credentials/delete', { ids: [made.id] })).status, 503, 'one goes with its account')
  t.equal((await admin.get(`/credentials/${made.id}`)).status, 200)
  await broker.restart()
  await becomes('late@t1', 'open-sesame', true)
  await becomes('moved@t1', 'second', true)
  await becomes('early@t1', 'open-sesame', false)
})

await t.test('credentials from before they were accounts become such by themselves', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_devices', log: quietLog })
  t.teardown(() => store.close())
  const make = async (access_key: string) =>
    dataOf<{ id: string }>(await admin.post('/credentials', { ...draft, access_key })).id
  const [plain, same] = [await make('plain'), await make('same')]
  // Their names were anybody's: two could have the same one, without the tenant behind it.
  const before = { $set: { accessKey: 'older' }, $unset: { accounts: 1, revision: 1, unsettledSince: 1 } } as const
  await store.connection.collection<{ _id: string }>('credentials').updateMany({ _id: { $in: [plain, same] } }, before)
  await becomes('older@t1', 'open-sesame', true)
  const names = async () =>
    Promise.all(
      [plain, same].map(async (id) => dataOf<{ access_key: string }>(await admin.get(`/credentials/${id}`)).access_key)
    )
  await until(async () => (await names()).every((name) => name.endsWith('@t1')), { what: 'both', deadlineMs: 60_000 })
  const [other = ''] = (await names()).filter((name) => name !== 'older@t1')
  t.ok(
    [plain, same].some((id) => other === `${id}@t1`),
    'the other one has its id'
  )
  await becomes(other, 'open-sesame', true)
})
