import { newId, type ReportEvent } from '@fleetgate/kit'
import { startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Json, makeJob, newTenant, type Received, startFleet, startReplica } from '../support.js'

// A busy machine may need longer than tap's half minute for all of it.
t.setTimeout(120_000)

t.test('a run under control', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const env = { ACK_TIMEOUT_MS: '60000', SILENCE_TIMEOUT_MS: '60000' }
  const replica = await startReplica(t, { parts, database: 'control', env })
  const { connection } = replica.store

  t.beforeEach(() => {
    fleet.received = []
    fleet.others = []
    fleet.onExecution = (command) => report(command, { kind: 'RECEIVED' })
  })

  function report(command: Received, ...events: Partial<ReportEvent>[]) {
    const all = events.map((event, i) => ({ seq: i + 1, at: Date.now(), ...event }))
    return fleet.report(command, all as ReportEvent[])
  }
  const fail = (command: Received) =>
    report(command, { kind: 'RECEIVED' }, { kind: 'FINISHED', status: 'FAILED', message: 'no' })

  const stops = (client: string | undefined) =>
    fleet.others.filter(({ channel, clientId }) => channel === 'stop' && clientId === client)
  const halts = (runId: string) =>
    connection
      .collection('executions')
      .find({ runId, 'halt.attempt': { $exists: true } })
      .toArray()

  async function prepare(count: number, { job = {}, away = 0 }: { job?: Record<string, unknown>; away?: number } = {}) {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    const clients = Array.from({ length: count }, (_, i) => `m${i}-${tenantId}`)
    await fleet.connect(tenantId, clients)
    const total = async (status: string) => (await api.get<Json>(`/v1/clients?status=${status}`)).body.total
    await until(async () => (await total('ONLINE')) === count, { what: 'the machines' })
    const absent = clients.slice(0, away)
    await fleet.disconnect(tenantId, absent)
    await until(async () => (await total('OFFLINE')) === away, { what: 'machines to be away' })
    const made = await makeJob(api, { clients, job })
    const run = async () => (await api.get(`/v1/jobs/${made.jobId}/run`)).headers.get('x-run-id') as string
    const row = async () => (await api.get<Json>(`/v1/logs/jobs?jobId=${made.jobId}`)).body.list[0]
    const machines = async () =>
      (await api.get<Json>(`/v1/logs/jobs/clients?jobId=${made.jobId}&pageSize=1000`)).body.list
    const having = async (field: string, value: unknown) =>
      (await machines()).filter((m: Json) => m[field] === value).length
    const order = (runId: string, word: string) => api.put<Json>(`/v1/jobs/${made.jobId}/runs/${runId}/${word}`)
    const ended = (status: string) =>
      until(async () => (await row())?.status === status && row(), { what: `the run to be ${status}` })
    return { tenantId, api, clients, absent, run, row, machines, having, order, ended, ...made }
  }

  t.test('that is cancelled ends what waits, and counts what machines at work say', async (t) => {
    const job = await prepare(4, { away: 2, job: { maxRetries: 3 } })
    const runId = await job.run()
    await until(async () => (await job.having('state', 'RUNNING')) === 2, { what: 'two at work' })
    t.match(await job.order(runId, 'cancel'), { status: 200, body: 'success' })
    await until(async () => (await job.having('message', 'the run was cancelled')) === 2, { what: 'the end of two' })
    t.match(await job.row(), { status: 'RUNNING', reason: 'the run was cancelled; machines at work are told to stop' })
    t.match(await job.order(runId, 'cancel'), { status: 200 }, 'once more changes nothing')
    t.match(await job.order(runId, 'pause'), { status: 409, body: { code: 'INVALID_STATE' } })
    const [one, two] = fleet.received as [Received, Received]
    await fleet.succeed(one)
    await fail(two)
    await job.ended('FAILED')
    t.match(await job.row(), { reason: 'the run was cancelled', counts: { total: 4, succeeded: 1, failed: 3 } })
    t.equal(fleet.received.length, 2, 'no further attempt of the one that failed')
    t.match(await job.order(runId, 'cancel'), { status: 200 })
    t.match(await job.order(runId, 'resume'), { status: 409, body: { code: 'INVALID_STATE' } })
  })

  t.test('that is cancelled tells machines at work, and those that are away when they are back', async (t) => {
    const job = await prepare(2, { job: { maxRetries: 3 } })
    const [here = '', gone = ''] = job.clients
    const runId = await job.run()
    await until(async () => (await job.having('state', 'RUNNING')) === 2, { what: 'two at work' })
    await fleet.disconnect(job.tenantId, [gone])
    await until(async () => (await job.api.get<Json>('/v1/clients?status=OFFLINE')).body.total === 1, {
      what: 'one away'
    })
    await job.order(runId, 'cancel')
    const order = await until(() => stops(here)[0], { what: 'the order to stop' })
    const [command] = fleet.received.filter(({ clientId }) => clientId === here) as [Received]
    t.match(order, { executionId: command.executionId, attempt: 1, reason: 'the run was cancelled' })
    await report(
      command,
      { kind: 'RECEIVED' },
      { kind: 'FINISHED', status: 'FAILED', message: order?.reason as string }
    )
    await until(async () => (await job.having('message', 'the run was cancelled')) === 1, { what: 'the end of one' })
    t.equal((await halts(runId)).length, 1, 'the answer settles it')
    await fleet.connect(job.tenantId, [gone], 'STORE')
    await until(() => stops(gone)[0], { what: 'the order to the other' })
    const [other] = fleet.received.filter(({ clientId }) => clientId === gone) as [Received]
    await fail(other)
    await job.ended('FAILED')
    t.strictSame(await halts(runId), [])
    t.equal(new Set(fleet.received.map(({ attempt }) => attempt)).size, 1, 'no further attempt')
  })

  t.test('whose machine does not hear of the cancel in time is told after its end', async (t) => {
    const job = await prepare(1)
    const runId = await job.run()
    await until(async () => (await job.having('state', 'RUNNING')) === 1, { what: 'the machine at work' })
    await fleet.disconnect(job.tenantId, job.clients)
    await until(async () => (await job.api.get<Json>('/v1/clients?status=OFFLINE')).body.total === 1, { what: 'none' })
    await connection.collection('runs').updateOne({ _id: runId as never }, { $set: { deadlineAt: Date.now() } })
    await job.ended('FAILED')
    await fleet.connect(job.tenantId, job.clients, 'STORE')
    const order = await until(() => stops(job.clients[0])[0], { what: 'the order to stop' })
    t.equal(order?.reason, 'not finished before the deadline of the run')
    await fail(fleet.received[0] as Received)
    await until(async () => (await halts(runId)).length === 0, { what: 'the answer' })
    t.match(await job.row(), { counts: { failed: 1, succeeded: 0 } })
  })

  t.test('whose job is deleted stops its machines', async (t) => {
    const job = await prepare(2)
    await job.run()
    await until(async () => (await job.having('state', 'RUNNING')) === 2, { what: 'two at work' })
    t.equal((await job.api.delete(`/v1/jobs/${job.jobId}`)).status, 200)
    for (const client of job.clients) {
      t.match(await until(() => stops(client)[0], { what: 'the order' }), { reason: 'the job was deleted' })
    }
  })

  t.test('waits for a machine that was away when it was disabled, with what it had not confirmed', async (t) => {
    const job = await prepare(1)
    fleet.onExecution = () => undefined
    const runId = await job.run()
    const command = await until(() => fleet.received[0], { what: 'the command' })
    await fleet.disconnect(job.tenantId, job.clients)
    await until(async () => (await job.api.get<Json>('/v1/clients?status=OFFLINE')).body.total === 1, { what: 'none' })
    await job.api.put(`/v1/clients/${job.clientIds[0]}/disable`)
    t.strictSame(await halts(runId), [])
    await job.api.put(`/v1/clients/${job.clientIds[0]}/enable`)
    await fleet.connect(job.tenantId, job.clients, 'STORE')
    await fleet.succeed(command)
    await job.ended('SUCCESS')
  })

  t.test('stops a machine that is deleted at its work', async (t) => {
    const job = await prepare(2)
    await job.run()
    await until(async () => (await job.having('state', 'RUNNING')) === 2, { what: 'two at work' })
    t.equal((await job.api.delete(`/v1/clients/${job.clientIds[0]}`)).status, 200)
    const order = await until(() => stops(job.clients[0])[0], { what: 'the order' })
    t.match(order, { reason: 'the machine was deleted' })
    await until(async () => (await job.having('message', 'the machine was deleted')) === 1, { what: 'its end' })
    await fleet.succeed(fleet.received.find(({ clientId }) => clientId === job.clients[1]) as Received)
    await job.ended('FAILED')
    t.equal(stops(job.clients[1]).length, 0)
  })

  t.test(
    'stops a machine that is disabled at its work, and gives it the next attempt when it is enabled',
    async (t) => {
      const job = await prepare(2, { job: { maxRetries: 1 } })
      const [client = ''] = job.clients
      const [id] = job.clientIds
      await job.run()
      await until(async () => (await job.having('state', 'RUNNING')) === 2, { what: 'two at work' })
      await job.api.put(`/v1/clients/${id}/disable`)
      const order = await until(() => stops(client)[0], { what: 'the order to stop' })
      t.match(order, { attempt: 1, reason: 'the machine was disabled' })
      await fail(fleet.received.find(({ clientId }) => clientId === client) as Received)
      await until(async () => (await job.having('reason', 'machine is disabled')) === 1, {
        what: 'the machine to wait'
      })
      fleet.onExecution = (command) => fleet.succeed(command)
      await job.api.put(`/v1/clients/${id}/enable`)
      await until(() => fleet.received.some(({ clientId, attempt }) => clientId === client && attempt === 2), {
        what: 'the next attempt'
      })
      t.equal(stops(client).length, 1)
      t.equal(stops(job.clients[1]).length, 0, 'the other is left alone')
      await fleet.succeed(fleet.received.find(({ clientId }) => clientId !== client) as Received)
      await job.ended('SUCCESS')
    }
  )

  t.test('that is cancelled before it is prepared ends as well', async (t) => {
    const job = await prepare(2)
    await job.api.post(`/v1/tasks/${job.taskId}/scripts`, [{ type: 'SEND_FILE', filePath: '/a', targetFilePath: 'a' }])
    const runId = await job.run()
    await until(async () => (await job.having('reason', 'no SERVER machine is online to offer /a')) === 2, {
      what: 'the run to wait'
    })
    await job.order(runId, 'cancel')
    await job.ended('FAILED')
    t.equal(await job.having('message', 'the run was cancelled'), 2)
    t.equal(fleet.received.length, 0)
  })

  t.test('that is cancelled does not wait for ever for a machine that broke at its work', async (t) => {
    const job = await prepare(1)
    const runId = await job.run()
    await until(async () => (await job.having('state', 'RUNNING')) === 1, { what: 'the machine at work' })
    await job.order(runId, 'cancel')
    const runs = connection.collection('runs')
    const { deadlineAt, stop } = (await runs.findOne({ _id: runId as never })) as Json
    t.equal(deadlineAt, stop.at + 3_600_000)
    await runs.updateOne({ _id: runId as never }, { $set: { deadlineAt: Date.now() } })
    await job.ended('FAILED')
    t.match((await job.machines())[0].message, /^the run was cancelled; not finished within 60 minutes/)
  })

  t.test('that is paused gives nothing out until it goes on', async (t) => {
    const job = await prepare(3, { away: 2 })
    const [first = '', second = ''] = job.absent
    const runId = await job.run()
    await until(async () => (await job.having('state', 'RUNNING')) === 1, { what: 'one at work' })
    t.match(await job.order(runId, 'pause'), { status: 200, body: 'success' })
    t.match(await job.order(runId, 'pause'), { status: 200 })
    await until(async () => (await job.having('reason', 'the run is paused')) === 2, { what: 'the reason' })
    t.match(await job.row(), { status: 'RUNNING', reason: 'the run is paused' })
    await fleet.connect(job.tenantId, [first], 'STORE')
    // The sweeps that pass meanwhile must not give it out: a run of another job is, in the same rounds.
    const witness = await prepare(1)
    fleet.onExecution = (command) => fleet.succeed(command)
    await witness.run()
    await witness.ended('SUCCESS')
    t.equal(fleet.received.filter(({ clientId }) => clientId === first).length, 0)
    t.match(await job.order(runId, 'resume'), { status: 200, body: 'success' })
    await until(() => fleet.received.some(({ clientId }) => clientId === first), { what: 'the command' })
    t.equal((await job.row()).reason, null)
    await fleet.connect(job.tenantId, [second], 'STORE')
    const one = fleet.received.find(({ clientId }) => clientId === job.clients[2]) as Received
    await fleet.succeed(one)
    await job.ended('SUCCESS')
  })

  t.test('is refused to strangers, with a name that is none, and when it has ended', async (t) => {
    const job = await prepare(1)
    fleet.onExecution = (command) => fleet.succeed(command)
    const runId = await job.run()
    await job.ended('SUCCESS')
    for (const word of ['cancel', 'pause', 'resume']) {
      t.match(await job.order(runId, word), { status: 409, body: { code: 'INVALID_STATE' } })
      t.match(await job.order(newId(), word), { status: 404 })
      t.match(await job.order('run-1', word), { status: 400, body: { field: 'runId' } })
      const stranger = replica.as({ tenantId: newTenant() })
      t.match(await stranger.put(`/v1/jobs/${job.jobId}/runs/${runId}/${word}`), { status: 404 })
      t.match(await job.api.put(`/v1/jobs/${job.jobId + 1}/runs/${runId}/${word}`), { status: 404 })
    }
  })

  t.test('has no more machines at work than its job allows', async (t) => {
    const job = await prepare(9, { job: { maxConcurrentSession: 3 }, away: 1 })
    const atWork = new Set<string>()
    let most = 0
    fleet.onExecution = (command) => {
      atWork.add(command.executionId)
      most = Math.max(most, atWork.size)
      return report(command, { kind: 'RECEIVED' })
    }
    await job.run()
    // The machine that is away is found to be so when its turn comes, which is at any place.
    const others = async () => (await job.machines()).filter((m: Json) => !job.absent.includes(m.mqttClientId))
    const full = 'waiting for a free session (3 of 3 at work)'
    await until(async () => (await others()).filter((m: Json) => m.reason === full).length === 5, {
      what: 'five to wait for room'
    })
    await until(() => fleet.received.length === 3, { what: 'three to hear of it' })
    for (let done = 0; done < 8; done++) {
      const command = await until(() => fleet.received[done], { what: 'a free session to be used' })
      atWork.delete(command.executionId)
      await (done % 2 ? fail(command) : fleet.succeed(command))
    }
    await fleet.connect(job.tenantId, job.absent, 'STORE')
    const last = await until(() => fleet.received[8], { what: 'the machine that was away' })
    await fleet.succeed(last)
    await job.ended('FAILED')
    t.match(await job.row(), { counts: { total: 9, succeeded: 5, failed: 4 } })
    t.equal(most, 3)
    t.equal(new Set(fleet.received.map(({ executionId }) => executionId)).size, 9)
  })

  t.test('is given out in stages, and says which machines wait for their turn', async (t) => {
    const job = await prepare(6, { job: { rollout: { perMinute: 60 } } })
    fleet.onExecution = (command) => fleet.succeed(command)
    const since = Date.now()
    const runId = await job.run()
    const waits = 'waiting for its turn in the rollout (60 machines a minute)'
    await until(async () => (await job.having('reason', waits)) >= 4, { what: 'most to wait' })
    // A command of the run before may come once more.
    const given = () => new Set(fleet.received.flatMap((one) => (one.runId === runId ? [one.executionId] : []))).size
    await until(() => given() >= 3, { what: 'a further machine' })
    t.ok(Date.now() - since > 1500, 'the third goes two seconds after the first')
    // As if the driver had stood still for a minute.
    const runs = connection.collection('runs')
    const { pace } = (await runs.findOne({ _id: runId as never })) as Json
    t.ok(pace.tokens < 1)
    await runs.updateOne({ _id: runId as never }, { $set: { 'pace.at': pace.at - 60_000 } })
    await job.ended('SUCCESS')
  })

  t.test('does not begin with the machines that were registered first', async (t) => {
    const job = await prepare(12, { job: { maxConcurrentSession: 1 } })
    fleet.onExecution = (command) => fleet.succeed(command)
    const runId = await job.run()
    await job.ended('SUCCESS')
    const given = fleet.received.flatMap((one) => (one.runId === runId ? [Number(one.executionId.split('-')[1])] : []))
    const order = [...new Set(given)]
    t.equal(order.length, 12)
    t.notSame(
      order,
      [...order].sort((a, b) => a - b)
    )
  })

  t.test('is stopped when too many machines fail', async (t) => {
    const abort = { failedPercent: 50, minimum: 4 }
    const job = await prepare(8, { job: { maxConcurrentSession: 1, abort } })
    t.match((await job.api.get(`/v1/jobs/${job.jobId}/details`)).body, {
      executionOpt: { maxConcurrentSession: 1, abort, rollout: null }
    })
    let seen = 0
    fleet.onExecution = (command) => (seen++ % 2 ? fleet.succeed(command) : fail(command))
    await job.run()
    await job.ended('FAILED')
    const reason = 'stopped: 2 of 4 machines failed (the limit is 50 %)'
    t.match(await job.row(), { reason, counts: { total: 8, succeeded: 2, failed: 6 } })
    t.equal(await job.having('message', reason), 4)
    t.equal(fleet.received.length, 4)
  })

  t.test('that is given out in stages gives no further stage out once too many of one have failed', async (t) => {
    const abort = { failedPercent: 60, minimum: 4 }
    const job = await prepare(12, { job: { rollout: { perMinute: 3 }, abort } })
    const runs = connection.collection('runs')
    /** As if a minute had gone by without a machine. */
    const goOn = async (runId: string) => {
      const { pace } = (await runs.findOne({ _id: runId as never })) as Json
      await runs.updateOne({ _id: runId as never }, { $set: { 'pace.at': pace.at - 60_000 } })
    }
    const runId = await job.run()
    await until(() => fleet.received.length === 1, { what: 'the first machine' })
    await goOn(runId)
    await until(() => fleet.received.length === 4, { what: 'the second stage' })
    const stage = [...fleet.received]
    for (const command of stage.slice(0, 3)) await fail(command)
    await until(async () => (await job.having('status', 'FAILED')) === 3, { what: 'three failures' })
    t.equal((await job.row()).status, 'RUNNING', 'too few have ended to judge')
    await fail(stage[3] as Received)
    await job.ended('FAILED')
    await goOn(runId)
    const other = await prepare(1)
    fleet.onExecution = (command) => fleet.succeed(command)
    await other.run()
    await other.ended('SUCCESS')
    t.strictSame(
      fleet.received.filter((command) => command.runId === runId).map(({ executionId }) => executionId),
      stage.map(({ executionId }) => executionId),
      'nothing goes out after the threshold'
    )
    const reason = 'stopped: 4 of 4 machines failed (the limit is 60 %)'
    t.match(await job.row(), { reason, counts: { total: 12, succeeded: 0, failed: 12 } })
    t.equal(await job.having('message', reason), 8)
  })

  t.test('goes before one of lower priority', async (t) => {
    const low = await prepare(1, { away: 1, job: { priority: -1 } })
    const api = low.api
    const { jobId } = (await api.post<Json>('/v1/jobs', { jobName: 'urgent', priority: 5 })).body
    await api.put(`/v1/jobs/${jobId}/tasks`, [low.taskId])
    await api.put(`/v1/jobs/${jobId}/clients`, low.clientIds)
    await low.run()
    await api.get(`/v1/jobs/${jobId}/run`)
    const waiting = async () =>
      (await api.get<Json>('/v1/logs/clients?status=WAITING')).body.list.filter(
        ({ reason }: Json) => reason === 'machine is offline'
      )
    await until(async () => (await waiting()).length === 2, { what: 'both runs to wait for the machine' })
    fleet.onExecution = (command) => fleet.succeed(command)
    await fleet.connect(low.tenantId, low.clients)
    await until(async () => (await api.get<Json>('/v1/logs/jobs?status=SUCCESS')).body.total === 2, { what: 'both' })
    t.strictSame(
      fleet.received.map((command) => command.jobId),
      [jobId, low.jobId]
    )
  })

  t.test('takes only limits that make sense', async (t) => {
    const api = replica.as({ tenantId: newTenant() })
    const wrong: [Record<string, unknown>, RegExp][] = [
      [{ maxConcurrentSession: -1 }, /^maxConcurrentSession/],
      [{ maxConcurrentSession: '2' }, /^maxConcurrentSession/],
      [{ rollout: { perMinute: 0.5 } }, /^rollout/],
      [{ rollout: { perMinute: 1, growth: 0 } }, /^rollout/],
      [{ rollout: 5 }, /^rollout/],
      [{ abort: { failedPercent: 101 } }, /^abort/],
      [{ abort: { failedPercent: 10, minimum: 0 } }, /^abort/],
      [{ abort: {} }, /^abort/]
    ]
    for (const [fields, field] of wrong) {
      t.match(
        await api.post('/v1/jobs', { jobName: 'x', ...fields }),
        { status: 400, body: { field } },
        JSON.stringify(fields)
      )
    }
    const limits = {
      maxConcurrentSession: 7,
      rollout: { perMinute: 5, growth: 1.5 },
      abort: { failedPercent: 20, minimum: 1 }
    }
    const { jobId } = (await api.post<Json>('/v1/jobs', { jobName: 'x', ...limits })).body
    t.match((await api.get<Json>(`/v1/jobs/${jobId}/details`)).body.executionOpt, limits)
    await api.post('/v1/jobs/settings', { maxConcurrentSession: 4 })
    const other = (await api.post<Json>('/v1/jobs', { jobName: 'y' })).body
    t.match((await api.get(`/v1/jobs/${other.jobId}/details`)).body, { executionOpt: { maxConcurrentSession: 4 } })
    await api.put('/v1/jobs', {
      jobId,
      maxConcurrentSession: 0,
      rollout: { perMinute: 0 },
      abort: { failedPercent: 0 }
    })
    t.match((await api.get<Json>(`/v1/jobs/${jobId}/details`)).body.executionOpt, {
      maxConcurrentSession: 0,
      rollout: null,
      abort: null
    })
  })
})
