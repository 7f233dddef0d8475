import { clientConnected } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { createLeases, type HeldRun } from '../src/runs/leases.js'
import { createRunStore } from '../src/runs/runStore.js'
import { type Json, makeJob, newTenant, type Replica, startFleet, startReplica } from './support.js'

// A busy machine may need longer than tap's half minute for all of it.
t.setTimeout(120_000)

t.test('several engines', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const options = { parts, database: 'several' }

  async function prepare(replica: Replica, clients: string[], settings: { steps?: unknown[] } = {}) {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    await fleet.connect(tenantId, clients)
    await until(async () => (await api.get<Json>('/v1/clients?status=ONLINE')).body.total === clients.length, {
      what: 'the machines'
    })
    const job = await makeJob(api, { clients, ...settings })
    return { tenantId, ...job }
  }
  const names = (n: number) => Array.from({ length: n }, (_, i) => `m${i}-${newTenant()}`)
  const total = async (api: ReturnType<Replica['as']>, status: string) =>
    (await api.get<Json>(`/v1/logs/jobs?status=${status}`)).body.total

  t.test('an engine that stops in the middle is followed by another, and nothing is done twice', async (t) => {
    const first = await startReplica(t, options)
    const job = await prepare(first, names(40))
    fleet.received = []
    // Half of the machines answer before the change, the others after it.
    fleet.onExecution = (command) => (fleet.received.length % 2 === 0 ? fleet.succeed(command) : undefined)
    await first.as({ tenantId: job.tenantId }).get(`/v1/jobs/${job.jobId}/run`)
    await until(() => fleet.received.length >= 20, { what: 'half of the commands' })
    await first.stop()
    fleet.onExecution = (command) => fleet.succeed(command)
    const second = await startReplica(t, options)
    const api = second.as({ tenantId: job.tenantId })
    await until(async () => (await total(api, 'SUCCESS')) === 1, { what: 'the end of the run' })
    t.match((await api.get<Json>('/v1/logs/jobs')).body.list[0], { counts: { total: 40, succeeded: 40 } })
    const sent = fleet.received.map(({ executionId, attempt, epoch }) => `${executionId}/${attempt}/${epoch}`)
    t.equal(new Set(sent).size, sent.length, 'no epoch went out twice')
    t.ok(fleet.received.every(({ attempt }) => attempt === 1))
    await second.stop()
  })

  t.test('an engine that dies without a word is followed when its lease ends', async (t) => {
    const first = await startReplica(t, options)
    const job = await prepare(first, names(3), { steps: [{ type: 'SEND_FILE', filePath: '/a', targetFilePath: 'a' }] })
    const runId = (await first.as({ tenantId: job.tenantId }).get(`/v1/jobs/${job.jobId}/run`)).headers.get(
      'x-run-id'
    ) as string
    await until(
      async () =>
        ((await first.store.connection.collection('runs').findOne({ _id: runId as never })) as Json)?.lease.epoch === 1,
      { what: 'the lease' }
    )
    await first.stop()
    // As a process killed leaves it: the lease of somebody who will never come back, some time still to go.
    const lease = { owner: 'dead', until: new Date(Date.now() + 700), epoch: 1 }
    const second = await startReplica(t, { ...options, env: { LEASE_MS: '600' } })
    await second.store.connection.collection('runs').updateOne({ _id: runId as never }, { $set: { lease } })
    await fleet.connect(job.tenantId, ['server'], 'SERVER')
    const api = second.as({ tenantId: job.tenantId })
    await until(async () => (await total(api, 'SUCCESS')) === 1, { what: 'the end of the run' })
    const run = (await second.store.connection.collection('runs').findOne({ _id: runId as never })) as Json
    t.not(run.lease.owner, 'dead')
    t.ok(run.lease.epoch > 1)
    await second.stop()
  })

  t.test('a run whose executions were made in part is completed, each once', async (t) => {
    const first = await startReplica(t, options)
    const job = await prepare(first, names(5), { steps: [{ type: 'SEND_FILE', filePath: '/a', targetFilePath: 'a' }] })
    const api = first.as({ tenantId: job.tenantId })
    const runId = (await api.get(`/v1/jobs/${job.jobId}/run`)).headers.get('x-run-id') as string
    const collections = {
      runs: first.store.connection.collection('runs'),
      executions: first.store.connection.collection('executions')
    }
    await until(async () => (await collections.executions.countDocuments({ runId })) === 5, { what: 'the executions' })
    await until(async () => !((await collections.runs.findOne({ _id: runId as never })) as Json).targetIds, {
      what: 'the preparation'
    })
    await collections.executions.deleteOne({ _id: `${runId}-${job.clientIds[3]}` as never })
    await collections.runs.updateOne({ _id: runId as never }, { $set: { targetIds: job.clientIds } })
    await fleet.connect(job.tenantId, ['server'], 'SERVER')
    await until(async () => (await total(api, 'SUCCESS')) === 1, { what: 'the end of the run' })
    t.match((await api.get<Json>('/v1/logs/jobs')).body.list[0].counts, { total: 5, succeeded: 5 })
    await first.stop()
  })

  t.test('two engines share the work and send no epoch twice', async (t) => {
    const env = { ACK_TIMEOUT_MS: '300', SWEEP_MS: '50', LEASE_MS: '400' }
    const [one, two] = [await startReplica(t, { ...options, env }), await startReplica(t, { ...options, env })]
    fleet.received = []
    fleet.onExecution = (command) => (command.epoch === 1 ? undefined : fleet.succeed(command))
    const jobs = []
    for (let i = 0; i < 4; i++) jobs.push(await prepare(i % 2 ? one : two, names(20)))
    await Promise.all(
      jobs.flatMap((job, i) =>
        [one, two].map((replica) =>
          replica.as({ tenantId: job.tenantId }).get(`/v1/jobs/${job.jobId}/run`, { 'idempotency-key': `k${i}` })
        )
      )
    )
    for (const { tenantId } of jobs) {
      await until(async () => (await total(one.as({ tenantId }), 'SUCCESS')) === 1, { what: 'the end of a run' })
    }
    const sent = fleet.received.map(({ executionId, epoch }) => `${executionId}/${epoch}`)
    t.equal(new Set(sent).size, sent.length)
    t.equal(new Set(fleet.received.map(({ executionId }) => executionId)).size, 80)
    await one.stop()
    await two.stop()
  })

  t.test('a run ends at its deadline, and with its job', async (t) => {
    const replica = await startReplica(t, { ...options, env: { RUN_DEADLINE_HOURS: '0.0003' } })
    fleet.onExecution = () => {}
    const job = await prepare(replica, names(2))
    const api = replica.as({ tenantId: job.tenantId })
    await api.get(`/v1/jobs/${job.jobId}/run`)
    await until(async () => (await total(api, 'FAILED')) === 1, { what: 'the end of the run' })
    const { list } = (await api.get<Json>(`/v1/logs/jobs/clients?jobId=${job.jobId}`)).body
    t.strictSame(
      list.map(({ status, message }: Json) => [status, message]),
      Array(2).fill(['FAILED', 'not finished before the deadline of the run'])
    )

    const other = await prepare(replica, names(1), {
      steps: [{ type: 'SEND_FILE', filePath: '/a', targetFilePath: 'a' }]
    })
    const otherApi = replica.as({ tenantId: other.tenantId })
    await otherApi.put('/v1/jobs', { jobId: other.jobId, duration: 60 })
    await otherApi.get(`/v1/jobs/${other.jobId}/run`)
    t.equal((await otherApi.delete(`/v1/jobs/${other.jobId}`)).body, 'success')
    await until(async () => (await total(otherApi, 'FAILED')) === 1, { what: 'the end of the other run' })
    const left = (await otherApi.get<Json>(`/v1/logs/jobs/clients?jobId=${other.jobId}`)).body.list
    t.match(left, [{ message: 'the job was deleted' }])
    await replica.stop()
  })

  t.test('reconciles presence with the broker', async (t) => {
    const [lost = '', ghost = ''] = names(2)
    const replica = await startReplica(t, { ...options, env: { RECONCILE_MS: '200' } })
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    const connection = { tenantId, clientId: ghost, username: '', node: 'n1', ip: '', connectedAt: Date.now() - 5000 }
    // One of which the scheduler has heard, and which the broker does not have; and the other way round.
    await fleet.bus.publish(clientConnected, connection)
    const status = async (name: string) =>
      (await api.get<Json>(`/v1/clients?mqttClientId=${name}`)).body.list[0]?.status
    await until(async () => (await status(ghost)) === 'OFFLINE', { what: 'the ghost to be gone' })
    fleet.pretend(tenantId, lost)
    await until(async () => (await status(lost)) === 'ONLINE', { what: 'the lost one to be found' })
    await replica.stop()
  })

  t.test('new machines wait to be enabled where the setting says so', async (t) => {
    const replica = await startReplica(t, { ...options, env: { AUTO_ENABLE_NEW_CLIENT: 'false' } })
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    await fleet.connect(tenantId, names(1))
    const listed = async () => (await api.get<Json>('/v1/clients?status=ONLINE')).body.list[0]
    t.match(await until(listed, { what: 'the machine' }), { enable: false, status: 'ONLINE' })
    await replica.stop()
  })
})

