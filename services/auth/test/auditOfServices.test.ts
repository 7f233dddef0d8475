/** What the other services tell of their changes, over the parts that really run. */
import { connectBus, createAuditor, type Deed } from '@fleetgate/kit'
import { createAuditTrail, openStore } from '@fleetgate/store'
import { createApi, freePort, quietLog, type Session, startParts, startService, until } from '@fleetgate/testkit'
import t from 'tap'
import { person, startAuthFor, tokensOf } from './support.js'

const parts = await startParts(t)
const api = await startAuthFor(t, parts)
await api.register(person('admin'))
const token = (await tokensOf(api, 'admin')).access_token
const admin = api.as(token)
const env = { LOG_LEVEL: 'warn' }
const start = (name: string, more: NodeJS.ProcessEnv = {}) => startService(t, { name, parts, env: { ...env, ...more } })
const [devices, scheduler, broker, clusters] = await Promise.all([
  start('devices'),
  start('scheduler'),
  start('broker-proxy', { MQTT_PORT: String(await freePort()) }),
  start('cluster-manager')
])
const at = ({ url }: { url: string }): Session => createApi(url).as(token)

interface Entry {
  id: string
  created_at: string
  service: string
  action: string
  targets: string[]
  user_id: string
  email: string
  request_id: string
  result: string
  error?: string
}

async function search(filter: object): Promise<Entry[]> {
  const reply = await admin.post<{ data: { content: Entry[] } }>('/user/audit/search', { page_size: 100, ...filter })
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data.content
}

const found = (filter: object, count = 1) =>
  until(
    async () => {
      const entries = await search(filter)
      return entries.length >= count ? entries : undefined
    },
    { what: `${count} of ${JSON.stringify(filter)}`, deadlineMs: 30_000 }
  )

await t.test(
  'what somebody changes in any service is in the record, under its name, and what is only read is not',
  async (t) => {
    const { body } = await at(devices).post<{ request_id: string }>('/dashboard', { name: 'Cold store' })
    await at(devices).post('/device/search', {})
    await at(devices).get('/dashboard/dashboards')
    const [dashboard] = await found({ service: 'devices' })
    t.match(dashboard, {
      action: 'dashboard.create',
      email: person('admin').email,
      request_id: body.request_id,
      result: 'succeeded',
      targets: ['Cold store', /^\d+$/]
    })

    const job = await at(scheduler).post<{ jobId: number }>('/v1/jobs', { jobName: 'Prices', cycleType: 0 })
    t.equal(job.status, 200, job.text)
    await at(scheduler).get('/v1/jobs/4711/run')
    await at(scheduler).put('/v1/jobs/4711/tasks', [12, 13])
    t.match(await found({ service: 'scheduler', action: 'job.create' }), [{ result: 'succeeded' }])
    t.match(await found({ service: 'scheduler', action: 'run.begin' }), [
      { result: 'refused', error: 'not_found', targets: ['4711'] }
    ])

    t.match(await found({ action: 'job.bind-tasks' }), [{ targets: ['4711', '12', '13'] }])

    const secret = 'Abcd1234!'
    const user = { access_key: 'till-0001', secret_key: secret }
    t.equal((await at(broker).post('/v2/default/instances/default/users', user)).status, 200)
    await at(broker).delete('/v2/default/instances/default/users/till-0001')
    const ofBroker = await found({ service: 'broker-proxy', target: 'till-0001' }, 2)
    t.match(
      ofBroker.map(({ action }) => action),
      ['mqtt-user.delete', 'mqtt-user.create']
    )
    t.notMatch(JSON.stringify(ofBroker), secret)

    t.equal((await at(clusters).post('/v1/pubkey/userSelfCreate', { name: 'mine' })).status, 200)
    t.match(await found({ service: 'cluster-manager' }), [{ action: 'pubkey.generate', targets: ['mine'] }])
    t.same(
      (await search({ service: 'devices' })).map(({ action }) => action),
      ['dashboard.create']
    )
  }
)

