import { openStore } from '@fleetgate/store'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { createStores } from '../../src/parts.js'
import { createTimetable } from '../../src/schedule/timetable.js'
import { type Json, makeJob, newTenant, type Replica, startFleet, startReplica } from '../support.js'

// A busy machine may need longer than tap's half minute for all of it.
t.setTimeout(120_000)

const hourMs = 3_600_000

t.test('jobs with a schedule', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const replicas: Replica[] = []
  for (let i = 0; i < 2; i++) replicas.push(await startReplica(t, { parts, database: 'schedules' }))
  const [replica] = replicas as [Replica]
  const jobsInStore = replica.store.connection.collection('jobs')

  async function prepare(job: Record<string, unknown>, machines = 1) {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    const clients = Array.from({ length: machines }, (_, i) => `m${i}-${tenantId}`)
    await fleet.connect(tenantId, clients, 'STORE')
    await until(async () => (await api.get<Json>('/v1/clients?status=ONLINE')).body.total === machines, {
      what: 'the machines'
    })
    const made = await makeJob(api, { clients, job })
    const runs = async () => (await api.get<Json>(`/v1/logs/jobs?jobId=${made.jobId}`)).body
    const details = async () => (await api.get<Json>(`/v1/jobs/${made.jobId}/details`)).body.executionOpt
    const ended = (status: string) =>
      until(async () => (await runs()).list[0]?.status === status, { what: `the run to be ${status}` })
    /** As if no scheduler had run since then. */
    const setDue = (nextRunAt: number) => jobsInStore.updateOne({ tenantId }, { $set: { nextRunAt } })
    return { tenantId, api, clients, runs, details, ended, setDue, ...made }
  }

  /** Half an hour from now and before: no moment of an hourly job comes while the tests run. */
  const latest = Math.floor(Date.now() / 60_000) * 60_000 - hourMs / 2
  const executionTime = String(new Date(latest).getUTCMinutes())
  const hoursAgo = (hours: number) => latest - hours * hourMs

  t.test('run at their moment, once, however many schedulers there are', async (t) => {
    const job = await prepare({})
    const at = Date.now() + 3000
    await job.api.put('/v1/jobs', { jobId: job.jobId, executionTime: at })
    t.equal((await job.details()).nextRunAt, at)
    t.equal((await job.api.get<Json>('/v1/jobs')).body.list[0].nextRunAt, at)
    await job.ended('SUCCESS')
    await until(async () => (await job.details()).nextRunAt === null, { what: 'the job to be done with' })
    t.match(await job.runs(), { total: 1, list: [{ scheduledFor: at, executionTime: String(at), timeZone: 'UTC' }] })
    t.ok((await job.runs()).list[0].startTime >= at)
  })

  t.test('make up for the latest moment that was missed, and for no other', async (t) => {
    const job = await prepare({ cycleType: 1, executionTime })
    await job.setDue(hoursAgo(3))
    await job.ended('SUCCESS')
    await until(async () => (await job.details()).nextRunAt > Date.now(), { what: 'the next moment' })
    t.match(await job.runs(), { total: 1, list: [{ scheduledFor: hoursAgo(0) }] })
    t.match(await job.details(), { nextRunAt: hoursAgo(-1), lastSkip: null })
  })

  t.test('that are due by the hundreds are all seen to without a pause', async (t) => {
    const store = await openStore({ uri: parts.mongoUri, database: 'crowd', log: quietLog })
    t.teardown(() => store.close())
    const { jobs } = createStores(store)
    const draft = {
      jobName: 'j',
      description: '',
      enabled: true,
      priority: 0,
      maxRetries: 0,
      retryWait: 0,
      duration: 0
    }
    const one = { ...draft, cycleType: 2, executionTime: '03:30', nextRunAt: 1, createdAt: 0, lastEditedAt: 0 }
    const lists = { taskIds: [], clientIds: [], groupIds: [] }
    await jobs.model.insertMany(
      Array.from({ length: 450 }, (_, i) => ({ ...one, ...lists, _id: `t:${i}`, tenantId: 't', jobId: i }))
    )
    const opened = new Set<number>()
    const openRun = async ({ jobId }: { jobId: number }) => {
      opened.add(jobId)
      return 'run'
    }
    const at = Date.UTC(2030, 0, 1)
    const timeZone = async () => 'UTC'
    const deps = { jobs: jobs.scheduled, openRun, timeZone, log: quietLog, now: () => at, sweepMs: 600_000 }
    const timetable = createTimetable(deps)
    timetable.start()
    t.teardown(timetable.stop)
    await until(() => opened.size === 450, { what: 'all of them' })
    await until(async () => (await jobs.scheduled.findDue(at, 1)).length === 0, { what: 'their next moments' })
  })

  t.test('leave out what was missed where they are told to', async (t) => {
    const job = await prepare({ cycleType: 1, executionTime, missedRun: 'SKIP' })
    await job.setDue(hoursAgo(4))
    const skipped = await until(async () => (await job.details()).lastSkip, { what: 'the moment to be left out' })
    t.strictSame(skipped, { at: hoursAgo(0), reason: 'missed: no scheduler was running' })
    t.equal((await job.runs()).total, 0)
    t.match(await job.details(), { nextRunAt: hoursAgo(-1), missedRun: 'SKIP' })
  })

  t.test('say why they could not run, and go on', async (t) => {
    const job = await prepare({ cycleType: 1, executionTime })
    await job.api.put(`/v1/jobs/${job.jobId}/clients/remove`, job.clientIds)
    await job.setDue(hoursAgo(0))
    const skipped = await until(async () => (await job.details()).lastSkip, { what: 'the reason' })
    t.strictSame(skipped, { at: hoursAgo(0), reason: 'the job has no clients: bind some, or groups that have some' })
    t.equal((await job.details()).nextRunAt, hoursAgo(-1))
    t.equal((await job.runs()).total, 0)
  })

  t.test('follow changes; disabled and deleted ones do not run', async (t) => {
    const job = await prepare({ cycleType: 1, executionTime })
    const { api, jobId } = job
    t.strictSame((await api.put('/v1/jobs', { jobId, cycleType: 0, executionTime: '2031-01-01T00:00Z' })).status, 200)
    t.equal((await job.details()).nextRunAt, Date.UTC(2031, 0, 1))
    await api.put('/v1/jobs', { jobId, jobName: 'other' })
    t.equal((await job.details()).nextRunAt, Date.UTC(2031, 0, 1), 'other fields change nothing')
    for (const [change, field] of [
      [{ cycleType: 2 }, 'executionTime'],
      [{ executionTime: '2020-01-01' }, 'executionTime'],
      [{ executionTime: { $gt: '' } }, 'executionTime'],
      [{ missedRun: 'NEVER' }, 'missedRun']
    ] as const) {
      t.match(await api.put('/v1/jobs', { jobId, ...change }), { status: 400, body: { field } }, JSON.stringify(change))
    }
    await api.put(`/v1/jobs/${jobId}/disable`)
    t.equal((await job.details()).nextRunAt, null)
    // Even one that is found due while it is being disabled.
    await job.setDue(Date.now() - 1000)
    const witness = await prepare({ cycleType: 1, executionTime })
    await witness.setDue(hoursAgo(0))
    await witness.ended('SUCCESS')
    t.equal((await job.runs()).total, 0)
    await api.put('/v1/jobs', { jobId, cycleType: 1, executionTime, enabled: true })
    t.equal((await job.details()).nextRunAt, hoursAgo(-1), 'what was due while it was disabled is not made up for')
    await api.put('/v1/jobs', { jobId, executionTime: '', cycleType: 0 })
    t.equal((await job.details()).nextRunAt, null, 'by hand again')
  })

  t.test('end what still waits when the next moment comes; machines at work may finish', async (t) => {
    const job = await prepare({ cycleType: 1, executionTime }, 3)
    const [away = '', busy = ''] = job.clients
    fleet.onExecution = (command) =>
      command.clientId === busy
        ? fleet.report(command, [{ seq: 1, at: Date.now(), kind: 'RECEIVED' }])
        : fleet.succeed(command)
    await fleet.disconnect(job.tenantId, [away])
    await until(async () => (await job.api.get<Json>('/v1/clients?status=OFFLINE')).body.total === 1, {
      what: 'the machine to be away'
    })
    await job.setDue(hoursAgo(0))
    await until(async () => (await job.runs()).list[0]?.counts.running === 1, { what: 'the machine at work' })
    const runs = replica.store.connection.collection('runs')
    const { stop } = (await runs.findOne({ tenantId: job.tenantId })) as Json
    t.equal(stop.at, hoursAgo(-1))
    await runs.updateOne({ tenantId: job.tenantId }, { $set: { 'stop.at': Date.now() } })
    const list = async (status: string) =>
      (await job.api.get<Json>(`/v1/logs/jobs/clients?jobId=${job.jobId}&status=${status}`)).body.list
    const [ended] = await until(async () => ((await list('FAILED')).length > 0 ? list('FAILED') : undefined), {
      what: 'the end of the waiting'
    })
    t.match(ended, { mqttClientId: away, message: 'the next run of the job was due' })
    t.notOk(
      fleet.others.some(({ clientId }) => clientId === busy),
      'no order to stop'
    )
    const command = fleet.received.findLast(({ clientId }) => clientId === busy)
    if (command) await fleet.succeed(command)
    await job.ended('FAILED')
    t.match((await job.runs()).list[0].counts, { total: 3, succeeded: 2, failed: 1 })
  })

  t.test('show every moment to come in the calendar', async (t) => {
    const job = await prepare({ cycleType: 1, executionTime })
    const calendar = async (start: number, end: number) =>
      (await job.api.get<Json>(`/v1/dashboard/scheduledJobs?start=${start}&end=${end}`)).body.map(
        ({ startAt, result }: Json) => [startAt, result]
      )
    const upcoming = [-1, -2, -3].map((hours) => [hoursAgo(hours), 'UPCOMING'])
    t.strictSame(await calendar(Date.now(), hoursAgo(-3)), upcoming)
    t.strictSame(await calendar(hoursAgo(-2) - 1, hoursAgo(-3) - 1), [[hoursAgo(-2), 'UPCOMING']])
    await job.api.put(`/v1/jobs/${job.jobId}/disable`)
    t.strictSame(await calendar(Date.now(), hoursAgo(-3)), [])
  })

  t.test('are reckoned in the time zone of the tenant, and again when it changes', async (t) => {
    const job = await prepare({ executionTime: '2031-07-01T03:30' })
    t.equal((await job.details()).nextRunAt, Date.UTC(2031, 6, 1, 3, 30))
    const changed = await job.api.post('/v1/settings', { managementServerTimeZone: 'Europe/Berlin' })
    t.equal(changed.status, 200)
    t.equal((await job.details()).nextRunAt, Date.UTC(2031, 6, 1, 1, 30))
    await job.api.put('/v1/jobs', { jobId: job.jobId, cycleType: 2, executionTime: '00:15' })
    const at = new Date((await job.details()).nextRunAt)
    t.match(at.toLocaleTimeString('en-GB', { timeZone: 'Europe/Berlin' }), '00:15:00')
    await job.api.get(`/v1/jobs/${job.jobId}/run`)
    await job.api.post('/v1/settings', { managementServerTimeZone: 'Asia/Tokyo' })
    t.match((await job.runs()).list, [{ timeZone: 'Europe/Berlin', scheduledFor: null }], 'a run keeps its own')
  })
})