t.test('a lease', async (t) => {
  const parts = await startParts(t, { nats: false })
  const store = await openStore({ uri: parts.mongoUri, database: 'leases', log: quietLog })
  t.teardown(() => store.close())
  const runs = createRunStore(store)
  await store.sync()
  const lease = { owner: '', until: new Date(0), epoch: 0 }
  const run = {
    _id: 'r1',
    tenantId: 't',
    jobId: 1,
    triggerKey: 'k',
    state: 'RUNNING',
    open: true,
    job: { priority: 0 },
    lease
  }
  await runs.collection.insertOne(run as never)
  const [first, second] = [createLeases(runs.collection, 'first', 300), createLeases(runs.collection, 'second', 300)]

  t.test('is held by one, until that one is silent; then its writes match nothing', async (t) => {
    const [held] = await first.renew()
    t.match(held, { _id: 'r1', epoch: 1 })
    t.strictSame(await second.renew(), [])
    await first.keep()
    t.strictSame(
      (await first.renew()).map(({ epoch }) => epoch),
      [1],
      'renewing is no new claim'
    )
    const taken = await until(async () => (await second.renew())[0], { what: 'the lease to end' })
    t.match(taken, { _id: 'r1', epoch: 2 })
    t.strictSame(await first.renew(), [])
    const stale = await runs.collection.updateOne(first.fence(held as HeldRun), { $set: { state: 'FINISHED' } })
    t.equal(stale.matchedCount, 0)
    const fresh = await runs.collection.updateOne(second.fence(taken), { $set: { targets: 1 } })
    t.equal(fresh.matchedCount, 1)
  })

  t.test('that is given back is free at once', async (t) => {
    await second.release()
    t.match(await first.renew(), [{ _id: 'r1', epoch: 3 }])
  })
})
