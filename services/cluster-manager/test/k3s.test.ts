import { readFileSync } from 'node:fs'
import { type SshHost, selfSignedFiles, startParts, startSshHosts, testGuardKeys } from '@fleetgate/testkit'
import t from 'tap'
import { clusterEnv, clusterOf, draft, ended, type HostView, hostsOf, made, node } from './clusterSupport.js'
import { authority, layK3s, prepareHosts } from './k3sStandIns.js'
import { type Failure, type Reply, serveKeys, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const K3S_DIR = layK3s(parts.dir)
const hosts = await startSshHosts(t, { count: 8 })
prepareHosts(hosts)
const service = await startClusterManagerFor(t, parts, { ...clusterEnv, K3S_DIR, WATCH_MS: '600000' })
const api = service.as(guardKeys.token({ userId: 'ann', codes: ['cluster.view', 'cluster.edit'] }))
const machine = (index: number) => hosts.hosts[index] as SshHost
const read = (index: number, file: string) => machine(index).run(`cat "$FLEETGATE_ROOT"${file}`)
let id = ''

async function pick(index: number): Promise<HostView> {
  const found = (await hostsOf(api, id, '?status=unterminated')).find(({ ip }) => ip === machine(index).address)
  if (!found) throw new Error(`the cluster has no host ${index}`)
  return found
}

const remove = (going: HostView[]) =>
  api.delete(`/v1/cluster/${id}/hosts`, { host_ids: going.map(({ hostId }) => hostId) })

/** Stand-ins are called and write down how: what is shown here is what our scripts do with them, and nothing of k3s. */
await t.test('writes the configuration of leader, masters and workers, then calls the installer', async (t) => {
  const registry = {
    name: 'own',
    registry: 'registry.example.com:5000',
    username: "o'hara",
    password: 'pass: #word',
    isSystemRegistry: true
  }
  const others = [
    { ...registry, name: 'second', registry: 'second.example.com' },
    { name: 'same', registry: registry.registry }
  ]
  const dockerRegistries: { _id: string }[] = []
  for (const one of [registry, ...others])
    dockerRegistries.push((await api.post<Reply<{ _id: string }>>('/v1/dockerregistries', one)).body.data)
  const result = await made(api, { ...draft(hosts, 'kube', [5, 2]), profile: 'k3s', dockerRegistries })
  id = result.id
  t.match(result.operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(result.operation))
  t.same(
    result.operation.phases.map(({ name }) => name),
    ['preflight', 'stage', 'install-1', 'install-2', 'install-3', 'verify', 'addons'],
    'the leader first, then masters, then workers'
  )
  const [leader, master, shared, worker] = await Promise.all(
    [0, 1, 5, 7].map((index) => read(index, '/etc/rancher/k3s/config.yaml'))
  )
  t.match(leader, /cluster-init: true/)
  t.match(leader, /NoSchedule/)
  t.match(master, `server: 'https://${machine(0).address}:6443'`)
  t.match(shared, 'linker.io/lb=enable')
  t.notMatch(worker, 'linker.io/lb=enable')
  const tokenOf = (text = '') => /^token: (.*)$/m.exec(text)?.[1]
  const [, password = ''] = /^'([\w-]{32})'$/.exec(tokenOf(leader) ?? '') ?? []
  t.equal(tokenOf(master), `'K10${authority}::server:${password}'`, 'who joins is told the checksum of the authority')
  t.match(tokenOf(worker), new RegExp(`^'K10${authority}::node:[\\w-]{32}'$`))
  t.notMatch(worker, password, 'a worker does not have the token of servers')
  t.match(await read(5, '/var/lib/calls'), 'install agent true')
  t.match(await read(1, '/var/lib/calls'), 'install server true')
  const registries = await read(6, '/etc/rancher/k3s/registries.yaml')
  t.match(registries, "username: 'o''hara'")
  t.match(registries, "password: 'pass: #word'")
  const endpoints = ['registry.example.com:5000', 'second.example.com'].map((at) => `      - 'http://${at}'`)
  t.match(registries, ["  'docker.io':", '    endpoint:', ...endpoints].join('\n'))
  t.equal(registries.match(/^ {2}'registry\.example\.com:5000':$/gm)?.length, 2, 'a mirror and a log-in, each once')
  t.match(registries, 'insecure_skip_verify: true')
})

await t.test('applied again it calls no installer', async (t) => {
  await api.post(`/v1/cluster/${id}/apply`)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.equal((await read(1, '/var/lib/calls')).match(/^install/gm)?.length, 1)
})

await t.test('a registry that is given and taken off restarts k3s on each host, and its masters in turn', async (t) => {
  const before = await read(6, '/etc/rancher/k3s/registries.yaml')
  const ca = readFileSync(selfSignedFiles(parts.dir).certFile, 'utf8')
  const signed = { name: 'signed', registry: 'signed.example.com', secure: true, ca_text: ca, username: 'puller' }
  const made = await api.post<Reply<{ _id: string }>>('/v1/dockerregistries', { ...signed, password: "hidden'word" })
  const ids = [made.body.data._id]
  const restarts = async (index: number) =>
    [...(await read(index, '/var/lib/calls')).matchAll(/^restart (\d+) (\d+)$/gm)].map((found) => [
      Number(found[1]),
      Number(found[2])
    ])
  const ending = async (answer: { status: number; text: string }) => {
    t.equal(answer.status, 200, answer.text)
    t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  }
  const restartsOfAll = () => Promise.all(hosts.hosts.map((_host, index) => restarts(index)))
  const first = await restartsOfAll()
  await ending(await api.post(`/v1/cluster/${id}/registry`, { ids }))
  for (const { disk, run } of hosts.hosts) {
    const text = await run('cat "$FLEETGATE_ROOT"/etc/rancher/k3s/registries.yaml')
    t.match(text, "  'signed.example.com':\n    endpoint:\n      - 'https://signed.example.com'\n")
    const [, file = ''] =
      /username: 'puller'\n {6}password: 'hidden''word'\n {4}tls:\n {6}insecure_skip_verify: false\n {6}ca_file: '(.*)'/.exec(
        text
      ) ?? []
    t.equal((await run(`cat '${file}'`)).trim(), ca.trim(), disk)
  }
  const spans = (await restartsOfAll()).map((all, index) => all.slice(first[index]?.length))
  for (const span of spans) t.equal(span.length, 1)
  const turns = spans
    .slice(0, 5)
    .flat()
    .sort(([a = 0], [b = 0]) => a - b) as [number, number][]
  t.ok(
    turns.every(([begun], index) => index === 0 || begun >= (turns[index - 1]?.[1] ?? 0)),
    'no two masters at once'
  )
  await ending(await api.delete(`/v1/cluster/${id}/registry`, { ids }))
  t.equal(await read(6, '/etc/rancher/k3s/registries.yaml'), before)
  for (const [index, host] of hosts.hosts.entries()) {
    t.equal((await restarts(index)).length, (first[index]?.length ?? 0) + 2)
    t.notOk(host.files().some((file) => file.includes('registries.d')))
  }
  t.equal((await api.delete(`/v1/dockerregistries/${ids[0]}`)).status, 200)
})

await t.test('shows the components under the names of the original', async (t) => {
  const reply = await api.get<Reply<{ componentStatus: { componentName: string; status: string }[] }>>(
    `/v1/cluster/${id}/components`
  )
  const all = reply.body.data.componentStatus
  const namesOf = (status: string) => all.filter((one) => one.status === status).map((one) => one.componentName)
  const healthy = namesOf('Healthy')
  const ofMasters = ['mesosmaster', 'marathon', 'exhibitor', 'dnsserver', 'adminrouter', 'cosmos', 'metricscollector']
  for (const name of ofMasters) t.equal(healthy.filter((one) => one === name).length, 5, name)
  t.equal(healthy.filter((name) => name === 'mesosslave').length, 3)
  t.equal(all.filter(({ componentName }) => componentName === 'genresolvconf').length, 8, 'on every host')
  t.notOk(
    all.some(({ componentName }) => /prometheus|alertmanager/.test(componentName)),
    'nobody asked for them'
  )
})

await t.test('gives its owner the kubeconfig of the leader, or of another master, and shows it nowhere', async (t) => {
  const access = () => api.get<Reply<Record<string, string>>>(`/v1/cluster/${id}/access`)
  const { data } = (await access()).body
  t.same(Object.keys(data).sort(), ['endpoints', 'kubeconfig'], 'no token, which opens nothing for kubectl')
  const at = (index: number) => new RegExp(`^    server: https://${machine(index).address}:6443\n`, 'm')
  t.match(data.kubeconfig, at(0))
  t.match(data.kubeconfig, 'client-key-data: a2V5IG9mIGFkbWlu')
  const ben = service.as(guardKeys.token({ userId: 'ben', codes: ['cluster.view', 'cluster.edit'] }))
  t.equal((await ben.get(`/v1/cluster/${id}/access`)).status, 403)
  const file = '"$FLEETGATE_ROOT"/etc/rancher/k3s/k3s.yaml'
  const masters = [0, 1, 2, 3, 4].map(machine)
  await masters[0]?.run(`mv ${file} ${file}.away`)
  t.match((await access()).body.data.kubeconfig, at(1))
  await Promise.all(masters.slice(1).map((master) => master.run(`mv ${file} ${file}.away`)))
  t.equal((await access()).status, 503)
  await Promise.all(masters.map((master) => master.run(`mv ${file}.away ${file}`)))
  const { operationId } = await clusterOf(api, id)
  const paths = [`/v1/cluster/${id}`, `/v1/cluster/${id}/hosts`, `/v1/operations/${operationId}`, '/v1/logs']
  for (const path of paths) t.notMatch((await api.get(path)).text, 'a2V5IG9mIGFkbWlu', path)
})

await t.test('drains and forgets on the leader before a host goes, and uninstalls', async (t) => {
  const going = await pick(7)
  t.equal((await remove([going])).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  const calls = await read(0, '/var/lib/calls')
  const order = ['cordon', 'drain', 'delete node'].map((word) => calls.indexOf(`k3s kubectl ${word} ${going.hostName}`))
  t.ok(
    order.every((at) => at > 0),
    calls
  )
  t.same(
    order,
    [...order].sort((a, b) => a - b)
  )
  t.match(await read(7, '/var/lib/calls'), 'uninstalled')
  t.notOk(machine(7).files().includes('/etc/rancher/k3s/config.yaml'))
})

await t.test(
  'a host that cannot join is forgotten by the leader, who may be away, and joins when asked again',
  async (t) => {
    const marker = (name: string) => `"$FLEETGATE_ROOT/var/lib/${name}"`
    await machine(7).run(`touch ${marker('refused')}`)
    await machine(0).run(`touch ${marker('stuck')}`)
    const reply = await api.post(`/v1/cluster/${id}/hosts`, { pureslaveNodes: [node(hosts, machine(7))] })
    t.equal(reply.status, 200, reply.text)
    t.match(await ended(api, id), {
      state: 'FAILED',
      message: 'install-1 failed on 1 of 1 hosts',
      phases: [{}, {}, { name: 'install-1', state: 'FAILED' }, { name: 'undo-others' }, { name: 'undo-forget' }],
      problems: [
        { ip: machine(7).address, message: /install-1: .*installer of k3s failed/ },
        { ip: machine(0).address, message: /undo-forget: .*timed out/ }
      ]
    })
    await machine(0).run(`rm ${marker('stuck')}`)
    const { operationId } = await clusterOf(api, id)
    t.equal((await api.post(`/v1/operations/${operationId}/retry`)).status, 200)
    t.match(await ended(api, id), { state: 'FAILED', problems: [{ ip: machine(7).address }] })
    const { hostName } = await pick(7)
    t.match(await read(0, '/var/lib/deleted'), new RegExp(`^${hostName}$`, 'm'))
    t.match(await pick(0), { status: 'RUNNING' })

    await machine(7).run(`rm ${marker('refused')}`)
    t.equal((await api.post(`/v1/operations/${operationId}/retry`)).status, 200)
    t.match(await ended(api, id), { state: 'SUCCESS', attempt: 3, problems: [] })
    t.equal((await remove([await pick(7)])).status, 200)
    t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  }
)

await t.test('a master whose member stays in etcd is not uninstalled', async (t) => {
  await machine(1).run('touch "$FLEETGATE_ROOT/var/lib/stuck"')
  const going = [await pick(0), await pick(2)]
  const refused = await api.delete<Failure>(`/v1/cluster/${id}/hosts`, { host_ids: [going[0]?.hostId] })
  t.equal(refused.status, 409)
  t.match(refused.body.error, { code: 'E50105', message: /3 or 5 masters must stay/ })
  t.equal((await remove(going)).status, 200)
  const operation = await ended(api, id)
  t.match(operation, {
    state: 'FAILED',
    message: /masters that stay are not whole/,
    phases: [{}, { name: 'forget-master-1', state: 'FAILED' }, { name: 'undo-drain', state: 'DONE' }],
    problems: [{ ip: machine(1).address, message: /forget-master-1: .*timed out/ }]
  })
  for (const index of [0, 2]) t.notMatch(await read(index, '/var/lib/calls'), 'uninstalled')
  const names = going.map(({ hostName }) => `node/${hostName}`)
  const last = (await read(1, '/var/lib/calls')).match(/^k3s kubectl (?:cordon|uncordon) .*$/gm)?.at(-1)
  t.equal(last, `k3s kubectl uncordon ${names.join(' ')}`, 'what stays takes work again')
  await machine(1).run('rm "$FLEETGATE_ROOT/var/lib/stuck"')
})

await t.test('masters leave one by one: deleted by one that stays, then uninstalled', async (t) => {
  const { operationId } = await clusterOf(api, id)
  t.equal((await api.post(`/v1/operations/${operationId}/retry`)).status, 200)
  const operation = await ended(api, id)
  t.match(operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(operation))
  t.same(
    operation.phases.map(({ name }) => name),
    [
      ...[1, 2].flatMap((number) => ['drain', 'forget', 'remove', 'settle'].map((word) => `${word}-master-${number}`)),
      'addons'
    ]
  )
  for (const index of [0, 2]) {
    t.match(await read(index, '/var/lib/calls'), 'uninstalled')
    t.notOk(machine(index).files().includes('/etc/rancher/k3s/config.yaml'))
  }
  t.match(await clusterOf(api, id), { status: 'RUNNING', instances: 5, endPoint: machine(1).address })
})

await t.test('applied again the masters restart in turn, and all know the leader that is left', async (t) => {
  await api.post(`/v1/cluster/${id}/apply`)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  const config = (index: number) => read(index, '/etc/rancher/k3s/config.yaml')
  t.match(await config(1), /cluster-init: true/)
  for (const index of [3, 4, 5, 6]) t.match(await config(index), `server: 'https://${machine(1).address}:6443'`)
  const [first = '', second = ''] = await Promise.all([3, 4].map((index) => read(index, '/var/lib/calls')))
  const spans = [first, second].map((calls) =>
    [...calls.matchAll(/^restart (\d+) (\d+)$/gm)].at(-1)?.slice(1).map(Number)
  )
  const [[begun, over], [nextBegun, nextOver]] = spans as [[number, number], [number, number]]
  t.ok(over <= nextBegun || nextOver <= begun, JSON.stringify(spans))

  await api.delete(`/v1/cluster/${id}`)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  t.match(await clusterOf(api, id), { status: 'TERMINATED' })
  for (const index of [1, 3, 4, 5, 6]) t.match(await read(index, '/var/lib/calls'), 'uninstalled')
})
