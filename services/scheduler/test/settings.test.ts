import { openStore } from '@fleetgate/store'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { createSettingsStore } from '../src/settings/settingsStore.js'
import { type Json, newTenant, startFleet, startReplica } from './support.js'

t.setTimeout(120_000)

t.test('settings and attributes', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const replica = await startReplica(t, { parts, database: 'settings' })

  t.test('each part is read, changed and kept per tenant', async (t) => {
    const api = replica.as({ tenantId: newTenant() })
    const other = replica.as({ tenantId: newTenant() })
    const cases: [path: string, change: Json, ids: Json][] = [
      [
        '/v1/settings',
        {
          managementServerTimeZone: 'Asia/Shanghai',
          communicationServerTimeZone: 'Europe/Berlin',
          region: 'cn',
          adminTimeOut: 15,
          alertMailTo: ['ops@example.com', 'night@example.org']
        },
        {}
      ],
      [
        '/v1/jobs/settings',
        { enable: false, maxRetried: 3, retryWait: 7, maxConcurrentSession: 50 },
        { jobsSettingId: 1 }
      ],
      [
        '/v1/tasks/settings',
        { enable: false, priority: 4, disableValidation: true },
        { jobsSettingId: 1, tasksSettingId: '1' }
      ],
      ['/v1/clients/settings', { autoEnableNewClient: false, selfDeclaredServers: false }, { clientSettingsId: 1 }]
    ]
    for (const [path, change, ids] of cases) {
      const before = (await other.get(path)).body
      t.strictSame((await api.post(path, change)).body, { ...change, ...ids }, path)
      t.strictSame((await api.get(path)).body, { ...change, ...ids }, path)
      t.strictSame((await api.post(path, {})).body, { ...change, ...ids }, 'what is absent stays')
      t.strictSame((await other.get(path)).body, before, 'another tenant keeps its own')
      t.notSame(before, { ...change, ...ids })
    }
    t.match((await api.post('/v1/jobs', { jobName: 'j' })).body, { enabled: false, maxRetries: 3, retryWait: 7 })
    t.match((await api.post('/v1/jobs', { jobName: 'j', enabled: true, maxRetries: 0 })).body, {
      enabled: true,
      maxRetries: 0
    })
    t.match((await api.post('/v1/tasks', { taskName: 't' })).body, {
      enabled: false,
      priority: 4,
      disableValidation: true
    })
    t.match((await api.post('/v1/clients', { mqttClientId: 'c' })).body, { enable: false })
  })

  t.test('first changes of a tenant at the same moment are all kept', async (t) => {
    const store = await openStore({ uri: parts.mongoUri, database: 'first', log: quietLog })
    t.teardown(() => store.close())
    const settings = createSettingsStore(store)
    // The database lets two insert at once now and then only.
    for (let round = 0; round < 60; round++) {
      const tenantId = newTenant()
      const fields = Array.from({ length: 20 }, (_, i) => `f${i}`)
      await Promise.all(fields.map((field) => settings.update(tenantId, 'general', { [field]: round })))
      t.equal(Object.keys((await settings.find(tenantId))?.general ?? {}).length, fields.length)
    }
  })

  t.test('a new machine starts as its tenant wants it', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    const enabledOf = (name: string) =>
      until(async () => (await api.get<Json>(`/v1/clients?mqttClientId=${name}`)).body.list[0], { what: name })
    await fleet.connect(tenantId, ['m1'])
    t.equal((await enabledOf('m1')).enable, true)
    await api.post('/v1/clients/settings', { autoEnableNewClient: false })
    await fleet.connect(tenantId, ['m2'])
    t.equal((await enabledOf('m2')).enable, false)
  })

  t.test('attributes are added, listed, assigned, found and deleted', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    const draft = { attributeName: 'site', type: 0, defaultValue: 'hall', display: true, readOnly: false }
    t.strictSame((await api.post('/v1/settings/attributes', draft)).body, {
      ...draft,
      attributeId: 1,
      attributesId: 1,
      display: 1,
      readOnly: 0
    })
    await api.post('/v1/settings/attributes', {
      ...draft,
      attributeName: 'size',
      type: '1',
      defaultValue: '',
      readOnly: 1
    })
    t.match((await api.get('/v1/settings/attributes?pageNo=1&pageSize=1')).body, {
      total: 2,
      list: [{ ...draft, attributeId: 1, type: '0' }]
    })
    for (const mqttClientId of ['a', 'b']) await api.post('/v1/clients', { mqttClientId })
    const values = async (id: number) => (await api.get<Json>(`/v1/clients/${id}/attributes`)).body.list
    t.match(await values(1), [
      { attributeId: 1, attributeName: 'site', attributeValue: 'hall', type: 0, display: true, readOnly: false },
      { attributeId: 2, attributeName: 'size', attributeValue: '', readOnly: true }
    ])
    await fleet.up({ tenantId, clientId: 'a' }, 'hello', {
      role: 'STORE',
      version: '1',
      attributes: { site: 'said', os: 'linux', size: '7' }
    })
    await until(async () => (await api.get<Json>('/v1/clients/1/details')).body.version === '1', { what: 'hello' })
    t.match(await values(1), [
      { attributeValue: 'said' },
      { attributeValue: '7' },
      { attributeId: 0, attributeName: 'os', attributeValue: 'linux', readOnly: true }
    ])
    t.strictSame((await api.get('/v1/clients/1/attributes/count')).body, { count: 3 })

    const assigned = await api.post('/v1/clients/1/attributes', [
      { clientId: 1, attributeId: 1, attributeValue: '$told' }
    ])
    t.strictSame(assigned.body, { desc: null })
    t.equal((await values(1))[0].attributeValue, '$told', 'the assigned value wins')
    t.match((await api.get<Json>('/v1/clients/1/details')).body.attributes, [
      { attributeName: 'site', attributeValue: '$told' }
    ])
    const found = async (words: string) =>
      (await api.get<Json>(`/v1/clients?${words}`)).body.list.map(({ clientId }: Json) => clientId)
    t.strictSame(await found('attributeName=site&attributeValue=%24told'), [1])
    t.strictSame(await found('attributeName=site&attributeValue=said'), [])
    t.strictSame(await found('attributeName=site&attributeValue=hall'), [2], 'the default counts')
    t.strictSame(await found('attributeName=os&attributeValueContain=LIN'), [1])
    t.strictSame(await found('attributeName=os'), [1])
    await api.post('/v1/clients/1/attributes', [{ attributeId: 1, attributeValue: '' }])
    t.equal((await values(1))[0].attributeValue, 'said', 'an empty value takes the assignment away')
    await api.post('/v1/clients/2/attributes', [{ attributeId: 1, attributeValue: 'x' }])
    t.equal((await api.delete('/v1/settings/attributes/1')).body, 'success')
    t.equal((await api.delete('/v1/settings/attributes/1')).status, 404)
    t.strictSame(await found('attributeName=site&attributeValue=x'), [])
  })

  t.test('wrong input is refused by name, and changes nothing', async (t) => {
    const api = replica.as({ tenantId: newTenant() })
    await api.post('/v1/clients', { mqttClientId: 'a' })
    const number = { attributeName: 'n', type: 1, defaultValue: '1', display: true, readOnly: false }
    await api.post('/v1/settings/attributes', number)
    await api.post('/v1/settings/attributes', { ...number, attributeName: 'fixed', readOnly: true })
    const bad: [path: string, body: unknown, field: string][] = [
      ['/v1/settings', { managementServerTimeZone: 'Mars/Base' }, 'managementServerTimeZone'],
      ['/v1/settings', { region: { $gt: '' } }, 'region'],
      ['/v1/settings', { adminTimeOut: -1 }, 'adminTimeOut'],
      ['/v1/settings', { alertMailTo: 'ops@example.com' }, 'alertMailTo'],
      ['/v1/settings', { alertMailTo: ['ops@example.com\r\nBcc: x@example.com'] }, 'alertMailTo.0'],
      ['/v1/settings', { alertMailTo: [{ $gt: '' }] }, 'alertMailTo.0'],
      ['/v1/settings', { alertMailTo: Array.from({ length: 21 }, (_, i) => `a${i}@example.com`) }, 'alertMailTo'],
      ['/v1/jobs/settings', { maxRetried: 11 }, 'maxRetried'],
      ['/v1/jobs/settings', { maxConcurrentSession: 'many' }, 'maxConcurrentSession'],
      ['/v1/tasks/settings', { priority: 1.5 }, 'priority'],
      ['/v1/clients/settings', { autoEnableNewClient: 'yes' }, 'autoEnableNewClient'],
      ['/v1/settings/attributes', { ...number, attributeName: '' }, 'attributeName'],
      ['/v1/settings/attributes', { ...number, attributeName: 'status' }, 'attributeName'],
      ['/v1/settings/attributes', { ...number, attributeName: 'm', type: 9 }, 'type'],
      ['/v1/settings/attributes', { ...number, attributeName: 'm', defaultValue: 'one' }, 'defaultValue'],
      ['/v1/clients/1/attributes', [{ attributeId: 9, attributeValue: '1' }], '0.attributeId'],
      [
        '/v1/clients/1/attributes',
        [
          { attributeId: 1, attributeValue: '2' },
          { attributeId: 1, attributeValue: 'x' }
        ],
        '1.attributeValue'
      ],
      ['/v1/clients/1/attributes', [{ attributeId: 2, attributeValue: '2' }], '0.attributeId'],
      ['/v1/clients/1/attributes', [{ clientId: 2, attributeId: 1, attributeValue: '2' }], '0.clientId'],
      ['/v1/clients/1/attributes', [{ attributeId: 1, attributeValue: { $ne: '' } }], '0.attributeValue']
    ]
    for (const [path, body, field] of bad) {
      t.match(await api.post(path, body), { status: 400, body: { code: 'INVALID_INPUT', field } }, JSON.stringify(body))
    }
    t.match(await api.post('/v1/settings/attributes', number), { status: 409, body: { field: 'attributeName' } })
    t.equal((await api.get<Json>('/v1/clients/1/attributes')).body.list[0].attributeValue, '1')
    t.match((await api.get('/v1/settings')).body, { managementServerTimeZone: 'UTC' })
    t.equal((await api.post('/v1/clients/9/attributes', [])).status, 404)
    t.equal((await api.get<Json>('/v1/settings/attributes')).body.total, 2)
    const reader = replica.as({ tenantId: newTenant(), codes: ['job.view', 'client.view'] })
    for (const path of [
      '/v1/settings',
      '/v1/jobs/settings',
      '/v1/tasks/settings',
      '/v1/clients/settings',
      '/v1/settings/attributes'
    ]) {
      t.equal((await reader.get(path)).status, 200, path)
      t.equal((await reader.post(path, number)).status, 403, path)
    }
  })
})
