import { type Session, startParts, startSshHosts, testGuardKeys } from '@fleetgate/testkit'
import t from 'tap'
import { envOf, isEmpty, letHosts, startCloud } from './clouds/index.js'
import {
  type ClusterView,
  clusterEnv,
  clusterOf,
  ended,
  type HostView,
  hostsOf,
  operationOf
} from './clusterSupport.js'
import { type Failure, type Reply, serveKeys, startClusterManagerFor } from './support.js'

t.setTimeout(240_000)

const [cloud, parts, hosts] = await Promise.all([
  startCloud(t, 'openstack'),
  startParts(t),
  startSshHosts(t, { count: 4 })
])
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
letHosts(cloud, hosts)
const sshPort = hosts.hosts[0]?.port ?? 22
const service = await startClusterManagerFor(t, parts, {
  ...clusterEnv,
  ...envOf(cloud),
  MACHINE_POLL_MS: '100',
  MACHINE_MS: '60000',
  MACHINE_ACCESS_FROM: '198.51.100.0/24'
})
const codes = ['cluster.view', 'cluster.edit']
const user = (tenantId: string): Session => service.as(guardKeys.token({ userId: 'ann', tenantId, codes }))
const api = user('t1')
const body = { name: 'cloud', type: 'openstack', sshUser: 'root', sshPort, ...cloud.infos }
const made = await api.post<Reply<{ _id: string }>>('/v1/provider', body)
const providerId = made.body.data._id
const draft = (name: string, more: object = {}) => ({
  name,
  profile: 'nats',
  type: 'openstack',
  providerId,
  createCategory: 'compact',
  masterCount: 1,
  sharedCount: 1,
  pureslaveCount: 0,
  masterNodes: [],
  ...more
})
let id = ''

await t.test('refuses what a provider cannot make, before anything is made', async (t) => {
  t.equal(made.status, 200, made.text)
  t.same((await api.post(`/v1/provider/${providerId}/check`)).body, { success: true })
  const node = { ip: '127.0.5.1', sshUser: 'root', password: 'x' }
  const wrong = { ...body, name: 'wrong', openstackInfo: { ...body.openstackInfo, 'openstack-flavor-name': '' } }
  const lacking = (await api.post<Reply<{ _id: string }>>('/v1/provider', wrong)).body.data._id
  const cases: [object, number, string, RegExp][] = [
    [{ providerId: undefined }, 400, 'E12002', /providerId/],
    [{ providerId: '' }, 400, 'E12002', /providerId/],
    [{ providerId: '0'.repeat(24) }, 404, 'E50004', /providerId/],
    [{ type: 'google' }, 400, 'E50012', /type/],
    [{ type: 'azure' }, 400, 'E50012', /type/],
    [{ providerId: lacking }, 400, 'E12002', /openstack-flavor-name/],
    [{ masterNodes: [node] }, 400, 'E12002', /masterNodes/],
    [{ sharedCount: 0 }, 400, 'E50010', /shared/],
    [{ masterCount: 2 }, 400, 'E50010', /masterCount|masters/],
    [{ pureslaveCount: 201 }, 400, 'E50010', /pureslaveCount/]
  ]
  for (const [change, status, code, message] of cases) {
    const reply = await api.post<Failure>('/v1/cluster', draft('bad', change))
    t.match(reply, { status, body: { error: { code, message } } }, `${JSON.stringify(change)} ${reply.text}`)
  }
  t.match(await user('t2').post('/v1/cluster', draft('foreign')), { status: 404 })
  t.same((await api.get<Reply<object[]>>('/v1/cluster')).body.data, [])
  t.equal((await api.delete(`/v1/provider/${lacking}`)).status, 200, 'what was refused is not in use')
  t.ok(isEmpty(cloud))
})

await t.test('makes the machines of a cluster, and installs it on them', async (t) => {
  const reply = await api.post<Reply<ClusterView>>('/v1/cluster', draft('till'))
  t.match(
    reply.body.data,
    { status: 'INSTALLING', type: 'openstack', providerId, instances: 2, endPoint: '' },
    reply.text
  )
  id = reply.body.data._id
  const operation = await ended(api, id)
  t.match(operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(operation))
  t.same(
    operation.phases.slice(0, 3).map(({ name }) => name),
    ['machines', 'boot', 'preflight']
  )
  const listed = await hostsOf(api, id)
  t.same(listed.map(({ ip }) => ip).sort(), [...cloud.machines.values()].map(({ address }) => address).sort())
  t.match(listed, [
    { status: 'RUNNING', type: 'openstack' },
    { status: 'RUNNING', hostKey: /^SHA256:/ }
  ])
  t.equal(cloud.floating.size, 2)
  const ports = [...cloud.groups.values()].flat().flatMap(({ ports }) => ports)
  t.same(
    ports.sort((a, b) => a - b),
    [...new Set([sshPort, 1883, 4222])].sort((a, b) => a - b)
  )
  t.match(await clusterOf(api, id), { status: 'RUNNING', instances: 2 })
})