await t.test('writing a value names its entity and not the value; measured values are not recorded', async (t) => {
  const draft = { identifier: 'target', name: 'Target', type: 'PROPERTY', access_mod: 'RW', value_type: 'DOUBLE' }
  t.equal((await at(devices).post('/entity', draft)).status, 200)
  const key = 'system.integration.target'
  t.equal((await at(devices).post('/entity/ingest', { samples: [{ entity_key: key, value: 1.5 }] })).status, 200)
  t.equal((await at(devices).post('/entity/property/update', { exchange: { [key]: 271.25 } })).status, 200)
  const entries = await found({ target: key })
  t.match(entries, [{ action: 'entity.write', targets: [key] }])
  t.notMatch(JSON.stringify(await search({})), '271.25')
})

await t.test('nothing is lost while NATS is away, not even where the service dies meanwhile', async (t) => {
  await parts.killNats()
  const names = ['one', 'two', 'three']
  for (const name of names) t.equal((await at(devices).post('/device-group', { name })).status, 200)
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_devices', log: quietLog })
  t.teardown(() => store.close())
  const waiting = () => store.connection.collection('auditTrail').countDocuments({ 'outbox.id': { $gt: '' } })
  await until(async () => (await waiting()) === names.length, { what: 'the records on disk', deadlineMs: 30_000 })
  await devices.kill()
  await parts.startNats()
  await devices.restart()
  const entries = await found({ action: 'device-group.create' }, names.length)
  t.same(entries.map(({ targets }) => targets[0]).reverse(), names)
  t.equal(new Set(entries.map(({ id }) => id)).size, names.length)
})

await t.test(
  'a change whose process died in its middle is told as begun; told late or twice it counts once',
  async (t) => {
    const store = await openStore({ uri: parts.mongoUri, database: 'trail_alone', log: quietLog })
    t.teardown(() => store.close())
    const bus = await connectBus({ name: 'trail', url: parts.natsUrl, log: quietLog })
    t.teardown(() => bus.close())
    let clock = Date.now()
    const trail = createAuditTrail({ store, bus, log: quietLog, service: 'other', now: () => clock, sweepMs: 50 })
    await store.sync()
    trail.start()
    t.teardown(() => trail.stop())
    const deed: Deed = {
      ...{ tenantId: 'default', targets: ['x'], userId: '1', email: 'e', address: '', requestId: 'r1' },
      action: 'thing.change'
    }
    const end = await trail.begin(deed)
    t.same(await search({ service: 'other' }), [])
    clock += 11 * 60_000
    const [begun] = await found({ service: 'other' })
    t.match(begun, { result: 'started', request_id: 'r1', targets: ['x'] })
    await end({ result: 'succeeded', targets: ['x', 'y'] })
    const [ended] = await found({ service: 'other', target: 'y' })
    t.match(ended, { id: begun?.id, result: 'succeeded' })
    t.equal((await search({ service: 'other' })).length, 1)

    const { around } = createAuditor(trail, quietLog)
    await t.rejects(
      around({ ...deed, targets: ['z'] }, () => Promise.reject(new Error('bug'))),
      { message: 'bug' }
    )
    t.match(await found({ service: 'other', target: 'z' }), [{ result: 'failed', error: 'internal' }])
    const left = () => store.connection.collection('auditTrail').countDocuments()
    await until(async () => (await left()) === 0, { what: 'told records to go', deadlineMs: 20_000 })
  }
)

await t.test('is found by service, action, person and time, in pages', async (t) => {
  const all = await search({})
  const last = all[0] as Entry
  const names = (entries: Entry[]) => entries.map(({ id }) => id)
  t.same(names(await search({ page_size: 2, page_number: 2 })), names(all).slice(2, 4))
  t.same(
    names(await search({ to: Number(last.created_at) - 1 })),
    names(all).filter((id) => Number.parseInt(id.slice(0, 12), 16) < Number(last.created_at))
  )
  const mine = await search({ service: 'auth', action: 'user.register' })
  t.match(mine, [{ service: 'auth', email: person('admin').email }])
  const userId = all.find(({ service }) => service === 'devices')?.user_id
  const theirs = all.filter(({ service, user_id }) => service === 'devices' && user_id === userId)
  t.ok(theirs.length > 1)
  t.same(names(await search({ service: 'devices', user_id: userId })), names(theirs))
})
