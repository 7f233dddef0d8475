import { clientConnected, clientDisconnected, newId } from '@fleetgate/kit'
import { startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Json, makeJob, newTenant, programStep, startFleet, startReplica } from './support.js'

// A busy machine may need longer than tap's half minute for all of it.
t.setTimeout(120_000)

t.test('routes of the document', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const replica = await startReplica(t, { parts, database: 'routes' })
  fleet.onExecution = () => {}

  t.test('clients', async (t) => {
    const api = replica.as({ tenantId: newTenant() })

    t.test('are created, listed, read, changed, disabled and deleted', async (t) => {
      const draft = {
        mqttClientId: 'pos-1',
        ip: '10.1.1.1',
        username: 'shop',
        enable: true,
        status: 'ONLINE',
        connnectedAt: 5,
        role: 'SERVER'
      }
      const created = await api.post<Json>('/v1/clients', draft)
      t.equal(created.status, 200, created.text)
      t.match(created.body, {
        clientId: 1,
        mqttClientId: 'pos-1',
        ip: '10.1.1.1',
        username: 'shop',
        enable: true,
        role: 'SERVER'
      })
      t.match(
        created.body,
        { status: 'OFFLINE', connnectedAt: null, disconnnetedAt: null },
        'the broker says who is online'
      )
      t.equal(
        (await api.post<Json>('/v1/clients', { mqttClientId: 'pos-2', username: 'shop.2', ip: '' })).body.role,
        'STORE'
      )

      const found = await api.get<Json>('/v1/clients?pageNo=1&pageSize=1&usernameContain=SHOP')
      t.match(found.body, {
        total: 2,
        list: [{ clientId: 1, username: 'shop', enable: true, status: 'OFFLINE', role: 'SERVER' }]
      })
      t.type(found.body.list[0].createAt, 'number')
      t.equal((await api.get<Json>('/v1/clients?pageNo=2&pageSize=1')).body.list[0].mqttClientId, 'pos-2')
      t.equal((await api.get<Json>('/v1/clients?usernameContain=shop.')).body.total, 1, 'a dot means a dot')
      t.equal((await api.get<Json>('/v1/clients?username=shop')).body.total, 1)
      t.equal((await api.get<Json>('/v1/clients?mqttClientId=pos-2')).body.total, 1)
      t.equal((await api.get<Json>('/v1/clients?mqttClientId=pos-2&mqttClientId=pos-1')).body.total, 2)
      t.equal((await api.get<Json>('/v1/clients?mqttClientIdContain=OS-&status=OFFLINE&enabled=true')).body.total, 2)
      t.equal((await api.get<Json>('/v1/clients?status=ONLINE')).body.total, 0)
      t.equal((await api.get<Json>(`/v1/clients?createAtGte=${Date.now() + 1000}`)).body.total, 0)

      t.strictSame((await api.put('/v1/clients', { clientId: 1, username: 'till' })).body, { desc: null })
      t.strictSame((await api.put('/v1/clients/1/disable')).body, { desc: null })
      t.match((await api.get('/v1/clients/1/details')).body, {
        username: 'till',
        enable: false,
        ip: '10.1.1.1',
        attributes: []
      })
      t.equal((await api.get<Json>('/v1/clients?enabled=false')).body.total, 1)
      t.strictSame((await api.put('/v1/clients/1/enable')).body, { desc: null })
      t.strictSame((await api.delete('/v1/clients/1')).body, { clientId: 1 })
      t.equal((await api.get('/v1/clients/1/details')).status, 404)
      t.equal((await api.delete('/v1/clients/1')).status, 404)
    })

    t.test('are disabled by either of the words that their rows have', async (t) => {
      const { body } = await api.post<Json>('/v1/clients', { mqttClientId: 'pos-9', enabled: false })
      t.match(body, { enable: false, enabled: false })
      const read = async () => (await api.get<Json>(`/v1/clients?mqttClientId=pos-9`)).body.list[0]
      for (const [change, isEnabled] of [
        [{ enabled: true }, true],
        [{ enable: false }, false],
        [{ ...body, ...(await read()), enable: true }, true],
        [{ ...body, enabled: false, enable: true }, false]
      ] as const) {
        t.equal((await api.put('/v1/clients', { clientId: body.clientId, ...change })).status, 200)
        t.match(await read(), { enable: isEnabled, enabled: isEnabled }, JSON.stringify(change))
      }
    })

    t.test('refuses a taken name', async (t) => {
      const again = await api.post<Json>('/v1/clients', { mqttClientId: 'pos-2', ip: '', username: '' })
      t.match(again, { status: 409, body: { code: 'CONFLICT', field: 'mqttClientId' } })
      const { clientId } = (await api.post<Json>('/v1/clients', { mqttClientId: 'pos-3', ip: '', username: '' })).body
      t.equal((await api.put('/v1/clients', { clientId, mqttClientId: 'pos-2' })).status, 409)
    })
  })

  t.test('presence', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    const details = async (name: string) => {
      const { list } = (await api.get<Json>(`/v1/clients?mqttClientId=${name}`)).body
      return list[0] ? (await api.get<Json>(`/v1/clients/${list[0].clientId}/details`)).body : undefined
    }

    t.test('registers a machine that connects, with what its hello says', async (t) => {
      await fleet.connect(tenantId, ['m1'], 'SERVER')
      const found = await until(async () => ((await details('m1'))?.role === 'SERVER' ? details('m1') : undefined), {
        what: 'hello'
      })
      t.match(found, { status: 'ONLINE', enable: true, username: 'user-m1', ip: '10.0.0.1', version: '1.0.0' })
      t.strictSame(found.attributes, [{ attributeName: 'site', attributeValue: 'north' }])
      await fleet.disconnect(tenantId, ['m1'])
      await until(async () => (await details('m1')).status === 'OFFLINE', { what: 'the machine to be offline' })
      t.type((await details('m1')).disconnectedAt, 'number')
    })

    t.test('a late end of an older connection does not win', async (t) => {
      await fleet.connect(tenantId, ['m2'])
      const { connectedAt } = await until(() => details('m2'), { what: 'the machine' })
      const old = { tenantId, clientId: 'm2', username: 'x', node: 'n1', ip: '', connectedAt: connectedAt - 1000 }
      await fleet.bus.publish(clientDisconnected, { ...old, disconnectedAt: Date.now(), reason: 'taken over' })
      await fleet.bus.publish(clientConnected, old)
      // The marker is handled after them.
      await fleet.connect(tenantId, ['m3'])
      await fleet.disconnect(tenantId, ['m3'])
      await until(async () => (await details('m3'))?.status === 'OFFLINE', { what: 'the events to be handled' })
      t.match(await details('m2'), { status: 'ONLINE', connectedAt, username: 'user-m2' })
    })

    t.test('an end that overtakes the news of its connection counts', async (t) => {
      const connection = { tenantId, clientId: 'm6', username: 'x', node: 'n1', ip: '', connectedAt: Date.now() }
      await fleet.bus.publish(clientDisconnected, { ...connection, disconnectedAt: Date.now(), reason: 'gone' })
      await until(() => details('m6'), { what: 'the machine' })
      await fleet.bus.publish(clientConnected, connection)
      await fleet.connect(tenantId, ['m7'])
      await until(() => details('m7'), { what: 'the events to be handled' })
      t.equal((await details('m6')).status, 'OFFLINE')
    })

    t.test('a role that a person chose stays, whatever the machine says', async (t) => {
      const hello = (clientId: string, version: string, attributes = {}) =>
        fleet.up({ tenantId, clientId }, 'hello', { role: 'SERVER', version, attributes })
      const { body } = await api.post<Json>('/v1/clients', { mqttClientId: 'm8', username: 'u', role: 'STORE' })
      await hello('m8', '1.0.0', { price: '$role' })
      await until(async () => (await details('m8'))?.version === '1.0.0', { what: 'the hello' })
      const attributes = [{ attributeName: 'price', attributeValue: '$role' }]
      t.match(await details('m8'), { role: 'STORE', attributes })
      await api.put('/v1/clients', { clientId: body.clientId, role: 'SERVER' })
      await api.post('/v1/clients', { mqttClientId: 'm9', username: 'u' })
      await hello('m9', '1.0.0')
      await until(async () => (await details('m9'))?.version === '1.0.0', { what: 'the hello of another' })
      t.match([await details('m8'), await details('m9')], [{ role: 'SERVER' }, { role: 'SERVER' }])
    })

    t.test('a message that is no hello is dropped', async (t) => {
      await fleet.up({ tenantId, clientId: 'm4' }, 'hello', '{broken')
      await fleet.up({ tenantId, clientId: 'm4' }, 'hello', { role: 'KING', version: 1, attributes: {} })
      await fleet.connect(tenantId, ['m5'], 'STORE')
      await until(async () => (await details('m5'))?.version === '1.0.0', { what: 'the next hello' })
      t.equal(await details('m4'), undefined)
    })
  })

  t.test('tasks', async (t) => {
    const api = replica.as({ tenantId: newTenant() })

    t.test('are created, listed, read, changed and deleted', async (t) => {
      const draft = {
        taskName: 'a',
        priority: 3,
        disableValidation: true,
        lastRunAt: 0,
        assignmentsChangedAt: 0,
        enabled: true,
        description: 'd'
      }
      const created = await api.post<Json>('/v1/tasks', draft)
      t.match(created, {
        status: 200,
        body: {
          taskId: 1,
          name: 'a',
          taskName: 'a',
          priority: 3,
          disableValidation: true,
          enabled: true,
          lastRunAt: null
        }
      })
      await api.post('/v1/tasks', { taskName: 'b' })
      t.match((await api.get('/v1/tasks?taskNameContain=A')).body, {
        total: 1,
        list: [{ taskName: 'a', description: 'd' }]
      })
      t.equal((await api.get<Json>('/v1/tasks')).body.total, 2)
      t.strictSame((await api.put('/v1/tasks', { taskId: 1, name: 'aa', enabled: 0 })).body, { desc: null })
      t.match((await api.get('/v1/tasks/1/details')).body, {
        name: 'aa',
        taskId: 1,
        enabled: 0,
        enable: false,
        description: 'd'
      })
      t.equal((await api.get<Json>('/v1/tasks?enabled=false')).body.total, 1)
      t.equal((await api.delete('/v1/tasks/1')).body, 'success')
      t.equal((await api.get('/v1/tasks/1/details')).status, 404)
    })

    t.test('are changed by either spelling, sent back with the other as it was read', async (t) => {
      const { taskId } = (await api.post<Json>('/v1/tasks', { name: 'first' })).body
      t.match(await api.post('/v1/tasks', { description: 'd' }), { status: 400, body: { field: 'taskName' } })
      const read = async () => (await api.get<Json>(`/v1/tasks/${taskId}/details`)).body
      for (const [change, expected] of [
        [{ name: 'second' }, 'second'],
        [{ taskName: 'third' }, 'third'],
        [{ name: 'fourth', taskName: 'fifth' }, 'fourth'],
        [{ description: 'e' }, 'fourth']
      ] as const) {
        t.equal((await api.put('/v1/tasks', { ...(await read()), ...change })).status, 200)
        t.match(await read(), { name: expected, taskName: expected }, JSON.stringify(change))
      }
      for (const [change, isEnabled] of [
        [{ enable: false }, false],
        [{ enabled: 1 }, true]
      ] as const) {
        await api.put('/v1/tasks', { ...(await read()), ...change })
        t.match(await read(), { enable: isEnabled, enabled: Number(isEnabled) }, JSON.stringify(change))
      }
    })

    t.test('keep their steps as a tree with numbers', async (t) => {
      const { taskId } = (await api.post<Json>('/v1/tasks', { taskName: 'steps' })).body
      const condition = { type: 'GET_FILE_STATUS', order: 0, filePath: '/flag' }
      const send = {
        type: 'SEND_FILE',
        order: 0,
        filePath: '/a',
        targetFilePath: 'b',
        maxRetryTime: 2,
        transferOption: { $x: 1, rateLimit: 50_000 }
      }
      const saved = await api.post<Json>(`/v1/tasks/${taskId}/scripts`, [
        { type: 'IF', order: 0, conditions: [condition], true: [send], false: [programStep] }
      ])
      t.strictSame(
        saved.body.map(({ scriptType }: Json) => scriptType),
        ['IF', 'GET_FILE_STATUS', 'SEND_FILE', 'EXECUTE_FILE']
      )
      const ids = saved.body.map(({ scriptId }: Json) => scriptId)
      t.equal(new Set(ids).size, 4)
      const read = (await api.get<Json>(`/v1/tasks/${taskId}/scripts`)).body
      t.strictSame(JSON.parse(read.script), read.scripts)
      t.match(read.scripts, [{ maxRetryTime: 0, conditions: [{ maxRetryTime: 0 }], false: [{ maxRetryTime: 0 }] }])
      t.match(read.scripts, [
        {
          scriptId: ids[0],
          true: [{ scriptId: ids[2], retryTimes: 2, maxRetryTime: 2, transferOption: { $x: 1, rateLimit: 50_000 } }]
        }
      ])
      const again = await api.post<Json>(`/v1/tasks/${taskId}/scripts`, read.scripts)
      t.strictSame(
        again.body.map(({ scriptId }: Json) => scriptId),
        ids,
        'saving what was read changes no number'
      )
      read.scripts[0].true[0].maxRetryTime = 5
      await api.post(`/v1/tasks/${taskId}/scripts`, read.scripts)
      t.match((await api.get<Json>(`/v1/tasks/${taskId}/scripts`)).body.scripts[0].true, [{ retryTimes: 5 }])
    })

    t.test('send a file once for all machines', async (t) => {
      const { taskId } = (await api.post<Json>('/v1/tasks', { taskName: 'cast' })).body
      const transferOption = { rateLimit: 1_000_000, compress: true, label: 'kept' }
      const cast = { type: 'BROADCAST', filePath: '/a', targetFilePath: 'b', transferOption }
      t.match(await api.post(`/v1/tasks/${taskId}/scripts`, [cast]), {
        status: 200,
        body: [{ scriptType: 'BROADCAST' }]
      })
      t.match((await api.get<Json>(`/v1/tasks/${taskId}/scripts`)).body.scripts, [cast])
    })

    t.test('refuses steps with the place of the fault, and keeps the old ones', async (t) => {
      const { taskId } = (await api.post<Json>('/v1/tasks', { taskName: 'kept' })).body
      await api.post(`/v1/tasks/${taskId}/scripts`, [programStep])
      const bad = await api.post(`/v1/tasks/${taskId}/scripts`, [programStep, { type: 'SEND_FILE', filePath: '/a' }])
      t.match(bad, { status: 400, body: { code: 'INVALID_INPUT', field: '[1].targetFilePath' } })
      const cast = { type: 'BROADCAST', filePath: '/a', targetFilePath: 'b', transferOption: { rateLimit: 1 } }
      const slow = await api.post(`/v1/tasks/${taskId}/scripts`, [cast])
      t.match(slow, { status: 400, body: { code: 'INVALID_INPUT', field: '[0].transferOption.rateLimit' } })
      const asked = { type: 'IF', conditions: [{ ...cast, transferOption: {} }] }
      const unsupported = await api.post(`/v1/tasks/${taskId}/scripts`, [asked])
      t.match(unsupported, { status: 400, body: { code: 'UNSUPPORTED', field: '[0].conditions[0].type' } })
      t.match(await api.post(`/v1/tasks/${taskId}/scripts`, { type: 'IF' }), { status: 400 })
      t.equal((await api.get<Json>(`/v1/tasks/${taskId}/scripts`)).body.scripts.length, 1)
    })
  })

  t.test('jobs', async (t) => {
    const api = replica.as({ tenantId: newTenant() })
    const draft = {
      jobName: 'nightly',
      description: 'd',
      enabled: true,
      maxRetries: 2,
      priority: 1,
      cycleType: 0,
      executionTime: '',
      retryWait: 5,
      lastRunAt: 0,
      assignmentsChangedAt: 0
    }

    t.test('are created, listed, read, changed, disabled and deleted', async (t) => {
      const created = await api.post<Json>('/v1/jobs', draft)
      t.match(created, {
        status: 200,
        body: {
          jobId: 1,
          jobName: 'nightly',
          enable: true,
          enabled: true,
          maxRetries: 2,
          maxRetryTimes: 2,
          tasks: 0,
          executionTime: '',
          lastRunAt: null
        }
      })
      t.match((await api.get('/v1/jobs?jobNameContain=NIGHT&pageNo=1&pageSize=5')).body, {
        total: 1,
        list: [
          { jobId: 1, jobName: 'nightly', tasks: 0, executionTime: null, lastRun: null, retryWait: 5, created: Number }
        ]
      })
      t.strictSame(
        (await api.put('/v1/jobs', { jobId: 1, description: 'e', maxRetryTime: 4, executionTime: null })).body,
        { desc: 'success' }
      )
      t.match((await api.get('/v1/jobs/1/details')).body, {
        general: { jobName: 'nightly', description: 'e', enabled: true },
        executionOpt: { priority: 1, maxRetries: 4, cycleType: 0, retryWait: 5, duration: 0, executionTime: '' }
      })
      t.equal((await api.put('/v1/jobs/1/disable')).body, 'success')
      t.equal((await api.get<Json>('/v1/jobs?enabled=true')).body.total, 0)
      t.equal((await api.put('/v1/jobs/1/enable')).body, 'success')
      t.equal((await api.delete('/v1/jobs/1')).body, 'success')
      t.equal((await api.get('/v1/jobs/1/details')).status, 404)
    })

    t.test('are changed by any spelling, sent back with the others as they were read', async (t) => {
      const { jobId } = (await api.post<Json>('/v1/jobs', { jobName: 'spelt' })).body
      const read = async () => (await api.get<Json>('/v1/jobs?jobName=spelt')).body.list[0]
      for (const [change, expected] of [
        [{ maxRetryTime: 3 }, { maxRetries: 3, enabled: true }],
        [
          { maxRetryTimes: 4, enable: false },
          { maxRetries: 4, enabled: false }
        ],
        [
          { maxRetries: 0, enabled: true },
          { maxRetries: 0, enabled: true }
        ]
      ] as const) {
        t.equal((await api.put('/v1/jobs', { ...(await read()), ...change, jobId })).status, 200)
        t.match(await read(), expected, JSON.stringify(change))
      }
      t.equal((await api.delete(`/v1/jobs/${jobId}`)).status, 200)
    })

    t.test('refuses what is no schedule', async (t) => {
      t.match(await api.post('/v1/jobs', { ...draft, cycleType: 2, executionTime: 'noon' }), {
        status: 400,
        body: { code: 'INVALID_INPUT', field: 'executionTime' }
      })
      t.match(await api.post('/v1/jobs', { ...draft, executionTime: '2020-01-01' }), {
        status: 400,
        body: { code: 'INVALID_INPUT', field: 'executionTime' }
      })
      t.match(await api.post('/v1/jobs', { ...draft, cycleType: 9 }), {
        status: 400,
        body: { code: 'INVALID_INPUT', field: 'cycleType' }
      })
    })

    t.test('tasks and clients are bound, listed and taken out', async (t) => {
      const { jobId } = (await api.post<Json>('/v1/jobs', draft)).body
      const taskIds = []
      for (const taskName of ['x', 'y']) taskIds.push((await api.post<Json>('/v1/tasks', { taskName })).body.taskId)
      const { clientId } = (await api.post<Json>('/v1/clients', { mqttClientId: 'c1' })).body
      const bound = await api.put(`/v1/jobs/${jobId}/tasks`, taskIds)
      t.match(bound, { status: 200, body: null, text: 'null' })
      await api.put(`/v1/jobs/${jobId}/tasks`, taskIds)
      t.match((await api.get(`/v1/jobs/${jobId}/tasks?taskNameContain=y`)).body, {
        total: 1,
        list: [{ taskName: 'y' }]
      })
      t.equal((await api.get<Json>(`/v1/jobs/${jobId}/tasks`)).body.total, 2, 'binding twice binds once')
      await api.put(`/v1/jobs/${jobId}/clients`, [clientId])
      t.match((await api.get(`/v1/jobs/${jobId}/clients`)).body, {
        total: 1,
        list: [{ clientId, mqttClientId: 'c1', connectAt: null }]
      })
      t.equal((await api.put(`/v1/jobs/${jobId}/tasks/remove`, [taskIds[0]])).body, null)
      t.equal((await api.get<Json>(`/v1/jobs/${jobId}/tasks`)).body.total, 1)
      await api.delete(`/v1/tasks/${taskIds[1]}`)
      t.equal(
        (await api.get<Json>(`/v1/jobs?jobNameContain=nightly`)).body.list[0].tasks,
        0,
        'a deleted task leaves its jobs'
      )
      t.equal((await api.put(`/v1/jobs/${jobId}/clients/remove`, [clientId])).body, null)
      t.equal((await api.get<Json>(`/v1/jobs/${jobId}/clients`)).body.total, 0)
    })

    t.test('refuses to bind what is not there, and binds nothing of the list then', async (t) => {
      const { jobId } = (await api.post<Json>('/v1/jobs', draft)).body
      const { taskId } = (await api.post<Json>('/v1/tasks', { taskName: 'z' })).body
      t.match(await api.put(`/v1/jobs/${jobId}/tasks`, [taskId, 4711]), { status: 400, body: { message: /4711/ } })
      t.match(await api.put(`/v1/jobs/${jobId}/clients`, [4711]), { status: 400, body: { message: /4711/ } })
      t.equal((await api.get<Json>(`/v1/jobs/${jobId}/tasks`)).body.total, 0)
      t.equal((await api.put('/v1/jobs/4711/tasks', [taskId])).status, 404)
    })
  })

  t.test('running a job', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    await api.post('/v1/clients', { mqttClientId: 'c1' })
    const run = (jobId: number, headers?: Record<string, string>) => api.get<Json>(`/v1/jobs/${jobId}/run`, headers)
    const runs = async (jobId: number) => (await api.get<Json>(`/v1/logs/jobs?jobId=${jobId}`)).body.total

    t.test('is refused where there is nothing to do, and says why', async (t) => {
      const { jobId } = (await api.post<Json>('/v1/jobs', { jobName: 'bare' })).body
      t.match(await run(jobId), { status: 409, body: { code: 'INVALID_STATE', message: /no tasks/ } })
      const { taskId } = (await api.post<Json>('/v1/tasks', { taskName: 'empty' })).body
      await api.put(`/v1/jobs/${jobId}/tasks`, [taskId])
      t.match(await run(jobId), { status: 409, body: { message: /no enabled task with a step/ } })
      await api.post(`/v1/tasks/${taskId}/scripts`, [programStep])
      t.match(await run(jobId), { status: 409, body: { message: /no clients/ } })
      await api.put(`/v1/jobs/${jobId}/clients`, [1])
      await api.put('/v1/clients/1/disable')
      t.match(await run(jobId), { status: 409, body: { message: /disabled/ } })
      await api.put('/v1/clients/1/enable')
      await api.put(`/v1/jobs/${jobId}/disable`)
      t.match(await run(jobId), { status: 409, body: { message: /the job is disabled/ } })
      t.match(await run(4711), { status: 404 })
      t.equal(await runs(jobId), 0)
    })

    t.test('opens one run, however many ask at once', async (t) => {
      const { jobId } = await makeJob(api, { clients: ['c1'] })
      const replies = await Promise.all(Array.from({ length: 20 }, () => run(jobId)))
      t.ok(replies.every(({ status, text }) => status === 200 && text === '"success"'))
      t.equal(new Set(replies.map(({ headers }) => headers.get('x-run-id'))).size, 1)
      t.equal(await runs(jobId), 1)
    })

    t.test('the same Idempotency-Key names the same run, another one a further run', async (t) => {
      const { jobId } = await makeJob(api, { clients: ['c1'] })
      const key = { 'idempotency-key': newId() }
      const replies = await Promise.all([run(jobId, key), run(jobId, key), run(jobId, key)])
      t.equal(new Set(replies.map(({ headers }) => headers.get('x-run-id'))).size, 1)
      t.not(
        (await run(jobId, { 'idempotency-key': 'other' })).headers.get('x-run-id'),
        replies[0]?.headers.get('x-run-id')
      )
      t.equal(await runs(jobId), 2)
      t.match(await run(jobId, { 'idempotency-key': 'a b' }), { status: 400, body: { field: 'Idempotency-Key' } })
    })
  })

  t.test('hostile input is refused by name, never a server error', async (t) => {
    const api = replica.as({ tenantId: newTenant() })
    const bad: [method: 'post' | 'put', path: string, body: unknown][] = [
      ['post', '/v1/clients', {}],
      ['post', '/v1/clients', { mqttClientId: { $gt: '' } }],
      ['post', '/v1/clients', { mqttClientId: 'a/b' }],
      ['post', '/v1/clients', { mqttClientId: 'x'.repeat(300) }],
      ['post', '/v1/clients', { mqttClientId: 'r', role: 'KING' }],
      ['put', '/v1/clients', { clientId: '1' }],
      ['put', '/v1/clients', { clientId: { $ne: 0 }, username: 'x' }],
      ['post', '/v1/tasks', { taskName: '' }],
      ['post', '/v1/tasks', { taskName: ['x'] }],
      ['put', '/v1/tasks', { taskName: 'x' }],
      ['put', '/v1/tasks', { taskId: 1.5 }],
      ['post', '/v1/jobs', { jobName: 7 }],
      ['post', '/v1/jobs', { jobName: 'x', maxRetries: -1 }],
      ['post', '/v1/jobs', { jobName: 'x', retryWait: 1e12 }],
      ['put', '/v1/jobs', []],
      ['put', '/v1/jobs/1/tasks', { $gt: 0 }],
      ['put', '/v1/jobs/1/tasks', [{ $gt: 0 }]],
      ['put', '/v1/jobs/1/clients', ['1']],
      ['put', '/v1/jobs/1/clients', undefined]
    ]
    for (const [method, path, body] of bad) {
      const reply = await api[method]<Json>(path, body)
      t.match(
        reply,
        { status: 400, body: { code: 'INVALID_INPUT', message: String } },
        `${method} ${path} ${JSON.stringify(body)}`
      )
    }
    const paths = [
      '/v1/clients?pageNo=0',
      '/v1/clients?pageSize=x',
      '/v1/clients?username=a&username=b',
      '/v1/clients/x/details',
      '/v1/clients/-1/details',
      '/v1/jobs?enabled=maybe',
      '/v1/jobs/1e99/details',
      '/v1/logs/jobs?status=LUCKY',
      '/v1/logs/jobs/clients',
      '/v1/logs/jobs/clients?jobId=1&runId=x',
      '/v1/logs/jobs/clients/tasks?jobId=1&clientId=one'
    ]
    for (const path of paths) {
      t.match(await api.get(path), { status: 400, body: { code: 'INVALID_INPUT', field: String } }, path)
    }
    const json = { 'content-type': 'application/json' }
    t.match(await api.send('POST', '/v1/jobs', '{"jobName":', json), { status: 400, body: { code: 'MALFORMED_BODY' } })
    t.match(await api.send('POST', '/v1/jobs', `{"jobName":"${'x'.repeat(1_100_000)}"}`, json), { status: 413 })
    t.match(await api.get('/v1/jobs/1/nap'), { status: 404, body: { code: 'UNKNOWN_ROUTE' } })
    t.match(
      await api.get('/v1/clients?status[$ne]=x&username[$gt]='),
      { status: 200, body: { total: 0 } },
      'words that are none are ignored'
    )
    t.match(await api.get('/v1/clients?usernameContain=(((('), { status: 200, body: { total: 0 } })
    t.match(await api.get('/v1/clients?pageNo=999999999&pageSize=1000'), { status: 200, body: { list: [] } })
  })

  t.test('another tenant sees, changes and runs nothing', async (t) => {
    const owner = replica.as({ tenantId: newTenant() })
    const other = replica.as({ tenantId: newTenant() })
    await owner.post('/v1/clients', { mqttClientId: 'c1' })
    const { jobId, taskId, clientIds } = await makeJob(owner, { clients: ['c1'] })
    const runId = (await owner.get(`/v1/jobs/${jobId}/run`)).headers.get('x-run-id')
    const reportId = `${runId}-${clientIds[0]}`
    const of = `jobId=${jobId}&clientId=${clientIds[0]}&reportId=${reportId}`
    await until(async () => (await owner.get(`/v1/logs/jobs/clients/tasks?${of}`)).status === 200, {
      what: 'the execution'
    })
    const hidden: [method: 'get' | 'put' | 'delete' | 'post', path: string, body?: unknown][] = [
      ['get', `/v1/clients/${clientIds[0]}/details`],
      ['put', '/v1/clients', { clientId: clientIds[0], username: 'x' }],
      ['put', `/v1/clients/${clientIds[0]}/disable`],
      ['delete', `/v1/clients/${clientIds[0]}`],
      ['get', `/v1/tasks/${taskId}/details`],
      ['get', `/v1/tasks/${taskId}/scripts`],
      ['post', `/v1/tasks/${taskId}/scripts`, []],
      ['put', '/v1/tasks', { taskId, taskName: 'x' }],
      ['delete', `/v1/tasks/${taskId}`],
      ['get', `/v1/jobs/${jobId}/details`],
      ['get', `/v1/jobs/${jobId}/run`],
      ['get', `/v1/jobs/${jobId}/clients`],
      ['put', `/v1/jobs/${jobId}/enable`],
      ['put', `/v1/jobs/${jobId}/tasks`, []],
      ['put', `/v1/jobs/${jobId}/clients/remove`, [1]],
      ['put', '/v1/jobs', { jobId, jobName: 'x' }],
      ['delete', `/v1/jobs/${jobId}`],
      ['get', `/v1/logs/jobs/clients/tasks?${of}`],
      ['get', `/v1/logs/jobs/clients/tasks/scripts?${of}&taskId=${taskId}`]
    ]
    for (const [method, path, body] of hidden) {
      const reply = method === 'get' ? await other.get(path) : await other[method](path, body)
      t.match(reply, { status: 404, body: { code: 'NOT_FOUND' } }, `${method} ${path}`)
    }
    for (const path of [
      '/v1/clients',
      '/v1/tasks',
      '/v1/jobs',
      '/v1/logs/jobs',
      `/v1/logs/jobs/clients?jobId=${jobId}&runId=${runId}`
    ]) {
      t.strictSame((await other.get(path)).body, { total: 0, list: [] }, path)
    }
    const { jobId: otherJob } = (await other.post<Json>('/v1/jobs', { jobName: 'mine' })).body
    t.equal((await other.put(`/v1/jobs/${otherJob}/clients`, clientIds)).status, 400)
    t.equal((await owner.get<Json>(`/v1/jobs/${jobId}/details`)).body.general.jobName, 'roll out')
  })

  t.test('asks for the right function code', async (t) => {
    const tenantId = newTenant()
    const as = (...codes: string[]) => replica.as({ tenantId, codes })
    t.equal((await as('job.view').get('/v1/jobs')).status, 200)
    t.equal((await as('job.view').get('/v1/clients')).status, 403)
    t.equal((await as('client.view').get('/v1/clients')).status, 200)
    t.equal((await as('client.view').post('/v1/clients', { mqttClientId: 'x' })).status, 403)
    t.equal((await as('job.view').post('/v1/jobs', { jobName: 'x' })).status, 403)
    t.equal((await as('job.edit', 'job.view').get('/v1/jobs/1/run')).status, 403)
    t.equal((await as('job.run').get('/v1/jobs/1/run')).status, 404)
    t.equal((await as().get('/v1/logs/jobs')).status, 403)
    t.equal((await replica.as({ expiresIn: -10 }).get('/v1/jobs')).status, 401)
  })
})