await t.test('a provider in use stays, where it is', async (t) => {
  const path = `/v1/provider/${providerId}`
  t.match((await api.get<Reply<object>>(path)).body.data, { isuse: true })
  t.match(await api.delete(path), { status: 409, body: { error: { code: 'E50016' } } })
  const moved = { ...body, openstackInfo: { ...body.openstackInfo, 'openstack-region': 'two' } }
  t.match(await api.put(path, moved), { status: 409, body: { error: { code: 'E50016' } } })
  t.equal((await api.put(path, { ...body, name: 'renamed' })).status, 200)
})

await t.test('counts alone add machines; those that go are taken away', async (t) => {
  const path = `/v1/cluster/${id}/hosts`
  t.match(await api.post(path, { pureslaveCount: 0 }), { status: 400 })
  const reply = await api.post<Reply<ClusterView>>(path, { pureslaveCount: 1, addMode: 'new' })
  t.match(reply.body.data, { status: 'MODIFYING', instances: 3 }, reply.text)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  t.equal(cloud.machines.size, 3)
  const going = (await hostsOf(api, id)).find((host: HostView) => !host.isMasterNode && !host.isSharedNode)
  t.equal((await api.delete(path, { host_ids: [going?.hostId] })).status, 200)
  const operation = await ended(api, id)
  t.match(operation, { state: 'SUCCESS', problems: [] })
  t.same(
    operation.phases.map(({ name }) => name),
    ['drain', 'destroy']
  )
  t.notOk([...cloud.machines.values()].some(({ address }) => address === going?.ip))
  t.same([cloud.machines.size, cloud.floating.size], [2, 2])
})

await t.test('a host whose machine never came goes at once', async (t) => {
  const path = `/v1/cluster/${id}/hosts`
  cloud.createFaults.push('quota')
  await api.post(path, { sharedCount: 1 })
  t.match(await ended(api, id), {
    state: 'FAILED',
    problems: [{ ip: /^h-/, message: /^machines: OpenStack: Quota exceeded/ }]
  })
  const [failed] = await hostsOf(api, id, '?status=FAILED')
  t.match(failed, { ip: '', message: /Quota exceeded/ })
  t.equal((await api.delete(path, { host_ids: [failed?.hostId] })).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  t.equal(cloud.machines.size, 2)
})

await t.test('of two machines one is refused: the other joins, and nothing of the first is left', async (t) => {
  cloud.failing = 1
  await api.post(`/v1/cluster/${id}/hosts`, { pureslaveCount: 2 })
  const operation = await ended(api, id)
  t.match(operation, { state: 'FAILED', problems: [{ message: /^boot: .*the host broke/ }] })
  t.equal(operation.problems.length, 1)
  t.match(await clusterOf(api, id), { status: 'RUNNING', details: /failed on 1 of 2/ })
  t.same((await hostsOf(api, id, '?status=unterminated')).map(({ status }) => status).sort(), [
    'FAILED',
    'RUNNING',
    'RUNNING',
    'RUNNING'
  ])
  t.same([cloud.machines.size, cloud.floating.size], [3, 3])
  t.equal((await api.post(`/v1/operations/${operation.id}/retry`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS', attempt: 2 })
  t.equal((await hostsOf(api, id, '?status=RUNNING')).length, 4)
})

await t.test('keeps every secret to itself', async (t) => {
  const { operationId } = await clusterOf(api, id)
  const paths = ['/v1/cluster', `/v1/cluster/${id}/hosts`, `/v1/operations/${operationId}`, '/v1/logs', '/v1/provider']
  const shown = (await Promise.all(paths.map((path) => api.get(path)))).map(({ text }) => text).join()
  t.notMatch(shown, /open-secret|PRIVATE KEY|sealed/)
})

await t.test('a provider that lost its log-in keeps the cluster from going, until it has a new one', async (t) => {
  const path = `/v1/provider/${providerId}`
  const secret = (text: string) => ({ ...body, openstackInfo: { ...body.openstackInfo, 'openstack-password': text } })
  t.equal((await api.put(path, secret('expired-secret'))).status, 200)
  t.equal((await api.delete(`/v1/cluster/${id}`)).status, 200)
  const operation = await ended(api, id)
  t.match(operation, { state: 'FAILED', problems: [{ message: /destroy: OpenStack refuses the log-in/ }] })
  t.match(await clusterOf(api, id), { status: 'FAILED' })
  t.equal(cloud.machines.size, 4)
  t.equal((await api.put(path, secret('open-secret'))).status, 200)
  t.equal((await api.post(`/v1/operations/${operation.id}/retry`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.match(await clusterOf(api, id), { status: 'TERMINATED', instances: 0 })
  t.ok(isEmpty(cloud), 'nothing is left at the cloud')
  t.equal((await api.delete(path)).status, 200)
  t.match(
    (await operationOf(api, operation.id)).phases.map(({ name }) => name),
    ['destroy']
  )
})
