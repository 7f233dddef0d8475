import { readFileSync } from 'node:fs'
import { type SshHost, selfSignedFiles, startParts, startSshHosts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import {
  type ClusterView,
  clusterEnv,
  clusterOf,
  draft,
  ended,
  type HostView,
  hostsOf,
  node
} from './clusterSupport.js'
import { type Failure, type Reply, serveKeys, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const [service, hosts] = await Promise.all([
  startClusterManagerFor(t, parts, { ...clusterEnv, WATCH_MS: '600000' }),
  startSshHosts(t, { count: 4 })
])
const codes = ['cluster.view', 'cluster.edit']
const api = service.as(guardKeys.token({ userId: 'ann', email: 'ann@example.com', codes }))
const ben = service.as(guardKeys.token({ userId: 'ben', email: 'ben@example.com', codes }))
const all = hosts.hosts as [SshHost, SshHost, SshHost, SshHost]
const three = all.slice(0, 3)
const ca = readFileSync(selfSignedFiles(parts.dir).certFile, 'utf8')
const { id, operation, warning } = await create()
const before = three.map((host) => host.files())

/** Of a category that nobody knows. */
async function create() {
  const body = { ...draft(hosts, 'members', [1, 1], three), createCategory: 'swarm' }
  const reply = await api.post<Reply<ClusterView & { warning?: string }>>('/v1/cluster', body)
  if (reply.status !== 200) throw new Error(reply.text)
  const { _id, warning } = reply.body.data
  return { id: _id, warning, operation: await ended(api, _id) }
}

async function registered(registry: object): Promise<string> {
  const reply = await api.post<Reply<{ _id: string }>>('/v1/dockerregistries', registry)
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data._id
}

const signed = { name: 'signed', registry: 'registry.example.com:5000', secure: true, ca_text: ca }
const guarded = await registered({ ...signed, username: 'puller', password: 'hidden-password' })
const open = await registered({ name: 'open', registry: '10.0.0.7:5000', secure: false })
const read = (host: SshHost, path: string) => host.run(`cat "$FLEETGATE_ROOT"/etc/${path} 2>/dev/null || true`)

async function changed(method: 'post' | 'delete', ids: string[]): Promise<void> {
  const reply = await api[method](`/v1/cluster/${id}/registry`, { ids })
  t.equal(reply.status, 200, reply.text)
  const ending = await ended(api, id)
  t.match(ending, { state: 'SUCCESS', problems: [] }, JSON.stringify(ending))
  t.same(
    ending.phases.map(({ name }) => name),
    ['registries-masters', 'registries-others']
  )
}

await t.test('an unknown category counts as compact, and the answer warns of it', async (t) => {
  t.match(operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(operation))
  t.equal(warning, 'createCategory swarm is not known: compact')
  t.match(await clusterOf(api, id), { createCategory: 'compact', status: 'RUNNING', setProjectvalue: { cmi: false } })
  t.notOk('warning' in (await clusterOf(api, id)))
})

await t.test('registries reach every host, with user, authority and what is insecure', async (t) => {
  await changed('post', [guarded, open])
  for (const host of three) {
    t.equal(
      await read(host, 'containers/registries.conf.d/50-fleetgate.conf'),
      '[[registry]]\nlocation = "registry.example.com:5000"\ninsecure = false\n' +
        '[[registry]]\nlocation = "10.0.0.7:5000"\ninsecure = true\n'
    )
    for (const of of ['docker', 'containers']) {
      t.equal((await read(host, `${of}/certs.d/registry.example.com:5000/ca.crt`)).trim(), ca.trim())
      t.equal(await read(host, `${of}/certs.d/10.0.0.7:5000/ca.crt`), '')
    }
    t.same(JSON.parse(await read(host, 'fleetgate/registry-auth.json')), {
      auths: { 'registry.example.com:5000': { auth: Buffer.from('puller:hidden-password').toString('base64') } }
    })
    t.equal(await host.run('stat -c %a "$FLEETGATE_ROOT"/etc/fleetgate/registry-auth.json'), '600\n')
  }
  const shown = (await clusterOf(api, id)).dockerRegistries
  t.match(
    shown.map(({ _id, password }) => [_id, password]).sort(),
    [
      [guarded, ''],
      [open, '']
    ].sort()
  )
})

await t.test('a registry that a cluster carries is in use: it stays, and says so', async (t) => {
  const refused = await api.delete<Failure>(`/v1/dockerregistries/${guarded}`)
  t.match([refused.status, refused.body.error.code], [409, 'E57008'])
  const asked = await api.get<Failure>('/v1/dockerregistries/registryValidate?type=used&name=signed')
  t.match([asked.status, asked.body.error.code], [409, 'E57008'])
  t.match((await api.get<Reply<object>>(`/v1/dockerregistries/${guarded}`)).body.data, { isUse: true })
})

await t.test('refuses registries that are not there, in the request or in the cluster', async (t) => {
  const nobody = '0'.repeat(24)
  for (const [method, body, status, code] of [
    ['post', { ids: [nobody] }, 404, 'E50004'],
    ['delete', { ids: [nobody] }, 404, 'E50004'],
    ['post', { ids: [] }, 400, 'E12002'],
    ['delete', { ids: ['x'] }, 400, 'E12002']
  ] as const) {
    const reply = await api[method]<Failure>(`/v1/cluster/${id}/registry`, body)
    t.match([reply.status, reply.body.error], [status, { code, message: /ids/ }], `${method} ${JSON.stringify(body)}`)
  }
  t.match(await clusterOf(api, id), { status: 'RUNNING' })
})

await t.test('what is taken off is trusted no more, and with the last one nothing is left', async (t) => {
  await changed('delete', [guarded])
  for (const host of three) {
    t.equal(
      await read(host, 'containers/registries.conf.d/50-fleetgate.conf'),
      '[[registry]]\nlocation = "10.0.0.7:5000"\ninsecure = true\n'
    )
    t.equal(await read(host, 'docker/certs.d/registry.example.com:5000/ca.crt'), '')
    t.equal(await read(host, 'fleetgate/registry-auth.json'), '')
  }
  t.equal((await api.delete(`/v1/dockerregistries/${guarded}`)).status, 200, 'it is in no use any more')
  await changed('delete', [open])
  const configuration = (files: string[]) => files.filter((file) => file.startsWith('/etc/'))
  for (const [index, host] of three.entries()) {
    await until(
      () => JSON.stringify(configuration(host.files())) === JSON.stringify(configuration(before[index] ?? [])),
      {
        what: 'the configuration to be what it was'
      }
    )
    t.equal(await host.run('ls "$FLEETGATE_ROOT"/etc | grep -x -e containers -e docker || true'), '')
  }
  t.equal((await api.delete(`/v1/dockerregistries/${open}`)).status, 200)
})

await t.test('a host that was added is read by its id, and lists are filtered, sorted and paged', async (t) => {
  await api.post(`/v1/cluster/${id}/hosts`, { sharedNodes: [node(hosts, all[3])] })
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  const listed = await hostsOf(api, id, '?sort=ip')
  const ips = all.map(({ address }) => address).sort()
  t.same(
    listed.map(({ ip }) => ip),
    ips
  )
  const pages = async (query: string) => (await hostsOf(api, id, `?${query}`)).map(({ ip }) => ip)
  t.same(await pages('sort=-ip'), [...ips].reverse())
  t.same(await pages('sort=ip&skip=1&limit=2'), ips.slice(1, 3))
  t.same(await pages('sort=ip&skip=9'), [])
  const counted = await api.get<Reply<HostView[]>>(`/v1/cluster/${id}/hosts?count=true&limit=1&status=sharedserver`)
  t.match([counted.body.count, counted.headers.get('x-object-count'), counted.body.data.length], [2, '2', 1])
  t.same((await pages('status=sharedserver')).sort(), [all[1].address, all[3].address].sort())
  t.equal((await pages('status=runandoffline')).length, 4)
  for (const query of ['sort=sealedLogin', 'status=GONE', 'limit=-1', 'skip=x'])
    t.equal((await api.get(`/v1/cluster/${id}/hosts?${query}`)).status, 400, query)

  const master = listed.find(({ ip }) => ip === all[0].address)
  const shared = listed.find(({ ip }) => ip === all[1].address)
  const flags = {
    master: { isMasterNode: true, isSlaveNode: false, isSharedNode: false, isClientNode: true, isFullfilled: true },
    shared: { isMasterNode: false, isSlaveNode: true, isSharedNode: true, isClientNode: false, isFullfilled: true }
  }
  t.match([master, shared], [flags.master, flags.shared])
  const one = await api.get<Reply<object>>(`/v1/cluster/${id}/hosts/${shared?.hostId}`)
  t.equal(one.status, 200)
  t.match(one.body.data, {
    _id: shared?.hostId,
    hostName: shared?.hostName,
    clusterId: id,
    clusterName: 'members',
    status: 'RUNNING',
    ip: all[1].address,
    privateIp: all[1].address,
    ...flags.shared,
    isMonitorServer: false,
    sshUser: 'root',
    user_id: 'ann',
    tenant_id: 't1',
    type: 'customized',
    message: '',
    hostKey: /^SHA256:/
  })
  t.notOk(/sealed|privateKey|BEGIN/.test(one.text))
  const missing = await api.get<Failure>(`/v1/cluster/${id}/hosts/${'0'.repeat(24)}`)
  t.match([missing.status, missing.body.error.code], [404, 'E50104'])
})

await t.test('a host that is away counts among those that run and are OFFLINE, and is fulfilled', async (t) => {
  await all[3].kill()
  // Asked by a look, which a service that is started anew begins with.
  await startClusterManagerFor(t, parts, { ...clusterEnv, WATCH_MS: '500' })
  await until(async () => (await hostsOf(api, id, '?status=OFFLINE')).length === 1, { what: 'the host to be OFFLINE' })
  t.equal((await hostsOf(api, id, '?status=runandoffline')).length, 4)
  t.match(await hostsOf(api, id, '?status=OFFLINE'), [
    { ip: all[3].address, isFullfilled: true, message: /cannot be reached/ }
  ])
  await all[3].start()
  await until(async () => (await hostsOf(api, id, '?status=RUNNING')).length === 4, { what: 'the host to be back' })
})

await t.test('hosts go only where a cluster stays, and only those that are there', async (t) => {
  const idOf = async (host: SshHost) => (await hostsOf(api, id)).find(({ ip }) => ip === host.address)?.hostId ?? ''
  const remove = (host_ids: string[]) => api.delete<Failure>(`/v1/cluster/${id}/hosts`, { host_ids })
  const [master, shared, slave, added] = await Promise.all(all.map(idOf))
  for (const [ids, status, code, message] of [
    [[shared, added], 409, 'E50018', /2 running hosts, 1 of them shared/],
    [[shared, slave, added], 409, 'E50018', /too few hosts would stay/],
    [[master], 409, 'E50105', /masters must stay/],
    [['0'.repeat(24)], 404, 'E50104', /no host/],
    [[slave, '0'.repeat(24)], 404, 'E50104', /no host/]
  ] as const) {
    const reply = await remove(ids.map((one) => one ?? ''))
    t.match([reply.status, reply.body.error], [status, { code, message }], reply.text)
  }
  t.match(await clusterOf(api, id), { status: 'RUNNING', instances: 4 })
  t.equal((await remove([slave ?? '', added ?? ''])).status, 200, 'the smallest compact cluster')
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  t.match(await clusterOf(api, id), { status: 'RUNNING', instances: 2 })
  t.equal((await hostsOf(api, id, '?status=TERMINATED')).length, 2)
  t.match((await hostsOf(api, id, '?status=TERMINATED'))[0], { isFullfilled: false })
})

await t.test('the operation log is filtered by who, paged and counted', async (t) => {
  t.equal((await ben.post('/v1/dockerregistries', { name: 'his', registry: 'his.example.com' })).status, 200)
  const words = async (query: string) =>
    (await api.get<Reply<{ operateType: string; user_id: string }[]>>(`/v1/logs?${query}`)).body.data
  t.match(await words('user_id=ben'), [{ operateType: 'create_registry', user_id: 'ben' }])
  t.same(await words('user_name=ben@example.com'), await words('user_id=ben'))
  t.same(await words('user_name=nobody@example.com'), [])
  const hers = await words('user_name=ann@example.com&sort=time_create')
  t.ok(hers.length > 5)
  t.ok(hers.every(({ user_id }) => user_id === 'ann'))
  t.same(await words('user_id=ann&sort=time_create&skip=2&limit=3'), hers.slice(2, 5))
  t.same(await words('user_id=ann&sort=-time_create&limit=1'), hers.slice(-1))
  const counted = await api.get<Reply<unknown[]>>('/v1/logs?user_id=ann&count=true&limit=2')
  t.match([counted.body.count, counted.headers.get('x-object-count')], [hers.length, String(hers.length)])
  t.equal(counted.body.data.length, 2)
  t.same(
    (await words(`cluster_id=${id}&queryType=host&sort=time_create`)).map(({ operateType }) => operateType),
    ['add_hosts', 'delete_hosts']
  )
  for (const query of ['sort=comments', 'queryType=any', 'limit=-1'])
    t.equal((await api.get(`/v1/logs?${query}`)).status, 400, query)
})
