import {
  mqttClient,
  type SshHost,
  sshKeyPair,
  startParts,
  startSshHosts,
  testGuardKeys,
  until
} from '@fleetgate/testkit'
import t from 'tap'
import {
  type ClusterView,
  clusterEnv,
  clusterOf,
  draft,
  ended,
  type HostView,
  hostsOf,
  node,
  operationOf
} from './clusterSupport.js'
import { type Reply, serveKeys, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const [service, hosts] = await Promise.all([
  startClusterManagerFor(t, parts, clusterEnv),
  startSshHosts(t, { count: 7 })
])
const api = service.as(
  guardKeys.token({ userId: 'ann', codes: ['cluster.view', 'cluster.edit', 'key.edit', 'key.view'] })
)
const before = hosts.hosts.map((host) => host.files())
const machine = (index: number) => hosts.hosts[index] as SshHost
const at = (view: HostView | undefined) => hosts.hosts.find(({ address }) => address === view?.ip) as SshHost

const registry = await api.post<Reply<{ _id: string }>>('/v1/dockerregistries', {
  name: 'private',
  registry: '192.168.10.95:5000',
  username: 'puller',
  password: 'hidden-password-of-the-registry'
})
const registryId = registry.body.data._id
let id = ''
/** What server-sent events said of the making. */
let told = ''

await t.test('makes a cluster of three masters and two shared hosts', async (t) => {
  const body = { ...draft(hosts, 'till', [3, 2], hosts.hosts.slice(0, 5)), dockerRegistries: [{ _id: registryId }] }
  const reply = await api.post<Reply<ClusterView>>('/v1/cluster', body)
  t.equal(reply.status, 200, reply.text)
  t.match(reply.body.data, { name: 'till', status: 'INSTALLING', endPoint: '', instances: 5 })
  id = reply.body.data._id
  const stream = fetch(`${service.baseUrl}/v1/operations/${reply.body.data.operationId}/events`, {
    headers: { 'x-auth-token': guardKeys.token() }
  }).then((answer) => answer.text())
  const operation = await ended(api, id)
  t.match(operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(operation))
  told = await stream
  const events = told.split('\n\n').filter(Boolean)
  t.ok(events.length > 2, 'progress is told on the way')
  t.match(events.at(-1), /"state":"SUCCESS"/)
  t.match(await clusterOf(api, id), { status: 'RUNNING', endPoint: machine(0).address, instances: 5 })
  const listed = await hostsOf(api, id, '?status=RUNNING&tag=lb=enable&count=true')
  t.equal(listed.length, 2)
  t.match(listed[0], { tag: ['lb=enable', 'public_ip=true'], isSharedNode: true, hostKey: /^SHA256:/ })
  const auth = await machine(3).run('cat "$FLEETGATE_ROOT/etc/fleetgate/registry-auth.json"')
  t.match(auth, Buffer.from('puller:hidden-password-of-the-registry').toString('base64'))
})

await t.test('the cluster carries MQTT from one host to another', async (t) => {
  const access = (
    await api.get<Reply<{ username: string; password: string; endpoints: string[] }>>(`/v1/cluster/${id}/access`)
  ).body.data
  const mqtt = access.endpoints.filter((url) => url.startsWith('mqtt://'))
  t.equal(mqtt.length, 5)
  const { username, password } = access
  const [first = '', second = ''] = [
    mqtt.find((url) => url.includes(machine(0).address)),
    mqtt.find((url) => url.includes(machine(4).address))
  ]
  const [reader, writer] = [
    await mqttClient(t, first, { username, password }),
    await mqttClient(t, second, { username, password })
  ]
  const heard: string[] = []
  reader.on('message', (_topic, payload) => heard.push(payload.toString()))
  await reader.subscribeAsync('till/1/sales', { qos: 1 })
  await until(
    async () => {
      await writer.publishAsync('till/1/sales', '9.90', { qos: 1 })
      return heard.length > 0
    },
    { what: 'the message', everyMs: 200 }
  )
  t.equal(heard[0], '9.90')
  await t.rejects(mqttClient(t, first, { username, password: 'wrong' }))
  const other = service.as(guardKeys.token({ userId: 'ben', codes: ['cluster.view', 'cluster.edit'] }))
  t.equal((await other.get(`/v1/cluster/${id}/access`)).status, 403)
})

await t.test('gives keys to the hosts, and figures of them', async (t) => {
  const key = await api.post<Reply<{ _id: string }>>('/v1/pubkey', {
    name: 'mine',
    pubkeyValue: sshKeyPair().public
  })
  t.equal(key.status, 200, key.text)
  const ids = [key.body.data._id]
  t.equal((await api.post(`/v1/cluster/${id}/pubkey`, { ids })).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.match(await machine(1).run('cat "$FLEETGATE_ROOT/root/.ssh/authorized_keys"'), /fleetgate: keys of the cluster/)
  t.equal((await api.delete(`/v1/pubkey/${ids[0]}`)).status, 409, 'it is in use')
  t.equal((await api.delete(`/v1/cluster/${id}/pubkey`, { ids })).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.notMatch(await machine(1).run('cat "$FLEETGATE_ROOT/root/.ssh/authorized_keys" || true'), /fleetgate/)
  t.equal((await api.delete(`/v1/pubkey/${ids[0]}`)).status, 200)
  const [host] = await until(
    async () => {
      const found = await hostsOf(api, id)
      return found.every(({ cpu }) => cpu !== '') ? found : undefined
    },
    { what: 'figures of the hosts' }
  )
  t.match(host, { cpu: /^[\d.]+\/\d+$/, memory: /^\d+\/\d+$/, gpu: /^0\/\d+$/ })
})

await t.test('takes two more hosts in, and lets one go, drained', async (t) => {
  const body = {
    sharedCount: 1,
    pureslaveCount: 1,
    sharedNodes: [node(hosts, machine(5))],
    pureslaveNodes: [node(hosts, machine(6))]
  }
  const reply = await api.post<Reply<ClusterView>>(`/v1/cluster/${id}/hosts`, body)
  t.match(reply.body.data, { status: 'MODIFYING', instances: 7 }, reply.text)
  t.equal((await api.delete(`/v1/cluster/${id}`)).status, 409, 'not while it changes')
  t.match(await ended(api, id), { state: 'SUCCESS' })
  const going = (await hostsOf(api, id)).find(({ ip }) => ip === machine(5).address)
  t.equal((await api.delete(`/v1/cluster/${id}/hosts`, { host_ids: [going?.hostId] })).status, 200)
  const operation = await ended(api, id)
  t.match(operation, { state: 'SUCCESS', problems: [] })
  t.same(
    operation.phases.map(({ name }) => name),
    ['drain', 'remove-others']
  )
  t.notOk((await at(going).programs()).includes('nats-server'))
  await until(() => JSON.stringify(at(going).files()) === JSON.stringify(before[5]), {
    what: 'nothing to be left on the host that went'
  })
  t.match(await clusterOf(api, id), { status: 'RUNNING', instances: 6 })
})

await t.test('applying again changes nothing', async (t) => {
  t.equal((await api.post(`/v1/cluster/${id}/apply`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS' })
})

await t.test('tells by component what a dead host takes along', async (t) => {
  await machine(6).kill()
  const reply = await api.get<
    Reply<{ componentStatus: { componentName: string; imageName: string; ip: string; status: string }[] }>
  >(`/v1/cluster/${id}/components`)
  const { componentStatus } = reply.body.data
  t.same(
    componentStatus.filter(({ status }) => status === 'UnHealthy'),
    [{ componentName: 'nats', imageName: 'nats', ip: machine(6).address, status: 'UnHealthy' }]
  )
  t.equal(
    componentStatus.filter(({ componentName, status }) => componentName === 'jetstream' && status === 'Healthy').length,
    3
  )
  await until(async () => (await hostsOf(api, id, '?status=OFFLINE')).length === 1, { what: 'the host to be OFFLINE' })
})

await t.test('keeps secrets out of everything that is shown', async (t) => {
  const { operationId } = await clusterOf(api, id)
  const shown = [
    await api.get('/v1/cluster'),
    await api.get(`/v1/cluster/${id}`),
    await api.get(`/v1/cluster/${id}/hosts`),
    await api.get('/v1/dockerregistries'),
    await api.get('/v1/logs'),
    await api.get(`/v1/operations/${operationId}`)
  ].map(({ text }) => text)
  shown.push(told)
  const access = (await api.get<Reply<{ password: string }>>(`/v1/cluster/${id}/access`)).body.data
  for (const secret of [
    access.password,
    'hidden-password-of-the-registry',
    'PRIVATE KEY',
    Buffer.from(hosts.privateKey).toString('base64').slice(60, 100)
  ]) {
    t.notOk(shown.join('\n').includes(secret))
  }
  const words = (await api.get<Reply<{ operateType: string; status: string }[]>>(`/v1/logs?cluster_id=${id}`)).body.data
  t.same([...new Set(words.map(({ operateType }) => operateType))].sort(), [
    'add_hosts',
    'apply_cluster',
    'change_pubkeys',
    'create_cluster',
    'delete_hosts'
  ])
  t.ok(words.every(({ status }) => status === 'success'))
})

await t.test('deletes the cluster, and leaves nothing on the hosts but on the dead one', async (t) => {
  t.equal((await api.delete(`/v1/dockerregistries/${registryId}`)).status, 409, 'the registry is in use')
  t.same((await api.delete(`/v1/cluster/${id}`)).body, { success: true, data: [] })
  const { operationId } = await clusterOf(api, id)
  const operation = await ended(api, id)
  t.match(operation, { state: 'SUCCESS', problems: [{ ip: machine(6).address }] })
  t.equal((await operationOf(api, operationId)).problems.length, 1)
  t.match(await clusterOf(api, id), { status: 'TERMINATED', instances: 0 })
  for (const index of [0, 1, 2, 3, 4]) {
    t.notOk((await machine(index).programs()).includes('nats-server'))
    await until(() => JSON.stringify(machine(index).files()) === JSON.stringify(before[index]), {
      what: `nothing to be left on host ${index}: ${machine(index)
        .files()
        .filter((file) => !before[index]?.includes(file))}`
    })
  }
  t.equal((await api.delete(`/v1/dockerregistries/${registryId}`)).status, 200)
  t.same((await api.get<Reply<ClusterView[]>>('/v1/cluster?status=unterminated')).body.data, [])
})
