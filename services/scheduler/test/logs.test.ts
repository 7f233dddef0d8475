import { startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Json, makeJob, newTenant, programStep, startFleet, startReplica } from './support.js'

t.setTimeout(120_000)

t.test('logs from both sides', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const replica = await startReplica(t, { parts, database: 'logs' })
  const tenantId = newTenant()
  const api = replica.as({ tenantId })
  fleet.onExecution = (command) =>
    command.clientId === 'bad'
      ? fleet.report(command, [{ seq: 1, at: Date.now(), kind: 'FINISHED', status: 'FAILED', message: 'no' }])
      : fleet.succeed(command)
  await fleet.connect(tenantId, ['good', 'bad'], 'STORE')
  await until(async () => (await api.get<Json>('/v1/clients?status=ONLINE')).body.total === 2, { what: 'machines' })
  await api.post('/v1/clients', { mqttClientId: 'idle' })
  const { jobId, taskId, clientIds } = await makeJob(api, { clients: ['good', 'bad'] })
  const second = (await api.post<Json>('/v1/tasks', { taskName: 'second', priority: -1 })).body.taskId
  await api.post(`/v1/tasks/${second}/scripts`, [programStep])
  await api.put(`/v1/jobs/${jobId}/tasks`, [second])
  const began = Date.now()
  for (const key of ['one', 'two']) {
    await api.get(`/v1/jobs/${jobId}/run`, { 'idempotency-key': key })
    const isOver = async () =>
      (await api.get<Json>('/v1/logs/jobs?status=FAILED')).body.total === (key === 'one' ? 1 : 2)
    await until(isOver, { what: `run ${key}` })
  }
  const byName = async (name: string) => (await api.get<Json>(`/v1/clients?mqttClientId=${name}`)).body.list[0].clientId
  const [good, bad] = [await byName('good'), await byName('bad')]

  t.test('the reports of clients by status, client, job and time', async (t) => {
    for (const path of ['/v1/logs/clients', '/v1/logs/clients/jobs']) {
      for (const [words, total] of [
        ['status=ALL', 4],
        ['status=SUCCESS', 2],
        ['status=FAILED', 2],
        ['status=RUNNING', 0],
        [`status=ALL&clientId=${good}`, 2],
        [`status=FAILED&clientId=${good}`, 0],
        [`status=FAILED&clientId=${bad}&jobId=${jobId}`, 2],
        [`status=ALL&jobId=${jobId + 1}`, 0],
        [`status=ALL&startAt=${began}`, 4],
        [`status=ALL&startAt=${Date.now() + 60_000}`, 0]
      ] as const) {
        t.equal((await api.get<Json>(`${path}?pageSize=10&pageNo=1&${words}`)).body.total, total, `${path} ${words}`)
      }
      const { list } = (await api.get<Json>(`${path}?status=SUCCESS&pageSize=1`)).body
      t.match(list, [
        {
          status: 'SUCCESS',
          mqttClientId: 'good',
          clientId: good,
          username: 'user-good',
          ipAddress: '10.0.0.1',
          role: 'STORE',
          jobId,
          jobName: 'roll out',
          jobDesc: '',
          reportId: String,
          startTime: Number,
          endTime: Number,
          nowTime: Number
        }
      ])
      t.equal(list.length, 1)
    }
  })

  t.test('the same tasks and steps from either side', async (t) => {
    const of = `clientId=${good}&jobId=${jobId}`
    const tasks = (await api.get<Json>(`/v1/logs/jobs/clients/tasks?${of}`)).body
    t.match(tasks, { total: 2, list: [{ taskId, status: 'SUCCESS' }, { taskId: second }] })
    for (const path of ['/v1/logs/clients/jobs/tasks', '/v1/logs/tasks']) {
      const { body } = await api.get<Json>(`${path}?${of}`)
      t.match(body, { total: 2, list: tasks.list.map(({ nowTime, ...row }: Json) => row) }, path)
    }
    t.equal((await api.get<Json>(`/v1/logs/tasks?${of}&startAt=${Date.now() + 60_000}`)).body.total, 0)
    const steps = (await api.get<Json>(`/v1/logs/jobs/clients/tasks/scripts?${of}&taskId=${taskId}`)).body
    t.match(steps, { code: 'SUCCESS', data: { total: 1, list: [{ type: 'EXECUTE_FILE', status: 'SUCCESS' }] } })
    t.strictSame((await api.get(`/v1/logs/clients/jobs/tasks/scripts?${of}&taskId=${taskId}`)).body, steps)
    const bare = (await api.get<Json>(`/v1/logs/scripts?${of}&taskId=${taskId}`)).body
    t.strictSame(bare, steps.data)
    t.match(bare.list[0], { message: 'Successed', isItem: false, transferOperation: null, recvFileScriptId: null })
  })

  t.test('the overview has every client once, with its latest end', async (t) => {
    const { body } = await api.get<Json>('/v1/logs/clients/overview')
    const ends = Object.fromEntries(body.list.map(({ mqttClientId, status }: Json) => [mqttClientId, status]))
    t.strictSame(ends, { good: 'SUCCESS', bad: 'FAILED', idle: 'NOT_EXECUTE' })
    t.equal(body.total, 3)
    t.equal((await api.get<Json>('/v1/logs/clients/overview?pageNo=2&pageSize=2')).body.list.length, 1)
  })

  t.test('histories have a row for each task of each report, whatever the page', async (t) => {
    const all = (await api.get<Json>('/v1/tasks/histories?pageSize=100')).body
    t.equal(all.total, 8)
    t.match(all.list[0], {
      taskName: 'install',
      enabled: 1,
      priority: 0,
      ts: Number,
      result: String,
      mqttClientId: String
    })
    t.match(JSON.parse(all.list[0].taskScript), [{ type: 'EXECUTE_FILE' }])
    t.equal(new Set(all.list.map(({ reportId, taskId }: Json) => `${reportId}/${taskId}`)).size, 8)
    for (const pageSize of [1, 3]) {
      const rows = []
      for (let pageNo = 1; pageNo <= Math.ceil(8 / pageSize); pageNo++) {
        const { body } = await api.get<Json>(`/v1/tasks/histories?pageNo=${pageNo}&pageSize=${pageSize}`)
        t.equal(body.total, 8)
        rows.push(...body.list)
      }
      t.strictSame(rows, all.list, `pages of ${pageSize}`)
    }
    const { body } = await api.get<Json>('/v1/tasks/histories?mqttClientId=good&taskName=second')
    t.match(body, { total: 2, list: [{ mqttClientId: 'good', taskName: 'second', result: 'SUCCESS' }, {}] })
    t.equal((await api.get<Json>('/v1/tasks/histories?mqttClientId=bad')).body.total, 4)
    t.equal((await api.get<Json>('/v1/tasks/histories?mqttClientId=idle')).body.total, 0)
    t.equal((await api.get<Json>('/v1/tasks/histories?taskName=none')).body.total, 0)
  })

  t.test('wrong words are refused, another tenant sees nothing', async (t) => {
    for (const path of [
      'clients?status=LUCKY',
      'clients?status=ALL&clientId=x',
      'clients/jobs?startAt=soon',
      'tasks?jobId=1'
    ]) {
      t.match(await api.get(`/v1/logs/${path}`), { status: 400, body: { code: 'INVALID_INPUT', field: String } }, path)
    }
    const byNumber = await api.get<Json>('/v1/logs/jobs?status=1')
    t.match(byNumber, { status: 400, body: { field: 'status', message: /ALL.*SUCCESS.*FAILED/ } }, 'it names the words')
    const other = replica.as({ tenantId: newTenant() })
    for (const path of [
      '/v1/logs/clients',
      '/v1/logs/clients/jobs',
      '/v1/logs/clients/overview',
      '/v1/tasks/histories'
    ]) {
      t.strictSame((await other.get(path)).body, { total: 0, list: [] }, path)
    }
    t.equal((await other.get(`/v1/logs/tasks?jobId=${jobId}&clientId=${clientIds[0]}`)).status, 404)
    t.equal((await replica.as({ tenantId, codes: ['client.view'] }).get('/v1/logs/clients')).status, 403)
  })
})
