import { isCastOf, type ReportEvent, runFinished, type Static } from '@fleetgate/kit'
import { startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import {
  createRandom,
  file,
  type Json,
  makeJob,
  newTenant,
  programStep,
  type Received,
  type Replica,
  startFleet,
  startReplica,
  successOf
} from './support.js'

const sendStep = { type: 'SEND_FILE', order: 0, filePath: '/files/app.zip', targetFilePath: 'app.zip' }
const statusStep = { type: 'GET_FILE_STATUS', order: 0, filePath: 'app.zip' }

// A busy machine may need longer than tap's half minute for all of it.
t.setTimeout(120_000)

t.test('the engine', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const replica = await startReplica(t, { parts, database: 'engine' })
  const finished: Static<typeof runFinished.data>[] = []
  await fleet.bus.watch(runFinished, { sinceMs: 60_000 }, (event) => finished.push(event))

  t.beforeEach(() => {
    fleet.received = []
    fleet.staged = []
    fleet.onExecution = (command) => fleet.succeed(command)
    fleet.onStage = (command) =>
      fleet.up(command, 'staged', { stageId: command.stageId, runId: command.runId, files: [file] })
  })

  /** A tenant with machines that are there, and the job over them. */
  async function prepare(
    clients: string[],
    options: { steps?: unknown[]; job?: Record<string, unknown>; on?: Replica } = {}
  ) {
    const tenantId = newTenant()
    const api = (options.on ?? replica).as({ tenantId })
    await fleet.connect(tenantId, clients, 'STORE')
    const path = `/v1/clients?status=ONLINE`
    await until(async () => (await api.get<Json>(path)).body.total === clients.length, {
      what: 'the machines to be there'
    })
    const made = await makeJob(api, { clients, ...options })
    const run = async () => (await api.get(`/v1/jobs/${made.jobId}/run`)).headers.get('x-run-id') as string
    const runLog = async () => (await api.get<Json>(`/v1/logs/jobs?jobId=${made.jobId}`)).body.list[0]
    const machines = async (query = '') =>
      (await api.get<Json>(`/v1/logs/jobs/clients?jobId=${made.jobId}&pageSize=1000${query}`)).body.list
    const ended = (status: string) =>
      until(async () => (await runLog())?.status === status && runLog(), { what: `the run to be ${status}` })
    return { tenantId, api, run, runLog, machines, ended, ...made }
  }

  /** The same, with these of its machines gone again. */
  async function prepareAway(clients: string[], away: string[]) {
    const job = await prepare(clients)
    await fleet.disconnect(job.tenantId, away)
    await until(async () => (await job.api.get<Json>('/v1/clients?status=OFFLINE')).body.total === away.length, {
      what: 'the machines to be away'
    })
    return job
  }

  const names = (n: number, prefix = 'm') => Array.from({ length: n }, (_, i) => `${prefix}${i}-${newTenant()}`)
  const event = (seq: number, kind: ReportEvent['kind'], more: Partial<ReportEvent> = {}): ReportEvent => ({
    seq,
    at: Date.now(),
    kind,
    ...more
  })

  t.test('runs a job with a file, a question and a program on every machine', async (t) => {
    const branch = { type: 'IF', order: 1, conditions: [statusStep], true: [programStep], false: [statusStep] }
    const job = await prepare(names(30), { steps: [sendStep, branch] })
    await fleet.connect(job.tenantId, ['server'], 'SERVER')
    const runId = await job.run()
    const row = await job.ended('SUCCESS')
    t.match(row, {
      runId,
      jobName: 'roll out',
      counts: { total: 30, succeeded: 30, failed: 0, running: 0, waiting: 0 }
    })
    t.type(row.LastEditedAt, 'string')
    t.ok(row.endTime >= row.startTime)

    t.equal(fleet.staged.length, 1)
    t.match(fleet.staged[0], { clientId: 'server', path: '/files/app.zip', ignoreHiddenFile: false })
    t.equal(fleet.staged[0]?.transferOption, undefined)
    t.equal(new Set(fleet.received.map(({ executionId }) => executionId)).size, 30)
    const [command] = fleet.received
    t.match(command, {
      runId,
      jobId: job.jobId,
      attempt: 1,
      epoch: 1,
      sources: { [job.scriptIds[0] as number]: { files: [file] } }
    })
    t.ok((command?.expiresInMs ?? 0) > 71 * 3_600_000)

    const list = await job.machines('&status=SUCCESS')
    t.equal(list.length, 30)
    const [{ clientId, reportId }] = list
    t.equal(reportId, `${runId}-${clientId}`)
    t.match(list[0], { status: 'SUCCESS', ipAddress: '10.0.0.1', username: /^user-/, attempt: 1, reason: null })
    const of = `jobId=${job.jobId}&clientId=${clientId}&reportId=${encodeURIComponent(reportId)}&pageSize=50&pageNo=1`
    const tasks = (await job.api.get<Json>(`/v1/logs/jobs/clients/tasks?${of}`)).body
    t.match(tasks, {
      total: 1,
      list: [{ status: 'SUCCESS', taskId: job.taskId, taskName: 'install', order: 0, disableValidation: false }]
    })
    t.type(tasks.list[0].nowTime, 'number')
    const scripts = (await job.api.get<Json>(`/v1/logs/jobs/clients/tasks/scripts?${of}&taskId=${job.taskId}`)).body
    t.match(scripts, { code: 'SUCCESS', data: { total: 5 } })
    t.strictSame(
      scripts.data.list.map(({ type, status, branch: of }: Json) => [type, status, of]),
      [
        ['SEND_FILE', 'SUCCESS', null],
        ['IF', 'SUCCESS', null],
        ['GET_FILE_STATUS', 'SUCCESS', 'conditions'],
        ['EXECUTE_FILE', 'SUCCESS', 'true'],
        ['GET_FILE_STATUS', 'SKIPPED', 'false']
      ]
    )
    t.strictSame(
      scripts.data.list[0].messages.map(({ message }: Json) => message),
      ['Successed', 'START'],
      'the newest first'
    )
    t.match(scripts.data.list[0], {
      reportId,
      filePath: '/files/app.zip',
      targetFilePath: 'app.zip',
      block: true,
      createFilePath: false
    })

    const event = await until(() => finished.find((one) => one.runId === runId), { what: 'the event' })
    t.match(event, { tenantId: job.tenantId, jobId: job.jobId, result: 'SUCCESS', succeeded: 30, failed: 0 })
    t.equal((await job.api.get<Json>(`/v1/jobs/${job.jobId}/details`)).body.general.lastRunAt, row.startTime)
    t.equal((await job.api.get<Json>(`/v1/tasks/${job.taskId}/details`)).body.lastRunAt, row.startTime)
    t.match((await job.api.get('/v1/logs/jobs?status=SUCCESS')).body, { total: 1 })
    t.match((await job.api.get('/v1/logs/jobs?status=RUNNING')).body, { total: 0 })
    t.match((await job.api.get(`/v1/logs/jobs?startAt=${Date.now() + 1000}`)).body, { total: 0 })
  })

  t.test('a file', async (t) => {
    t.test('waits for a SERVER machine, and says so', async (t) => {
      const job = await prepare(names(1), { steps: [sendStep] })
      await job.run()
      const reason = async () => (await job.machines('&status=WAITING'))[0]?.reason
      await until(async () => (await reason()) === 'no SERVER machine is online to offer /files/app.zip', {
        what: 'the reason'
      })
      t.equal((await job.runLog()).reason, await reason(), 'and so does the run')
      fleet.onStage = () => {}
      await fleet.connect(job.tenantId, ['late-server'], 'SERVER')
      const waits = 'waiting for the SERVER machine late-server to offer /files/app.zip'
      await until(async () => (await reason()) === waits, { what: 'the other reason' })
      await until(() => fleet.staged.length >= 3, { what: 'the question to be repeated' })
      t.equal(new Set(fleet.staged.map(({ stageId }) => stageId)).size, 1)
      t.equal((await job.runLog()).status, 'WAITING')
      const [{ stageId, runId }] = fleet.staged as unknown as [{ stageId: string; runId: string }]
      await fleet.up({ tenantId: job.tenantId, clientId: 'stranger' }, 'staged', { stageId, runId, error: 'ha' })
      await fleet.up({ tenantId: job.tenantId, clientId: 'late-server' }, 'staged', '{')
      await fleet.up({ tenantId: job.tenantId, clientId: 'late-server' }, 'staged', { stageId, runId, files: [file] })
      await job.ended('SUCCESS')
    })

    t.test('that is broadcast is offered as one that is sent, and has one cast for all machines', async (t) => {
      const transferOption = { rateLimit: 1_000_000 }
      const cast = { ...sendStep, type: 'BROADCAST', order: 1, transferOption }
      const job = await prepare(names(3), { steps: [sendStep, cast] })
      await fleet.connect(job.tenantId, ['server'], 'SERVER')
      await job.run()
      await job.ended('SUCCESS')
      t.equal(fleet.staged.length, 1, 'the same file is offered once')
      t.strictSame(fleet.staged[0]?.transferOption, transferOption, 'and uploaded at the rate that a step asks for')
      const [sendId = 0, castId = 0] = job.scriptIds
      const casts = new Set(fleet.received.map(({ sources }) => sources[castId]?.castId))
      t.equal(casts.size, 1)
      t.ok(isCastOf(job.tenantId, [...casts][0] ?? ''))
      t.match(fleet.received[0]?.sources[castId], { files: [file] })
      t.strictSame(fleet.received[0]?.sources[sendId], { files: [file] })
      t.match(fleet.received[0]?.tasks[0]?.scripts[1], { type: 'BROADCAST', transferOption })
    })

    t.test('is asked of the next machine where one cannot offer it', async (t) => {
      const job = await prepare(names(1), { steps: [sendStep] })
      fleet.onStage = (command) => {
        const { stageId, runId, clientId } = command
        const answer = clientId === 'server-a' ? { error: 'no such file' } : { files: [file] }
        return fleet.up(command, 'staged', { stageId, runId, ...answer })
      }
      await fleet.connect(job.tenantId, ['server-a', 'server-b'], 'SERVER')
      await until(async () => (await job.api.get<Json>('/v1/clients?status=ONLINE')).body.total === 3, {
        what: 'the servers'
      })
      await job.run()
      await job.ended('SUCCESS')
      t.strictSame(
        fleet.staged.map(({ clientId }) => clientId),
        ['server-a', 'server-b']
      )
      t.match(fleet.received[0]?.sources[job.scriptIds[0] as number], { files: [file] })
    })

    t.test('is not asked of a machine that calls itself SERVER where people have chosen one', async (t) => {
      const job = await prepare(names(1), { steps: [sendStep] })
      fleet.onExecution = (command) =>
        fleet.report(command, [event(1, 'RECEIVED'), event(2, 'FINISHED', { status: 'FAILED' })])
      fleet.onStage = ({ stageId, runId, clientId, ...to }) => {
        const answer = clientId === 'chosen' ? { error: 'no such file' } : { files: [file] }
        return fleet.up({ ...to, clientId }, 'staged', { stageId, runId, ...answer })
      }
      await fleet.connect(job.tenantId, ['a-volunteer', 'chosen'], 'SERVER')
      const servers = async () =>
        (await job.api.get<Json>('/v1/clients?status=ONLINE')).body.list.filter(({ role }: Json) => role === 'SERVER')
      const found = await until(async () => (await servers()).length === 2 && servers(), { what: 'the servers' })
      const { clientId } = found.find(({ mqttClientId }: Json) => mqttClientId === 'chosen')
      t.equal((await job.api.put('/v1/clients', { clientId, role: 'SERVER' })).status, 200)
      const volunteer = found.find(({ mqttClientId }: Json) => mqttClientId === 'a-volunteer').clientId
      const bound = await job.api.put(`/v1/jobs/${job.jobId}/clients`, [volunteer])
      t.equal(bound.status, 200, 'as a target, whatever it calls itself')
      await job.run()
      await job.ended('FAILED')
      t.strictSame(
        fleet.staged.map((one) => one.clientId),
        ['chosen']
      )
      await fleet.disconnect(job.tenantId, ['chosen'])
      await until(async () => (await servers()).length === 1, { what: 'its absence' })
      await job.api.get(`/v1/jobs/${job.jobId}/run`, { 'idempotency-key': 'again' })
      const reason = async () => (await job.machines('&status=WAITING'))[0]?.reason
      const none = 'no SERVER machine is online to offer /files/app.zip'
      await until(async () => (await reason()) === none, { what: 'the reason: it is waited for' })
    })

    t.test('is not asked of machines that call themselves SERVER where the tenant wants none', async (t) => {
      const job = await prepare(names(1), { steps: [sendStep] })
      t.equal((await job.api.post('/v1/clients/settings', { selfDeclaredServers: false })).status, 200)
      await fleet.connect(job.tenantId, ['volunteer'], 'SERVER')
      await until(async () => (await job.api.get<Json>('/v1/clients?status=ONLINE')).body.total === 2, {
        what: 'the server'
      })
      await job.run()
      const reason = async () => (await job.machines('&status=WAITING'))[0]?.reason
      const none = 'no SERVER machine is online to offer /files/app.zip'
      await until(async () => (await reason()) === none, { what: 'the reason' })
      t.strictSame(fleet.staged, [])
      t.equal((await job.api.post('/v1/clients/settings', { selfDeclaredServers: true })).status, 200)
      await job.ended('SUCCESS')
    })

    t.test('that no machine can offer fails the step on every machine, with the reason', async (t) => {
      const job = await prepare(names(2), { steps: [sendStep] })
      fleet.onStage = ({ stageId, runId, ...to }) => fleet.up(to, 'staged', { stageId, runId, error: 'no such file' })
      fleet.onExecution = (command) => {
        const { error = '' } = command.sources[job.scriptIds[0] as number] ?? {}
        return fleet.report(command, [event(1, 'RECEIVED'), event(2, 'FINISHED', { status: 'FAILED', message: error })])
      }
      await fleet.connect(job.tenantId, ['server'], 'SERVER')
      await job.run()
      await job.ended('FAILED')
      t.strictSame(
        (await job.machines('&status=FAILED')).map(({ message }: Json) => message),
        ['no such file', 'no such file']
      )
    })
  })

  t.test('a machine that is away is waited for', async (t) => {
    const [here = '', away = ''] = names(2)
    const job = await prepareAway([here, away], [away])
    await job.run()
    await until(async () => (await job.machines('&status=WAITING'))[0]?.reason === 'machine is offline', {
      what: 'the reason'
    })
    await until(async () => (await job.runLog()).counts.succeeded === 1, { what: 'the other machine' })
    const reason = 'every machine that has not ended is offline or disabled'
    t.match(await job.runLog(), { status: 'RUNNING', endTime: null, reason, counts: { total: 2, waiting: 1 } })
    t.equal(fleet.received.length, 1)
    await fleet.connect(job.tenantId, [away], 'STORE')
    await job.ended('SUCCESS')
  })

  t.test('a machine that has the command and has not begun is said to have it in its own queue', async (t) => {
    const job = await prepare(names(1))
    fleet.onExecution = (command) => fleet.report(command, [event(1, 'RECEIVED')])
    await job.run()
    const waits = { status: 'RUNNING', reason: 'the machine has the command, which waits in its own queue' }
    const one = () => job.machines().then(([row]: Json[]) => row)
    await until(async () => (await one()).status === 'RUNNING', { what: 'the receipt' })
    t.match(await one(), waits)
    t.match((await job.api.get<Json>('/v1/logs/clients')).body.list, [waits])
    const [command] = fleet.received
    if (!command) throw new Error('no command')
    await fleet.report(command, [event(2, 'TASK_STARTED', { taskId: job.taskId })])
    await until(async () => (await one()).reason === null, { what: 'the reason to be gone' })
    t.match(await one(), { status: 'RUNNING' })
    await fleet.succeed(command)
    await job.ended('SUCCESS')
  })

  t.test('a machine that is renamed meanwhile gets what waits for it, and what it has begun counts', async (t) => {
    const [away = '', working = ''] = names(2)
    const [awayNow, workingNow] = [`${away}-new`, `${working}-new`]
    const job = await prepareAway([away, working], [away])
    fleet.onExecution = () => undefined
    await job.run()
    await until(async () => fleet.received.length === 1 && (await job.runLog()).counts.waiting > 0, {
      what: 'one to work and one to wait'
    })
    const [command] = fleet.received
    const rename = (index: number, mqttClientId: string) =>
      job.api.put('/v1/clients', { clientId: job.clientIds[index], mqttClientId })
    t.strictSame((await rename(0, awayNow)).body, { desc: null })
    t.strictSame((await rename(1, workingNow)).body, { desc: null })
    t.strictSame((await rename(1, workingNow)).body, { desc: null }, 'the same again')
    t.equal((await job.api.get<Json>('/v1/clients?status=ONLINE')).body.total, 0, 'nobody of that name is there')
    if (command) await fleet.succeed(command)
    await until(async () => (await job.runLog()).counts.succeeded === 1, { what: 'the report under the former name' })
    fleet.onExecution = (command) => fleet.succeed(command)
    await fleet.connect(job.tenantId, [awayNow], 'STORE')
    await job.ended('SUCCESS')
    t.equal(fleet.received.at(-1)?.clientId, awayNow)
  })

  t.test('a machine that is disabled or deleted meanwhile does not hold the run for ever', async (t) => {
    const [one = '', two = ''] = names(2)
    const job = await prepareAway([one, two], [one, two])
    await job.run()
    const offline = async () =>
      (await job.machines()).filter(({ reason }: Json) => reason === 'machine is offline').length
    await until(async () => (await offline()) === 2, { what: 'both to wait' })
    await job.api.put(`/v1/clients/${job.clientIds[0]}/disable`)
    await job.api.delete(`/v1/clients/${job.clientIds[1]}`)
    await until(async () => (await job.machines('&status=FAILED'))[0]?.message === 'the machine was deleted', {
      what: 'the deleted one'
    })
    await fleet.connect(job.tenantId, [one], 'STORE')
    await until(async () => (await job.machines('&status=WAITING'))[0]?.reason === 'machine is disabled', {
      what: 'the reason'
    })
    await job.api.put(`/v1/clients/${job.clientIds[0]}/enable`)
    await job.ended('FAILED')
    t.match(await job.runLog(), { counts: { succeeded: 1, failed: 1 } })
  })

  t.test(
    'what waits for a machine is looked at again, for who saw it come or go may have died before it told',
    async (t) => {
      const [back = '', gone = ''] = names(2)
      const job = await prepare([back, gone])
      await fleet.disconnect(job.tenantId, [back, gone])
      await until(async () => (await job.api.get<Json>('/v1/clients?status=OFFLINE')).body.total === 2, {
        what: 'the machines to be away'
      })
      await job.run()
      const reasons = async () => (await job.machines()).map(({ reason }: Json) => reason)
      await until(async () => (await reasons()).every((reason: string) => reason === 'machine is offline'), {
        what: 'both to wait'
      })
      fleet.pretend(job.tenantId, back)
      const clients = replica.store.connection.collection('clients')
      await clients.updateOne({ tenantId: job.tenantId, mqttClientId: back }, { $set: { status: 'ONLINE' } })
      await clients.deleteOne({ tenantId: job.tenantId, mqttClientId: gone })
      await job.ended('FAILED')
      t.match(await job.runLog(), { counts: { succeeded: 1, failed: 1 } })
      t.equal((await job.machines('&status=FAILED'))[0]?.message, 'the machine was deleted')
    }
  )

  t.test('a failure is tried again as often as the job says', async (t) => {
    const [once = '', ever = ''] = names(2)
    const job = await prepare([once, ever], { job: { maxRetries: 2, retryWait: 0 } })
    fleet.onExecution = (command) => {
      if (command.clientId === once && command.attempt === 2) return fleet.succeed(command)
      return fleet.report(command, [
        event(1, 'RECEIVED'),
        event(2, 'FINISHED', { status: 'FAILED', message: `try ${command.attempt}` })
      ])
    }
    await job.run()
    await job.ended('FAILED')
    const byName = new Map((await job.machines()).map((row: Json) => [row.mqttClientId, row]))
    t.match(byName.get(once), { status: 'SUCCESS', attempt: 2 })
    t.match(byName.get(ever), { status: 'FAILED', attempt: 3, message: 'try 3' })
    const attempts = fleet.received.filter(({ clientId }) => clientId === ever).map(({ attempt }) => attempt)
    t.strictSame([...new Set(attempts)], [1, 2, 3])
  })

  t.test('a retry waits as long as the job says', async (t) => {
    const job = await prepare(names(1), { job: { maxRetries: 1, retryWait: 2 } })
    const at = new Map<number, number>()
    fleet.onExecution = (command) => {
      if (!at.has(command.attempt)) at.set(command.attempt, Date.now())
      if (command.attempt === 2) return fleet.succeed(command)
      return fleet.report(command, [event(1, 'FINISHED', { status: 'FAILED' })])
    }
    await job.run()
    await until(async () => /^attempt 2 begins in [12] s$/.test((await job.machines())[0]?.reason), {
      what: 'the reason'
    })
    await job.ended('SUCCESS')
    t.ok((at.get(2) ?? 0) - (at.get(1) ?? 0) >= 2000)
  })

  t.test('a command without an answer is sent again, the same attempt under a new epoch', async (t) => {
    const job = await prepare(names(1))
    fleet.onExecution = (command) => (command.epoch < 3 ? undefined : fleet.succeed(command))
    await job.run()
    await job.ended('SUCCESS')
    t.strictSame(
      fleet.received.slice(0, 3).map(({ attempt, epoch }) => [attempt, epoch]),
      [
        [1, 1],
        [1, 2],
        [1, 3]
      ]
    )
  })

  t.test('a machine that falls silent at work is asked again, and one that comes back at once', async (t) => {
    const [silent = '', rebooted = ''] = names(2)
    const job = await prepare([silent, rebooted])
    fleet.onExecution = (command) =>
      command.epoch === 1 ? fleet.report(command, [event(1, 'RECEIVED')]) : fleet.succeed(command)
    await job.run()
    await until(async () => (await job.machines('&status=RUNNING')).length === 2, { what: 'both to be at work' })
    const since = Date.now()
    await fleet.disconnect(job.tenantId, [rebooted])
    await fleet.connect(job.tenantId, [rebooted], 'STORE')
    const isAgain = ({ clientId, epoch }: Received) => clientId === rebooted && epoch > 1
    await until(() => fleet.received.find(isAgain), { what: 'the command to be sent again' })
    t.ok(Date.now() - since < 2500, 'before its silence would have counted')
    await job.ended('SUCCESS')
    t.ok(fleet.received.some(({ clientId, epoch }) => clientId === silent && epoch > 1))
  })

  t.test('reports', async (t) => {
    t.test('in any order, cut in any way, repeated and late, give the same document', async (t) => {
      const random = createRandom(20_251_122)
      const job = await prepare(names(24), { steps: [programStep, programStep, programStep] })
      fleet.onExecution = () => {}
      const runId = await job.run()
      await until(() => fleet.received.length === 24, { what: 'the commands' })
      const base = Date.now()
      const sent: Promise<void>[] = []
      for (const command of fleet.received) {
        const all = successOf(command, base)
        const pieces = shuffle([...cut(all, random), ...cut(all, random).slice(0, 2)], random)
        for (const events of pieces) sent.push(fleet.report(command, events, base + 100))
      }
      await Promise.all(sent)
      await job.ended('SUCCESS')
      const collection = replica.store.connection.collection('executions')
      const logOf = (document: Json) =>
        JSON.stringify(Object.entries(document?.log?.['1'] ?? {}).sort(([a], [b]) => Number(a) - Number(b)))
      // The last piece may come after the end was counted.
      await until(
        async () => {
          const documents = await collection.find({ runId }).toArray()
          return documents.every((document) => Object.keys((document as Json).log['1']).length === 10)
        },
        { what: 'every event to be kept' }
      )
      const documents = (await collection.find({ runId }).toArray()) as Json[]
      t.equal(new Set(documents.map(logOf)).size, 1, 'one log')
      t.equal(
        new Set(documents.map(({ state, startedAt, endedAt, attempt }) => [state, startedAt, endedAt, attempt].join()))
          .size,
        1,
        'one state'
      )
      t.match(documents[0], { state: 'SUCCEEDED', startedAt: base, endedAt: base + 9 })
    })

    t.test('of an older attempt are kept and not applied', async (t) => {
      const job = await prepare(names(1), { job: { maxRetries: 1, retryWait: 0 } })
      fleet.onExecution = (command) =>
        command.attempt === 1 ? fleet.report(command, [event(1, 'FINISHED', { status: 'FAILED' })]) : undefined
      const runId = await job.run()
      const second = await until(() => fleet.received.find(({ attempt }) => attempt === 2), {
        what: 'the second attempt'
      })
      await fleet.report({ ...second, attempt: 1 }, [event(5, 'FINISHED', { status: 'SUCCESS' })])
      const find = async () => (await replica.store.connection.collection('executions').findOne({ runId })) as Json
      await until(async () => (await find()).lateReports?.length === 1, { what: 'the late report' })
      t.match(await find(), { state: 'DISPATCHED', attempt: 2, lateReports: [{ attempt: 1, events: 1 }] })
      const of = `jobId=${job.jobId}&clientId=${job.clientIds[0]}`
      const first = { list: [{ status: 'FAILED' }], total: 1 }
      const tasks = async (attempt: number | string) =>
        (await job.api.get<Json>(`/v1/logs/tasks?${of}&attempt=${attempt}`)).body
      await fleet.report({ ...second, attempt: 1 }, [
        event(2, 'STEP_STARTED', { taskId: job.taskId, scriptId: job.scriptIds[0] }),
        event(3, 'TASK_ENDED', { taskId: job.taskId, status: 'FAILED', message: 'disk full' })
      ])
      await until(async () => (await tasks(1)).list[0].message === 'disk full', { what: 'what came late' })
      t.match(await tasks(1), first)
      t.match(await tasks(2), { list: [{ status: 'WAITING', startTime: null }] })
      t.match(await tasks(3), { code: 'NOT_FOUND', message: /no attempt 3/ })
      t.match(await tasks('x'), { code: 'INVALID_INPUT', field: 'attempt' })
      const steps = (await job.api.get<Json>(`/v1/logs/scripts?${of}&taskId=${job.taskId}&attempt=1`)).body
      t.match(steps, { list: [{ status: 'FAILED', messages: [{ message: 'START' }] }] }, 'it broke off')
      await fleet.succeed(second)
      await job.ended('SUCCESS')
      t.match(await tasks(1), first)
      t.match(await tasks(2), { list: [{ status: 'SUCCESS' }] })
    })

    t.test('of another machine, of nobody, and broken ones change nothing', async (t) => {
      const [own = '', other = ''] = names(2)
      const job = await prepare([own, other])
      fleet.onExecution = () => {}
      await job.run()
      await until(() => fleet.received.length === 2, { what: 'the commands' })
      const command = fleet.received.find(({ clientId }) => clientId === own) as Received
      const end = [event(1, 'FINISHED', { status: 'FAILED' })]
      await fleet.report({ ...command, clientId: other }, end)
      await fleet.report({ ...command, tenantId: newTenant() }, end)
      await fleet.report({ ...command, attempt: 7 }, end)
      await fleet.report({ ...command, executionId: 'nothing' }, end)
      await fleet.up(command, 'report', '{"executionId":{"$gt":""}}')
      await fleet.up(command, 'report', 'x')
      await fleet.up(command, 'report', {
        ...command,
        sentAt: 1,
        events: [{ seq: 1, at: 1, kind: 'FINISHED', status: { $ne: 1 } }]
      })
      for (const one of fleet.received) await fleet.succeed(one)
      t.match((await job.ended('SUCCESS')).counts, { succeeded: 2, failed: 0 })
    })

    t.test('with a wrong clock are put right', async (t) => {
      const job = await prepare(names(1))
      const now = Date.now()
      fleet.onExecution = ({ executionId, attempt, epoch, tenantId, clientId, tasks }) => {
        const events = successOf({ tasks }, 1000)
        return fleet.up({ tenantId, clientId, receivedAt: now }, 'report', {
          executionId,
          attempt,
          epoch,
          sentAt: 1500,
          events
        })
      }
      await job.run()
      await job.ended('SUCCESS')
      t.match((await job.machines())[0], { startTime: now - 500 })
    })

    t.test('that came while no scheduler was there are applied when one is', async (t) => {
      const first = await startReplica(t, { parts, database: 'away' })
      const job = await prepare(names(5), { on: first })
      fleet.onExecution = () => {}
      const runId = await job.run()
      await until(() => fleet.received.filter((command) => command.runId === runId).length === 5, {
        what: 'the commands'
      })
      await first.stop()
      await replica.scheduler.stop()
      for (const command of fleet.received) await fleet.succeed(command)
      const second = await startReplica(t, { parts, database: 'away' })
      const api = second.as({ tenantId: job.tenantId })
      await until(async () => (await api.get<Json>('/v1/logs/jobs?status=SUCCESS')).body.total === 1, {
        what: 'the end of the run'
      })
      await second.stop()
    })
  })
})

/** A small generator with a seed (mulberry32), so that a failure can be had again. */
function shuffle<T>(items: T[], random: () => number): T[] {
  const shuffled = [...items]
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T]
  }
  return shuffled
}

/** Cuts a list into pieces of one to four. */
function cut<T>(items: T[], random: () => number): T[][] {
  const pieces: T[][] = []
  for (let i = 0; i < items.length; ) {
    const size = 1 + Math.floor(random() * 4)
    pieces.push(items.slice(i, i + size))
    i += size
  }
  return pieces
}
