import { newId, runFinished } from '@fleetgate/kit'
import { startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Json, makeJob, newTenant, startFleet, startReplica } from './support.js'

t.setTimeout(120_000)

t.test('dashboard and alerts', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const env = { SAMPLE_MS: '200', ALERT_OFFLINE_MINUTES: '0.005' }
  const replica = await startReplica(t, { parts, database: 'dashboard', env })
  await startReplica(t, { parts, database: 'dashboard', env })
  const tenantId = newTenant()
  const api = replica.as({ tenantId })
  const began = Date.now()
  let isGood = false
  fleet.onExecution = (command) =>
    isGood
      ? fleet.succeed(command)
      : fleet.report(command, [{ seq: 1, at: Date.now(), kind: 'FINISHED', status: 'FAILED', message: 'no' }])

  const get = async (path: string) => (await api.get<Json>(`/v1/dashboard/${path}`)).body

  t.test('is all zero for a new tenant', async (t) => {
    t.strictSame(await get('info'), { clients: 0, tasks: 0, jobs: 0, groups: 0, tasksHistory: 0, alerts: 0 })
    t.match(await get('reports'), { clients: 0, Groups: 0, jobs: 0, clientsOnline: 0, jobFailed: 0, jobNotExecuted: 0 })
    t.strictSame(await get('logs/count'), { clients: 0, jobs: 0 })
    t.strictSame(await get('onlineClients'), [])
    t.strictSame(await get(`scheduledJobs?start=0&end=${began}&now=${began}`), [])
  })

  t.test('counts everything, jobs by their latest end', async (t) => {
    await fleet.connect(tenantId, ['a', 'b'])
    await until(async () => (await api.get<Json>('/v1/clients?status=ONLINE')).body.total === 2, { what: 'machines' })
    await api.post('/v1/clients', { mqttClientId: 'c', enable: false })
    await api.post('/v1/groups', { type: 0, groupName: 'g' })
    const failing = await makeJob(api, { clients: ['a', 'b'] })
    await makeJob(api, { clients: ['a'] })
    await api.get(`/v1/jobs/${failing.jobId}/run`, { 'idempotency-key': '1' })
    await until(async () => (await get('info')).alerts === 1, { what: 'the alert' })
    t.strictSame(await get('info'), { clients: 3, tasks: 2, jobs: 2, groups: 1, tasksHistory: 2, alerts: 1 })
    t.strictSame(await get('reports'), {
      clients: 3,
      Groups: 1,
      groups: 1,
      jobs: 2,
      tasks: 2,
      clientsOnline: 2,
      clientsOffline: 1,
      clientsDisabled: 1,
      jobFailed: 1,
      jobSuccess: 0,
      jobNotExecuted: 1
    })
    t.strictSame(await get('logs/count'), { clients: 2, jobs: 1 })
    t.match(await get('alerts'), {
      total: 1,
      list: [{ kind: 'JOB_FAILED', subjectId: failing.jobId, open: true, message: /failed on 2 of 2/ }]
    })

    isGood = true
    await api.get(`/v1/jobs/${failing.jobId}/run`, { 'idempotency-key': '2' })
    await until(async () => (await get('info')).alerts === 0, { what: 'the success to close the alert' })
    t.match(await get('reports'), { jobFailed: 0, jobSuccess: 1, jobNotExecuted: 1 })
    t.match(await get('alerts?open=false&kind=JOB_FAILED'), { total: 1, list: [{ open: false, closedAt: Number }] })
    t.equal((await get('alerts?open=true')).total, 0)
  })

  t.test('takes the ends of runs in whatever order they come', async (t) => {
    const [good, other] = (await api.get<Json>('/v1/jobs')).body.list.map(({ jobId }: Json) => jobId)
    const end = (jobId: number, result: 'SUCCESS' | 'FAILED', finishedAt: number) =>
      fleet.bus.publish(runFinished, { tenantId, runId: newId(), jobId, result, succeeded: 0, failed: 1, finishedAt })
    const count = async (query: string) => (await get(`alerts?kind=JOB_FAILED&${query}`)).total
    await end(other, 'FAILED', began + 1)
    await until(async () => (await count('open=true')) === 1, { what: 'the alert' })
    await end(other, 'SUCCESS', began)
    await end(good, 'FAILED', began)
    const settled = async () => (await count('')) === 3 && (await count('open=true')) === 1
    await until(settled, { what: 'a failure before the latest success to be over' })
    t.equal((await get('alerts?open=true')).list[0].subjectId, other, 'which a success before the failure does not end')
    await end(other, 'SUCCESS', began + 2)
    await until(async () => (await count('open=true')) === 0, { what: 'its end' })
  })

  t.test('shows runs that were, and those that schedules will start', async (t) => {
    const [jobId] = (await api.get<Json>('/v1/jobs')).body.list.map((job: Json) => job.jobId)
    const now = Date.now()
    await replica.store.connection
      .collection('jobs')
      .updateOne({ tenantId, jobId }, { $set: { nextRunAt: now + 60_000 } })
    const rows = await get(`scheduledJobs?start=${began}&end=${now + 120_000}&now=${now}`)
    t.match(rows, [
      {
        jobId,
        result: 'FAILED',
        clients: 2,
        startAt: Number,
        endAt: Number,
        actualStartAt: Number,
        actualEndAt: Number
      },
      { jobId, result: 'SUCCESS' },
      { jobId, result: 'UPCOMING', startAt: now + 60_000, actualStartAt: null, endAt: null, clients: 2 }
    ])
    t.equal(rows.length, 3)
    t.equal((await get(`scheduledJobs?start=${now}&end=${now + 30_000}&now=${now}`)).length, 0)
  })

  t.test('samples who is online, once however many replicas count', async (t) => {
    const samples = replica.store.connection.collection('onlineSamples')
    const two = await until(() => samples.findOne({ tenantId, count: 2 }), { what: 'a sample' })
    t.equal(two.time % 200, 0)
    await samples.insertMany([
      { _id: `${tenantId}:x` as never, tenantId, time: 600_000, count: 4, at: new Date() },
      { _id: `${tenantId}:y` as never, tenantId, time: 660_000, count: 8, at: new Date() },
      { _id: `${tenantId}:z` as never, tenantId, time: 720_000, count: 1, at: new Date() }
    ])
    t.strictSame(await get('onlineClients?startTime=0&endTime=1000000&interval=60'), [
      { clientCount: 4, time: 600_000 },
      { clientCount: 8, time: 660_000 },
      { clientCount: 1, time: 720_000 }
    ])
    t.strictSame(await get('onlineClients?startTime=0&endTime=1000000&interval=120'), [
      { clientCount: 6, time: 600_000 },
      { clientCount: 1, time: 720_000 }
    ])
    t.ok((await get(`onlineClients?startTime=${began}`)).some((point: Json) => point.clientCount > 0))
  })

  t.test('tells of a machine that stays away, until it is back', async (t) => {
    await fleet.disconnect(tenantId, ['b'])
    await until(async () => (await get('alerts?kind=CLIENT_OFFLINE&open=true')).total === 1, { what: 'the alert' })
    const [alert] = (await get('alerts?kind=CLIENT_OFFLINE')).list
    t.match(alert, { message: /client b is offline since/, raisedAt: Number, closedAt: null })
    t.equal((await get('info')).alerts, 1)
    await fleet.connect(tenantId, ['b'])
    await until(async () => (await get('info')).alerts === 0, { what: 'the alert to be closed' })

    await fleet.disconnect(tenantId, ['a'])
    const again = await until(async () => (await get('alerts?open=true')).list[0], { what: 'another alert' })
    t.equal((await api.put(`/v1/dashboard/alerts/${again.alertId}/close`)).body, 'success')
    t.equal((await get('info')).alerts, 0, 'a person can close it')
    const other = replica.as({ tenantId: newTenant() })
    t.equal((await other.put(`/v1/dashboard/alerts/${again.alertId}/close`)).status, 404)
    t.strictSame((await other.get('/v1/dashboard/alerts')).body, { total: 0, list: [] })
  })

  t.test('refuses wrong words by name', async (t) => {
    for (const [path, field] of [
      ['onlineClients?interval=1', 'interval'],
      ['onlineClients?startTime=0&endTime=99999999999', 'interval'],
      ['onlineClients?startTime=5&endTime=1', 'endTime'],
      ['onlineClients?startTime=soon', 'startTime'],
      ['scheduledJobs?start=1&now=1', 'end'],
      ['scheduledJobs?start=2&end=1&now=1', 'end'],
      ['alerts?kind=FIRE', 'kind']
    ] as const) {
      t.match(await api.get(`/v1/dashboard/${path}`), { status: 400, body: { code: 'INVALID_INPUT', field } }, path)
    }
    t.equal((await replica.as({ tenantId, codes: ['client.view'] }).get('/v1/dashboard/logs/count')).status, 403)
  })
})
