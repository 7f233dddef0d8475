import { startParts } from '@fleetgate/testkit'
import t from 'tap'
import { documented } from './documented.js'
import { type Json, newTenant, programStep, startFleet, startReplica } from './support.js'

t.setTimeout(120_000)

t.test('bindings and the whole document', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  await startFleet(t, parts)
  const replica = await startReplica(t, { parts, database: 'bindings' })

  t.test('every route of the document is there, with its query words and the fields of its reply', async (t) => {
    const { paths } = (await replica.as().get<Json>('/openapi/sdes.json')).body
    t.equal(documented.length, 93)
    for (const { route, query, reply } of documented) {
      const [method = '', path = ''] = route.split(' ')
      const operation = paths[path.replace(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()]
      t.ok(operation, route)
      const words = operation?.parameters.map(({ name }: Json) => name) ?? []
      t.strictSame(
        query.filter((word) => !words.includes(word)),
        [],
        `${route}: query`
      )
      const schema = operation?.responses['200'].content?.['application/json'].schema
      t.strictSame(
        reply.filter((field) => !has(schema, field.split('.'))),
        [],
        `${route}: reply`
      )
    }
  })

  /** Three of each, and jobs with steps. */
  async function fill() {
    const api = replica.as({ tenantId: newTenant() })
    for (const n of [1, 2, 3]) {
      await api.post('/v1/jobs', { jobName: `job${n}` })
      await api.post('/v1/tasks', { taskName: `task${n}` })
      await api.post('/v1/groups', { type: 0, groupName: `group${n}` })
      await api.post('/v1/clients', { mqttClientId: `client${n}` })
    }
    return api
  }

  t.test('each pair is bound, listed, counted and taken apart from both sides', async (t) => {
    for (const [a, b] of [
      ['job', 'task'],
      ['job', 'client'],
      ['job', 'group'],
      ['group', 'client']
    ]) {
      for (const [of, kind] of [
        [a, b],
        [b, a]
      ]) {
        const api = await fill()
        const ids = async (path: string, field: string) =>
          (await api.get<Json>(path)).body.list.map((row: Json) => row[`${field}Id`])
        const [mine, theirs] = [`/v1/${of}s/2/${kind}s`, `/v1/${kind}s/3/${of}s`]
        t.match(await api.put(mine, [1, 3]), { status: 200, text: 'null' }, `${of} 2 gets ${kind}s`)
        await api.put(mine, [3])
        t.strictSame(await ids(mine, `${kind}`), [1, 3])
        t.strictSame(await ids(theirs, `${of}`), [2], 'and the other side sees it')
        t.strictSame((await api.get(`${mine}/count`)).body, { count: 2 })
        t.strictSame((await api.get(`${theirs}/count`)).body, { count: 1 })
        t.match(await api.put(mine, [2, 4711]), { status: 400, body: { field: `${kind}Ids`, message: /4711/ } })
        t.strictSame(await ids(mine, `${kind}`), [1, 3], 'nothing of a refused list is bound')
        t.equal((await api.put(`${theirs}/remove`, [2, 4711])).body, null)
        t.strictSame(await ids(mine, `${kind}`), [1])
        for (const path of [`/v1/${of}s/99/${kind}s`, `/v1/${of}s/99/${kind}s/remove`]) {
          t.equal((await api.put(path, [1])).status, 404, path)
        }
        t.equal((await api.get(`/v1/${of}s/99/${kind}s`)).status, 404)
        t.equal((await api.delete(`/v1/${kind}s/1`)).status, 200)
        t.strictSame(await ids(mine, `${kind}`), [], 'what is deleted is bound no more')
      }
    }
  })

  t.test('maintenance binds every pair that can be bound, and says why it does not others', async (t) => {
    const kinds = ['job', 'task', 'group', 'client']
    const can = new Set(['0 1', '1 0', '0 2', '2 0', '0 3', '3 0', '2 3', '3 2'])
    for (const optionType of [0, 1, 2, 3]) {
      for (const targetType of [0, 1, 2, 3]) {
        const api = await fill()
        const change = { optionType, optionIds: [1, 2], targetType, targetId: 3, opt: 1 }
        const reply = await api.put('/v1/config/maintenance', change)
        if (!can.has(`${optionType} ${targetType}`)) {
          t.match(reply, { status: 400, body: { field: 'targetType', message: /cannot be bound/ } })
          continue
        }
        t.match(reply, { status: 200, body: change })
        const path = `/v1/${kinds[targetType]}s/3/${kinds[optionType]}s/count`
        t.strictSame((await api.get(path)).body, { count: 2 }, path)
        await api.put('/v1/config/maintenance', { ...change, optionIds: [2], opt: 0 })
        t.strictSame((await api.get(path)).body, { count: 1 }, path)
        const bad = await api.put('/v1/config/maintenance', { ...change, optionIds: [3, 99] })
        t.match(bad, { status: 400, body: { field: 'optionIds' } })
        t.equal((await api.put('/v1/config/maintenance', { ...change, targetId: 99 })).status, 404)
      }
    }
    const api = await fill()
    const change = { optionType: 0, optionIds: [1], targetType: 1, targetId: 1, opt: 1 }
    for (const [word, value] of [
      ['optionType', 4],
      ['targetType', '1'],
      ['opt', 2],
      ['optionIds', [{ $gt: 0 }]],
      ['targetId', { $gt: 0 }]
    ] as const) {
      const reply = await api.put('/v1/config/maintenance', { ...change, [word]: value })
      t.match(reply, { status: 400, body: { code: 'INVALID_INPUT', field: new RegExp(`^${word}`) } }, word)
    }
    const clientsOnly = replica.as({ tenantId: newTenant(), codes: ['client.edit'] })
    t.equal((await clientsOnly.put('/v1/config/maintenance', change)).status, 403)
  })

  t.test('counts in countInfo and allInfo, and what follows from bindings', async (t) => {
    const api = await fill()
    await api.post('/v1/tasks/1/scripts', [programStep, programStep])
    await api.put('/v1/jobs/1/tasks', [1, 2])
    await api.put('/v1/jobs/2/tasks', [1])
    await api.put('/v1/jobs/1/clients', [1])
    await api.put('/v1/jobs/2/groups', [1, 2])
    await api.put('/v1/groups/1/clients', [1, 2])
    const body = async (path: string) => (await api.get<Json>(path)).body
    t.strictSame(await body('/v1/jobs/1/countInfo'), { groups: 0, tasks: 2, clients: 1 })
    t.strictSame(await body('/v1/jobs/2/countInfo'), { groups: 2, tasks: 1, clients: 0 })
    t.strictSame(await body('/v1/tasks/1/countInfo'), { jobs: 2, clients: 2, scripts: 2 })
    t.strictSame(await body('/v1/groups/1/countInfo'), { clients: 2, jobs: 1 })
    t.strictSame(await body('/v1/clients/1/countInfo'), { attributes: 0, group: 1, groups: 1, jobs: 1, tasks: 2 })
    t.strictSame(await body('/v1/clients/2/countInfo'), { attributes: 0, group: 1, groups: 1, jobs: 0, tasks: 1 })
    t.match(await body('/v1/jobs/allInfo?jobNameContain=job'), {
      total: 3,
      list: [
        { jobId: 1, tasks: 2, groups: 0, clients: 1, maxRetryTime: 0 },
        { jobId: 2, groups: 2, targetClientGroup: 2 },
        { tasks: 0 }
      ]
    })
    t.match(await body('/v1/tasks/allInfo?pageSize=2'), {
      total: 3,
      list: [
        { taskId: 1, enable: true, jobs: 2, clients: 2, scripts: 2, lastTimeRun: null },
        { taskId: 2, jobs: 1, clients: 1, scripts: 0 }
      ]
    })
    t.match(await body('/v1/groups/allInfo'), {
      total: 3,
      list: [{ clients: 2, jobs: 1 }, { jobs: 1 }, { clients: 0 }]
    })
    t.match(await body('/v1/clients/allInfo?mqttClientIdContain=client'), {
      total: 3,
      list: [
        { clientId: 1, groups: 1, jobs: 1, tasks: 2 },
        { clientId: 2, groups: 1, jobs: 0, tasks: 1 },
        { groups: 0, jobs: 0, tasks: 0 }
      ]
    })
    t.match(await body('/v1/tasks/1/clients'), { total: 2, list: [{ clientId: 1 }, { clientId: 2 }] })
    t.match(await body('/v1/tasks/1/clients?mqttClientId=client2'), { total: 1, list: [{ clientId: 2 }] })
    t.match(await body('/v1/clients/2/tasks'), { total: 1, list: [{ taskId: 1 }] })
    t.match(await body('/v1/clients/1/tasks?taskNameContain=2'), { total: 1, list: [{ taskId: 2 }] })
    await api.put('/v1/groups/1/disable')
    t.equal((await body('/v1/tasks/1/clients')).total, 1, 'a disabled group brings no clients')
    t.equal((await body('/v1/clients/2/tasks')).total, 0)
    t.match(await body('/v1/tasks/1/jobs?jobName=job2'), { total: 1, list: [{ jobId: 2, jobName: 'job2' }] })
    t.equal((await api.put('/v1/tasks/1/disable')).body, 'success')
    t.match(await body('/v1/jobs/1/tasks?enabled=false'), { total: 1, list: [{ taskId: 1 }] })
    t.equal((await api.put('/v1/tasks/1/enable')).body, 'success')
    t.equal((await api.put('/v1/tasks/99/enable')).status, 404)
  })

  t.test('every filter of the lists of clients, jobs and tasks', async (t) => {
    const api = await fill()
    await api.put('/v1/jobs/2/tasks', [2])
    await api.put('/v1/clients', { clientId: 2, username: 'u.2' })
    await api.put('/v1/clients/3/disable')
    const later = Date.now() + 60_000
    const times = (word: string) =>
      [
        [`${word}Gte=1&${word}Lte=${later}`, true],
        [`${word}Gte=${later}`, false]
      ] as const
    for (const base of [
      '/v1/jobs',
      '/v1/jobs/allInfo',
      '/v1/tasks/2/jobs',
      '/v1/tasks',
      '/v1/tasks/allInfo',
      '/v1/jobs/2/tasks'
    ]) {
      const one = /jobs$|jobs\/allInfo$/.test(base) ? 'job' : 'task'
      for (const [words, isThere] of [
        [`${one}Name=${one}2`, true],
        [`${one}Name=${one}9`, false],
        [`${one}NameContain=2`, true],
        [`${one}NameContain=.2`, false],
        ['enabled=true', true],
        ['enabled=0', false],
        ...times('lastEditedAt'),
        ...times('assignmentsChangedAt'),
        ...times('createAt'),
        ['lastRunAtGte=0', false]
      ] as const) {
        const { list } = (await api.get<Json>(`${base}?${words}`)).body
        t.equal(
          list.some((row: Json) => row[`${one}Id`] === 2),
          isThere,
          `${base}?${words}`
        )
      }
    }
    await api.put('/v1/jobs/2/clients', [2, 3])
    for (const base of ['/v1/clients', '/v1/clients/allInfo', '/v1/jobs/2/clients', '/v1/tasks/2/clients']) {
      for (const [words, ids] of [
        ['clientId=2', [2]],
        ['username=u.2', [2]],
        ['usernameContain=U.', [2]],
        ['usernameContain=.u', []],
        ['mqttClientId=client2&mqttClientId=client3', [2, 3]],
        ['mqttClientIdContain=ENT3', [3]],
        ['status=ONLINE', []],
        ['status=OFFLINE&enabled=false', [3]],
        ['connectedAtGte=0', []],
        ['disconnectedAtLte=99999999999999', []],
        [`createAtGte=${later}`, []],
        [`createAtLte=${later}&clientId=3`, [3]]
      ] as const) {
        const { list } = (await api.get<Json>(`${base}?${words}`)).body
        t.strictSame(
          list.map(({ clientId }: Json) => clientId),
          ids,
          `${base}?${words}`
        )
      }
    }
  })
})

/** Whether replies of this schema have a field; `list.x` is one of the rows. */
function has(schema: Json, [field, ...rest]: string[]): boolean {
  if (field === undefined) return schema !== undefined
  const object = schema?.type === 'array' ? schema.items : schema
  return has(object?.properties?.[field], rest)
}
