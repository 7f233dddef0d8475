import { startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { type Json, makeJob, newTenant, startFleet, startReplica } from './support.js'

t.setTimeout(120_000)

t.test('groups', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const replica = await startReplica(t, { parts, database: 'groups' })
  const draft = {
    type: 0,
    groupName: 'tills',
    description: 'd',
    enabled: true,
    queryProperty: '',
    queryOperation: '',
    queryValue: '',
    assignmentsChangedAt: 5,
    membershipChangedAt: 5,
    lastRefreshedAt: 5
  }

  t.test('are created, listed, read, changed, disabled and deleted', async (t) => {
    const api = replica.as({ tenantId: newTenant() })
    const created = await api.post<Json>('/v1/groups', draft)
    t.match(created, {
      status: 200,
      body: { groupId: 1, type: 0, groupName: 'tills', description: 'd', enabled: true }
    })
    t.match(created.body, { assignmentsChangedAt: null, membershipChangedAt: null, lastRefreshedAt: null })
    const query = {
      ...draft,
      type: 1,
      groupName: 'all',
      queryProperty: 'status',
      queryOperation: 'EQ',
      queryValue: 'ONLINE'
    }
    t.match((await api.post<Json>('/v1/groups', query)).body, { groupId: 2, lastRefreshedAt: Number })

    for (const [words, ids] of [
      ['', [1, 2]],
      ['groupName=tills', [1]],
      ['groupName=til', []],
      ['groupNameContain=LL', [1, 2]],
      ['groupNameContain=.', []],
      ['type=1', [2]],
      ['enabled=false', []],
      ['pageNo=2&pageSize=1', [2]],
      [`createAtGte=${Date.now() + 60_000}`, []],
      ['lastEditedAtGte=1', [1, 2]]
    ] as const) {
      const { body } = await api.get<Json>(`/v1/groups?${words}`)
      t.strictSame(
        body.list.map(({ groupId }: Json) => groupId),
        ids,
        words
      )
    }
    t.equal((await api.get<Json>('/v1/groups?pageSize=1')).body.total, 2)
    t.strictSame((await api.put('/v1/groups', { groupId: 1, type: 0, groupName: 'pos' })).body, { desc: null })
    const details = (await api.get<Json>('/v1/groups/1/details')).body
    t.match(details, { groupName: 'pos', description: 'd' })
    await api.put('/v1/groups', { ...details, enable: false })
    t.match((await api.get('/v1/groups/1/details')).body, { enable: false, enabled: false }, 'the word that differs')
    t.equal((await api.put('/v1/groups/1/disable')).body, 'success')
    t.equal((await api.get<Json>('/v1/groups?enabled=false')).body.total, 1)
    t.equal((await api.put('/v1/groups/1/enable')).body, 'success')
    t.equal((await api.delete('/v1/groups/1')).body, 'success')
    t.equal((await api.get('/v1/groups/1/details')).status, 404)
    t.equal((await api.delete('/v1/groups/1')).status, 404)
  })

  t.test('a machine is in none as long as nobody has bound any', async (t) => {
    const api = replica.as({ tenantId: newTenant() })
    // With one machine the database answers from an index alone, which tells nothing of fields that are absent.
    await api.post('/v1/clients', { mqttClientId: 'a' })
    t.same((await api.get('/v1/clients/1/groups')).body, { total: 0, list: [] })
    t.same((await api.get('/v1/clients/1/tasks/count')).body, { count: 0 })
    t.equal((await api.get('/v1/clients/1/countInfo')).status, 200)
  })

  t.test('static ones have the members that were bound, from either side', async (t) => {
    const api = replica.as({ tenantId: newTenant() })
    for (const mqttClientId of ['a', 'b', 'c']) await api.post('/v1/clients', { mqttClientId })
    for (const groupName of ['g', 'h']) await api.post('/v1/groups', { ...draft, groupName })
    t.match(await api.put('/v1/groups/1/clients', [1, 2]), { status: 200, text: 'null' })
    await api.put('/v1/groups/1/clients', [1])
    t.equal((await api.put('/v1/clients/3/groups', [1, 2])).body, null)
    const members = async (words = '') => (await api.get<Json>(`/v1/groups/1/clients?${words}`)).body
    t.match(await members(), {
      total: 3,
      list: [{ clientId: 1, enable: true, status: 'OFFLINE', role: 'STORE' }, {}, {}]
    })
    t.match(await members('mqttClientId=b'), { total: 1, list: [{ clientId: 2 }] })
    t.match(await members('pageNo=2&pageSize=2'), { total: 3, list: [{ clientId: 3 }] })
    t.match((await api.get('/v1/clients/3/groups')).body, { total: 2, list: [{ groupId: 1, type: 0 }, { groupId: 2 }] })
    t.strictSame((await api.get('/v1/clients/3/groups/count')).body, { count: 2 })
    t.strictSame((await api.get('/v1/groups/1/clients/count')).body, { count: 3 })
    t.type((await api.get<Json>('/v1/groups/1/details')).body.membershipChangedAt, 'number')

    await api.put('/v1/groups/1/clients/remove', [2, 4711])
    await api.put('/v1/clients/3/groups/remove', [1])
    t.match(await members(), { total: 1, list: [{ clientId: 1 }] })
    await api.delete('/v1/clients/1')
    t.equal((await members()).total, 0, 'a deleted client leaves its groups')
    await api.delete('/v1/groups/2')
    t.equal((await api.get<Json>('/v1/clients/3/groups')).body.total, 0, 'a deleted group leaves its clients')
    t.match(await api.put('/v1/groups/1/clients', [2, 4711]), {
      status: 400,
      body: { field: 'clientIds', message: /4711/ }
    })
    t.equal((await members()).total, 0, 'nothing of a refused list is bound')
    t.equal((await api.put('/v1/groups/4711/clients', [2])).status, 404)
  })

  t.test('query ones have whoever matches at the moment of asking', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    await api.post('/v1/settings/attributes', {
      attributeName: 'floor',
      type: 1,
      defaultValue: '2',
      display: true,
      readOnly: false
    })
    for (const [name, username] of [
      ['pos-1', 'north'],
      ['pos-2', 'North Sea'],
      ['srv-3', 'south']
    ]) {
      await api.post('/v1/clients', { mqttClientId: name, username, enable: name !== 'srv-3', ip: '10.0.0.9' })
    }
    await api.post('/v1/clients/1/attributes', [{ clientId: 1, attributeId: 1, attributeValue: '10' }])
    await fleet.up({ tenantId, clientId: 'pos-2' }, 'hello', {
      role: 'SERVER',
      version: '1.2.0',
      attributes: { site: 'x', floor: '9' }
    })
    await until(async () => (await api.get<Json>('/v1/clients/2/details')).body.version === '1.2.0', { what: 'hello' })
    const { groupId } = (
      await api.post<Json>('/v1/groups', {
        ...draft,
        type: 1,
        queryProperty: 'role',
        queryOperation: 'EQ',
        queryValue: 'SERVER'
      })
    ).body
    const cases = [
      ['role', 'EQ', 'SERVER', [2]],
      ['role', 'NE', 'SERVER', [1, 3]],
      ['clientId', 'IN', '1, 3,99', [1, 3]],
      ['clientId', 'GT', '2', [3]],
      ['clientId', 'LTE', '2', [1, 2]],
      ['mqttClientId', 'STARTS_WITH', 'pos-', [1, 2]],
      ['mqttClientId', 'STARTS_WITH', 'os-', []],
      ['username', 'CONTAINS', 'NORTH', [1, 2]],
      ['username', 'CONTAINS', '.', []],
      ['username', 'GTE', 'o', [3]],
      ['enabled', 'EQ', 'false', [3]],
      ['enable', 'NE', '0', [1, 2]],
      ['status', 'IN', 'ONLINE,OFFLINE', [1, 2, 3]],
      ['ip', 'EQ', '10.0.0.9', [1, 2, 3]],
      ['createdAt', 'GTE', '2020-01-01T00:00:00Z', [1, 2, 3]],
      ['createdAt', 'LT', '2020-01-01T00:00:00Z', []],
      ['version', 'STARTS_WITH', '1.', [2]],
      ['site', 'EQ', 'x', [2]],
      ['site', 'NE', 'x', [1, 3]],
      ['site', 'CONTAINS', 'X', [2]],
      ['floor', 'GT', '9.5', [1]],
      ['floor', 'GTE', '9', [1, 2]],
      ['floor', 'LT', '3', [3]],
      ['floor', 'EQ', '2', [3]],
      ['floor', 'NE', '2', [1, 2]],
      ['floor', 'IN', '2,9', [2, 3]],
      ['nothing', 'EQ', 'x', []],
      ['$where', 'EQ', 'x', []],
      ['constructor', 'EQ', 'x', []]
    ] as const
    for (const [queryProperty, queryOperation, queryValue, ids] of cases) {
      const query = { queryProperty, queryOperation, queryValue }
      t.match(await api.put('/v1/groups', { groupId, ...query }), { status: 200 })
      const { list } = (await api.get<Json>(`/v1/groups/${groupId}/clients`)).body
      t.strictSame(
        list.map(({ clientId }: Json) => clientId),
        ids,
        JSON.stringify(query)
      )
      for (const clientId of [1, 2, 3]) {
        const { count } = (await api.get<Json>(`/v1/clients/${clientId}/groups/count`)).body
        t.equal(count, (ids as readonly number[]).includes(clientId) ? 1 : 0, `and client ${clientId} agrees`)
      }
    }
    await api.put('/v1/groups', { groupId, queryProperty: 'username', queryOperation: 'EQ', queryValue: 'south' })
    await api.put('/v1/clients', { clientId: 1, username: 'south' })
    t.strictSame((await api.get('/v1/groups/1/clients/count')).body, { count: 2 }, 'a change counts at once')
    t.match(await api.put('/v1/groups/1/clients', [1]), { status: 409, body: { code: 'INVALID_STATE' } })
    t.match(await api.put('/v1/clients/1/groups/remove', [1]), { status: 409 })
  })

  t.test('the run of a job goes to the enabled machines bound directly or by groups, once each', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    fleet.onExecution = () => {}
    for (const mqttClientId of ['a', 'b', 'c', 'd', 'e']) await api.post('/v1/clients', { mqttClientId })
    await api.put('/v1/clients/3/disable')
    await api.post('/v1/groups', draft)
    const queryD = { ...draft, type: 1, queryProperty: 'mqttClientId', queryOperation: 'IN', queryValue: 'b,d' }
    await api.post('/v1/groups', queryD)
    await api.post('/v1/groups', { ...queryD, enabled: false, queryValue: 'e' })
    await api.put('/v1/groups/1/clients', [1, 2, 3])
    const { jobId } = await makeJob(api, { clients: ['a'] })
    t.equal((await api.put(`/v1/jobs/${jobId}/groups`, [1, 2])).body, null)
    await api.put('/v1/groups/3/jobs', [jobId])
    t.match((await api.get(`/v1/jobs/${jobId}/groups?groupName=tills`)).body, {
      total: 3,
      list: [{ groupId: 1, queryProperty: '', enabled: true, createdAt: Number, assignmentsChangedAt: Number }, {}, {}]
    })
    t.equal((await api.get(`/v1/jobs/${jobId}/run`)).status, 200)
    const { body } = await api.get<Json>(`/v1/logs/jobs?jobId=${jobId}`)
    t.equal(body.list[0].counts.total, 3)
    const rows = await until(
      async () => {
        const { list } = (await api.get<Json>(`/v1/logs/jobs/clients?jobId=${jobId}&status=ALL`)).body
        return list.length === 3 ? list : undefined
      },
      { what: 'the executions' }
    )
    const bound = Object.fromEntries(rows.map((row: Json) => [row.mqttClientId, [row.boundBy, row.groupId]]))
    // b is in both groups: the one that was bound first counts. a is in a group too.
    t.strictSame(bound, { a: ['CLIENT', null], b: ['GROUP', 1], d: ['GROUP', 2] })
    t.match((await api.get<Json>('/v1/logs/clients?clientId=4')).body.list, [{ boundBy: 'GROUP', groupId: 2 }])
    await api.put(`/v1/jobs/${jobId}/groups/remove`, [1, 2])
    await api.put(`/v1/jobs/${jobId}/clients/remove`, [1])
    const bare = await api.get(`/v1/jobs/${jobId}/run`, { 'idempotency-key': 'again' })
    t.match(bare, { status: 409, body: { message: /no clients/ } }, 'a disabled group brings none')
  })

  t.test('wrong input is refused by name', async (t) => {
    const api = replica.as({ tenantId: newTenant() })
    await api.post('/v1/groups', draft)
    const query = { ...draft, type: 1, queryProperty: 'username', queryOperation: 'EQ', queryValue: 'x' }
    const bad: [method: 'post' | 'put', body: unknown, field: string][] = [
      ['post', { ...draft, type: 2 }, 'type'],
      ['post', { ...draft, type: '1' }, 'type'],
      ['post', { ...draft, groupName: '' }, 'groupName'],
      ['post', { ...draft, groupName: { $gt: '' } }, 'groupName'],
      ['post', { ...query, queryProperty: '' }, 'queryProperty'],
      ['post', { ...query, queryOperation: 'LIKE' }, 'queryOperation'],
      ['post', { ...query, queryOperation: 'toString' }, 'queryOperation'],
      ['post', { ...query, queryValue: '' }, 'queryValue'],
      ['post', { ...query, queryValue: { $gt: '' } }, 'queryValue'],
      ['post', { ...query, queryProperty: 'clientId' }, 'queryValue'],
      ['post', { ...query, queryProperty: 'clientId', queryOperation: 'CONTAINS' }, 'queryOperation'],
      ['post', { ...query, queryProperty: 'enabled' }, 'queryValue'],
      ['post', { ...query, queryProperty: 'createdAt', queryValue: 'soon' }, 'queryValue'],
      ['post', { ...query, queryOperation: 'IN', queryValue: 'a,,b' }, 'queryValue'],
      ['put', { groupId: 1, groupName: '' }, 'groupName'],
      ['put', { groupName: 'x' }, 'groupId']
    ]
    for (const [method, body, field] of bad) {
      const reply = await api[method]('/v1/groups', body)
      t.match(reply, { status: 400, body: { code: 'INVALID_INPUT', field } }, JSON.stringify(body))
    }
    t.match(await api.put('/v1/groups', { groupId: 1, type: 1 }), { status: 409, body: { field: 'type' } })
    t.equal((await api.put('/v1/groups', { groupId: 9, groupName: 'x' })).status, 404)
    t.equal((await api.get<Json>('/v1/groups')).body.total, 1)
    t.match(await api.get('/v1/groups?type=x'), { status: 400, body: { field: 'type' } })
  })

  t.test('another tenant sees and changes nothing', async (t) => {
    const owner = replica.as({ tenantId: newTenant() })
    const other = replica.as({ tenantId: newTenant() })
    await owner.post('/v1/groups', draft)
    await owner.post('/v1/clients', { mqttClientId: 'a' })
    await owner.put('/v1/groups/1/clients', [1])
    const { jobId } = (await other.post<Json>('/v1/jobs', { jobName: 'j' })).body
    for (const path of ['details', 'clients', 'clients/count', 'jobs', 'jobs/count', 'countInfo']) {
      t.equal((await other.get(`/v1/groups/1/${path}`)).status, 404, path)
    }
    for (const path of ['clients', 'clients/remove', 'jobs', 'jobs/remove']) {
      t.equal((await other.put(`/v1/groups/1/${path}`, [])).status, 404, path)
    }
    t.equal((await other.put('/v1/groups', { groupId: 1, groupName: 'mine' })).status, 404)
    t.equal((await other.delete('/v1/groups/1')).status, 404)
    t.equal((await other.put(`/v1/jobs/${jobId}/groups`, [1])).status, 400)
    await other.post('/v1/groups', {
      ...draft,
      type: 1,
      queryProperty: 'mqttClientId',
      queryOperation: 'EQ',
      queryValue: 'a'
    })
    t.equal((await other.get<Json>('/v1/groups/1/clients')).body.total, 0)
    t.equal((await owner.get<Json>('/v1/groups/1/clients')).body.total, 1)
  })
})
