import { AppError, createMachineUser, listUserNames } from '@fleetgate/kit'
import { createApi, type Parts, startParts } from '@fleetgate/testkit'
import t, { type Test } from 'tap'
import { type Fleet, type Json, newTenant, type Replica, startFleet, startReplica } from './support.js'

t.setTimeout(120_000)

const env = { MACHINE_MQTT_URL: 'mqtts://fleet.example.com:8883' }

/** Answers for broker-proxy. */
interface Broker {
  asked: { tenantId: string; clientId: string; grant: string; replace: boolean }[]
  fail?: AppError | undefined
}

async function serveBroker(fleet: Fleet): Promise<Broker> {
  const broker: Broker = { asked: [] }
  await fleet.bus.serve(createMachineUser, async (question) => {
    broker.asked.push(question)
    if (broker.fail) throw broker.fail
    return { username: `m-${question.clientId}`, password: `secret of ${question.clientId}` }
  })
  return broker
}

function enrolAt({ url }: { url: string }) {
  return (token: string, clientId: string, more: Json = {}) =>
    createApi(url).post<Json>('/v1/clients/enrol', { token, clientId, ...more })
}

const refusal = { status: 403, body: { code: 'FORBIDDEN', message: 'this token does not let a machine in' } }

t.test('enrolments', async (t) => {
  const parts = await startParts(t, { nats: true, engine: true })
  const fleet = await startFleet(t, parts)
  const broker = await serveBroker(fleet)
  const settings = { ...env, ENROL_ATTEMPTS_PER_MINUTE: '1000' }
  const replica = await startReplica(t, { parts, database: 'enrolments', env: settings, machineCa: 'PEM' })
  const enrol = enrolAt(replica)
  t.beforeEach(() => {
    broker.asked = []
    broker.fail = undefined
  })
  const make = async (tenantId: string, draft: Json = {}) =>
    (await replica.as({ tenantId }).post<Json>('/v1/clients/enrolments', draft)).body

  t.test('a token outlives who made it and says so', async (t) => {
    const tenantId = newTenant()
    for (const userId of ['1', '2'])
      await replica.as({ tenantId, userId, nickname: `n${userId}` }).post('/v1/clients/enrolments', {})
    const creators = async () => {
      const { body } = await replica.as({ tenantId }).get<{ list: Json[] }>('/v1/clients/enrolments')
      return body.list.map(({ createdBy, createdByDeleted }) => [createdBy, createdByDeleted])
    }
    t.same(
      await creators(),
      [
        ['n2', undefined],
        ['n1', undefined]
      ],
      'nothing is said while auth does not answer'
    )
    let asked = 0
    const answering = await fleet.bus.serve(listUserNames, async ({ ids }) => {
      asked += 1
      return { users: ids.map((id) => ({ id, nickname: 'x', email: 'x@example.com', isDeleted: id === '1' })) }
    })
    t.same(await creators(), [
      ['n2', undefined],
      ['n1 (deleted)', true]
    ])
    t.equal(asked, 1)
    await answering.stop()
  })

  t.test('a token lets one machine in, once', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    const { groupId } = (await api.post<Json>('/v1/groups', { groupName: 'north', type: 0 })).body
    await api.post('/v1/clients/settings', { autoEnableNewClient: false })
    const made = await make(tenantId, { name: 'shop 7', groupIds: [groupId, groupId], role: 'SERVER' })
    t.match(made, { enrolmentId: 1, name: 'shop 7', state: 'ACTIVE', uses: 1, usesLeft: 1, groupIds: [groupId] })
    t.match(made.token, /^fge_[\w-]{43}$/)
    const answer = await enrol(made.token, 'till-1', { role: 'STORE' })
    t.strictSame(answer.body, {
      mqttUrl: env.MACHINE_MQTT_URL,
      username: 'm-till-1',
      password: 'secret of till-1',
      clientId: 'till-1',
      role: 'SERVER',
      caPem: 'PEM'
    })
    t.match(broker.asked, [{ tenantId, clientId: 'till-1', replace: false }])
    const { list } = (await api.get<Json>('/v1/clients')).body
    t.match(list, [{ mqttClientId: 'till-1', username: 'm-till-1', enabled: true, role: 'SERVER', status: 'OFFLINE' }])
    const members = (await api.get<Json>(`/v1/groups/${groupId}/clients`)).body
    t.equal(members.total, 1)
    t.match(await enrol(made.token, 'till-2'), refusal, 'its one use is used')
    t.equal(broker.asked.length, 1)
    const listed = await api.get<Json>('/v1/clients/enrolments')
    t.notMatch(listed.text, /fge_|tokenHash|secret/, 'neither token nor hash is ever listed')
    t.match(listed.body, {
      total: 1,
      list: [{ state: 'USED_UP', usesLeft: 0, machines: [{ mqttClientId: 'till-1', enrolledAt: Number }] }]
    })
  })

  t.test('the same machine may ask again while the token lives', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    const { token, enrolmentId } = await make(tenantId)
    const first = await enrol(token, 'till-1')
    const { clientId } = (await api.get<Json>('/v1/clients')).body.list[0]
    await api.put(`/v1/clients/${clientId}/disable`)
    t.strictSame((await enrol(token, 'till-1')).body, first.body)
    t.match((await api.get('/v1/clients')).body, { list: [{ enabled: false }] }, 'which undoes nothing')
    t.strictSame(new Set(broker.asked.map(({ grant }) => grant)), new Set([`${tenantId}:${enrolmentId}`]))
    await api.delete(`/v1/clients/enrolments/${enrolmentId}`)
    t.match(await enrol(token, 'till-1'), refusal)
  })

  t.test('of many that come at once as many get in as it has uses', async (t) => {
    const tenantId = newTenant()
    const { token } = await make(tenantId, { uses: 3 })
    const names = Array.from({ length: 12 }, (_, i) => `till-${i % 6}`)
    const answers = await Promise.all(names.map((name) => enrol(token, name)))
    const welcome = names.filter((_, i) => answers[i]?.status === 200)
    t.equal(new Set(welcome).size, 3)
    for (const answer of answers) if (answer.status !== 200) t.match(answer, refusal)
    for (const name of new Set(welcome)) t.equal((await enrol(token, name)).status, 200)
    t.equal((await replica.as({ tenantId }).get<Json>('/v1/clients')).body.total, 3)
  })

  t.test('unknown, revoked and expired tokens are refused alike', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    t.match(await enrol('fge_no', 'x'), refusal)
    const revoked = await make(tenantId)
    t.strictSame((await api.delete(`/v1/clients/enrolments/${revoked.enrolmentId}`)).body, {
      enrolmentId: revoked.enrolmentId
    })
    t.equal((await api.delete(`/v1/clients/enrolments/${revoked.enrolmentId}`)).status, 200, 'again')
    t.match(await enrol(revoked.token, 'x'), refusal)
    const expired = await make(tenantId, { expiresIn: 60 })
    const enrolments = replica.store.connection.collection('enrolments')
    await enrolments.updateOne({ tenantId, enrolmentId: expired.enrolmentId }, { $set: { expiresAt: Date.now() } })
    t.match(await enrol(expired.token, 'x'), refusal)
    const { list } = (await api.get<Json>('/v1/clients/enrolments')).body
    t.strictSame(
      list.map(({ state }: Json) => state),
      ['EXPIRED', 'REVOKED']
    )
    t.strictSame(broker.asked, [])
  })

  t.test('a known client id is refused unless the enrolment replaces', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    await api.post('/v1/clients', { mqttClientId: 'till-1', enable: false })
    const plain = await make(tenantId)
    const conflict = { status: 409, body: { code: 'CONFLICT', field: 'clientId' } }
    t.match(await enrol(plain.token, 'till-1'), conflict)
    broker.fail = new AppError('conflict', 'the machine has an MQTT user')
    t.match(await enrol(plain.token, 'till-2'), conflict, 'known to the broker only')
    broker.fail = undefined
    t.match((await api.get('/v1/clients/enrolments')).body, { list: [{ usesLeft: 1, machines: [] }] }, 'no use is lost')
    const replacing = await make(tenantId, { replace: true })
    t.equal((await enrol(replacing.token, 'till-1')).status, 200)
    t.match(broker.asked.at(-1), { clientId: 'till-1', replace: true })
    t.match((await api.get('/v1/clients')).body, { total: 1, list: [{ enabled: true, username: 'm-till-1' }] })
  })

  t.test('what broke half way is healed by asking again', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    const { token } = await make(tenantId)
    broker.fail = new AppError('unavailable', 'the database is away')
    t.match(await enrol(token, 'till-1'), { status: 503 })
    t.match((await api.get('/v1/clients')).body, { total: 0 })
    t.match((await api.get('/v1/clients/enrolments')).body, { list: [{ machines: [{ enrolledAt: null }] }] })
    broker.fail = undefined
    // As if the process had died after it had made the client.
    await api.post('/v1/clients', { mqttClientId: 'till-1' })
    t.equal((await enrol(token, 'till-1')).status, 200)
    t.match((await api.get('/v1/clients')).body, { total: 1, list: [{ enabled: true, username: 'm-till-1' }] })
  })

  t.test('bad input is refused, and nothing is made', async (t) => {
    const tenantId = newTenant()
    const api = replica.as({ tenantId })
    const { groupId } = (
      await api.post<Json>('/v1/groups', {
        groupName: 'linux',
        type: 1,
        queryProperty: 'os',
        queryOperation: 'EQ',
        queryValue: 'linux'
      })
    ).body
    const drafts: [draft: Json, field: string][] = [
      [{ uses: 0 }, 'uses'],
      [{ uses: '3' }, 'uses'],
      [{ expiresIn: 5 }, 'expiresIn'],
      [{ expiresIn: 1e12 }, 'expiresIn'],
      [{ role: 'KING' }, 'role'],
      [{ replace: 'yes' }, 'replace'],
      [{ name: { $gt: '' } }, 'name'],
      [{ groupIds: [99] }, 'groupIds'],
      [{ groupIds: [groupId] }, 'groupIds']
    ]
    for (const [draft, field] of drafts) {
      t.match(await api.post('/v1/clients/enrolments', draft), { status: 400, body: { field } }, JSON.stringify(draft))
    }
    t.match((await api.get('/v1/clients/enrolments')).body, { total: 0 })
    const { token } = await make(tenantId)
    const requests: [body: Json, field: string][] = [
      [{}, 'token'],
      [{ token }, 'clientId'],
      [{ token: { $ne: '' }, clientId: 'a' }, 'token'],
      [{ token, clientId: 'a/b' }, 'clientId'],
      [{ token, clientId: 'a+' }, 'clientId'],
      [{ token, clientId: '' }, 'clientId'],
      [{ token, clientId: 'a', role: 'KING' }, 'role']
    ]
    for (const [body, field] of requests) {
      t.match(await createApi(replica.url).post('/v1/clients/enrol', body), { status: 400, body: { field } }, field)
    }
    t.match(await api.delete('/v1/clients/enrolments/99'), { status: 404 })
  })

  t.test('each tenant has its own, and only those who may edit clients make them', async (t) => {
    const [mine, other] = [newTenant(), newTenant()]
    const { enrolmentId } = await make(mine)
    const stranger = replica.as({ tenantId: other })
    t.match((await stranger.get('/v1/clients/enrolments')).body, { total: 0 })
    t.match(await stranger.delete(`/v1/clients/enrolments/${enrolmentId}`), { status: 404 })
    const viewer = replica.as({ tenantId: mine, isSuperAdmin: false, codes: ['client.view'] })
    t.match(await viewer.get('/v1/clients/enrolments'), { status: 200, body: { total: 1 } })
    t.match(await viewer.post('/v1/clients/enrolments', {}), { status: 403 })
    t.match(await viewer.delete(`/v1/clients/enrolments/${enrolmentId}`), { status: 403 })
    const nobody = replica.as({ tenantId: mine, isSuperAdmin: false, codes: [] })
    t.match(await nobody.get('/v1/clients/enrolments'), { status: 403 })
    t.match(await createApi(replica.url).get('/v1/clients/enrolments'), { status: 401 })
  })

  t.test('guessing is slowed down', (t) => slowsDown(t, parts))

  t.test('nobody enrols where no broker is known', async (t) => {
    const silent = await startReplica(t, { parts, database: 'enrolments-silent' })
    t.match(await silent.as().post('/v1/clients/enrolments', {}), {
      status: 409,
      body: { code: 'INVALID_STATE', message: /MACHINE_MQTT_URL/ }
    })
    await silent.stop()
  })
})

async function slowsDown(t: Test, parts: Parts): Promise<void> {
  const strict: Replica = await startReplica(t, {
    parts,
    database: 'enrolments-strict',
    env: { ...env, ENROL_ATTEMPTS_PER_MINUTE: '3' }
  })
  const tries = []
  for (let i = 0; i < 5; i += 1) tries.push(await enrolAt(strict)('fge_guess', 'x'))
  t.equal(tries[0]?.status, 403)
  const last = tries.at(-1)
  t.match(last, { status: 429, body: { code: 'RATE_LIMITED' } })
  t.ok(Number(last?.headers.get('retry-after')) > 0)
  await strict.stop()
}
