import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '@fleetgate/store'
import { quietLog, type SshHost, startParts, startSshHosts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { isSchedule } from '../src/clusters/schedule.js'
import {
  clusterEnv,
  clusterOf,
  draft,
  ended,
  type HostView,
  hostsOf,
  made,
  node,
  type OperationView
} from './clusterSupport.js'
import { layK3s, prepareHosts } from './k3sStandIns.js'
import { type Failure, type Reply, serveKeys, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const K3S_DIR = layK3s(parts.dir)
writeFileSync(join(K3S_DIR, 'prometheus.tgz'), 'a chart')
writeFileSync(join(K3S_DIR, 'prometheus-images.tar.zst'), 'its images')
const hosts = await startSshHosts(t, { count: 4 })
prepareHosts(hosts)
const [master, first, worker, second] = hosts.hosts as [SshHost, SshHost, SshHost, SshHost]
const before = hosts.hosts.map((host) => host.files())
const service = await startClusterManagerFor(t, parts, { ...clusterEnv, K3S_DIR, WATCH_MS: '500' })
const api = service.as(guardKeys.token({ userId: 'ann', codes: ['cluster.view', 'cluster.edit'] }))
const onHost = (host: SshHost, line: string) => host.run(line.replaceAll(' /', ' "$FLEETGATE_ROOT"/'))
const configOf = (host: SshHost) => onHost(host, 'cat /etc/rancher/k3s/config.yaml')
const callsOf = async (host: SshHost) => (await onHost(host, 'cat /var/lib/calls')).trim().split('\n')
const startsOf = async (host: SshHost) =>
  (await callsOf(host)).filter((line) => /^(install|restart) /.test(line)).length
const objectOf = (name: string) => onHost(master, `cat /var/lib/objects/${name} 2>/dev/null || true`)
const keys = { accessKey: 'AKIA-of-snapshots', secretKey: "hidden'of+snapshots" }
const s3 = { endpoint: 's3.example.com:9000', bucket: 'snapshots', ...keys }
const options = {
  apiAddress: 'Kube.example.com',
  monitoring: true,
  snapshots: { schedule: '0 */6 * * *', retention: 8, s3: { ...s3, region: 'here', unknown: 'ignored' }, more: 1 }
}
const body = (name: string, more: object) => ({
  ...draft(hosts, name, [1, 1], [master, first, worker]),
  profile: 'k3s',
  ...more
})
/** Besides what was there, and what the stand-ins write. */
const leftOn = (host: SshHost) =>
  host
    .files()
    .filter((file) => !before[hosts.hosts.indexOf(host)]?.includes(file))
    .filter((file) => !/^\/var\/lib\/(calls|deleted|objects)/.test(file))
let id = ''

interface OptionsView {
  endPoint: string
  apiAddress?: string
  monitoring?: boolean
  snapshots?: object
}
const shown = async () => (await api.get<Reply<OptionsView>>(`/v1/cluster/${id}`)).body.data

async function applied(more?: object): Promise<OperationView> {
  const reply = await api.post(`/v1/cluster/${id}/apply`, more)
  t.equal(reply.status, 200, reply.text)
  const operation = await ended(api, id)
  t.match(operation, { state: 'SUCCESS', problems: [] })
  return operation
}

async function hostOf({ address }: SshHost): Promise<HostView> {
  const found = (await hostsOf(api, id, '?status=unterminated')).find(({ ip }) => ip === address)
  if (!found) throw new Error(`the cluster has no host ${address}`)
  return found
}

async function removed(host: SshHost): Promise<void> {
  const { hostId } = await hostOf(host)
  const reply = await api.delete(`/v1/cluster/${id}/hosts`, { host_ids: [hostId] })
  t.equal(reply.status, 200, reply.text)
}

await t.test('refuses what is no option, by the name of the field, and keeps nothing of it', async (t) => {
  const snapshots = (more: object) => ({ snapshots: more })
  const schedule = (text: string) => snapshots({ schedule: text })
  const cases: [object, number, string, RegExp][] = [
    [{ profile: 'nats', apiAddress: 'kube.example.com' }, 400, 'E12002', /nats has no apiAddress/],
    [{ profile: 'nats', monitoring: true }, 400, 'E12002', /nats has no monitoring/],
    [{ profile: 'nats', ...schedule('@daily') }, 400, 'E12002', /nats has no snapshots/],
    [{ apiAddress: 'https://kube.example.com' }, 400, 'E12002', /apiAddress/],
    [{ apiAddress: '10.0.0.256' }, 400, 'E12002', /apiAddress/],
    [{ apiAddress: 'kube.example.com\n- x' }, 400, 'E12002', /apiAddress/],
    [{ apiAddress: first.address }, 409, 'E50019', /that of the API, and of a host/],
    [{ apiAddress: 'kube.example.com', type: 'openstack', providerId: '0'.repeat(24) }, 400, 'E12002', /apiAddress/],
    [{ monitoring: 'yes' }, 400, 'E12002', /monitoring/],
    [snapshots({ retention: 0 }), 400, 'E12002', /snapshots\.retention/],
    [snapshots({ s3: { ...s3, secretKey: undefined } }), 400, 'E12002', /secretKey/],
    [snapshots({ s3: { ...s3, secretKey: 'two\nlines' } }), 400, 'E12002', /secretKey/],
    [snapshots({ s3: { ...s3, endpoint: 'https://s3.example.com' } }), 400, 'E12002', /endpoint/],
    [snapshots({ s3: { ...s3, bucket: 'No' } }), 400, 'E12002', /bucket/],
    [snapshots({ s3: { ...s3, folder: '../other' } }), 400, 'E12002', /folder/]
  ]
  const wrong = [
    '* * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '* * * 13 *',
    '* * * * 7',
    '10-5 * * * *',
    '*/0 * * * *',
    '@often',
    '1,,2 * * * *',
    'x * * * *'
  ]
  for (const text of ['@daily', '30 2 * * MON-fri', '0,30 1-5/2 ? jan *', '*/15 0-23 1,31 1-12 0-6'])
    t.ok(isSchedule(text), text)
  for (const text of wrong) cases.push([schedule(text), 400, 'E12002', /snapshots\.schedule/])
  for (const [more, status, code, message] of cases) {
    const reply = await api.post<Failure>('/v1/cluster', body('bad', more))
    t.equal(reply.status, status, `${JSON.stringify(more)}: ${reply.text}`)
    t.match(reply.body.error, { code, message }, JSON.stringify(more))
  }
  t.same((await api.get<Reply<object[]>>('/v1/cluster')).body.data, [])
})

await t.test('a name of the API that no host knows is told before any host is touched', async (t) => {
  const { operation } = await made(api, body('nowhere', { apiAddress: 'nowhere.example.com' }))
  t.match(operation, { state: 'FAILED', message: /^preflight failed on 3 of 3 hosts/ })
  for (const { message } of operation.problems) t.match(message, /the name nowhere\.example\.com is not known here/)
  for (const host of hosts.hosts) t.same(leftOn(host), [])
  const [failed] = (await api.get<Reply<{ _id: string }[]>>('/v1/cluster')).body.data
  t.equal((await api.delete(`/v1/cluster/${failed?._id}`)).status, 200)
  await ended(api, failed?._id ?? '')
})

await t.test('hosts join at the address of the API, and masters alone know where snapshots go', async (t) => {
  const result = await made(api, body('kube', options))
  id = result.id
  t.match(result.operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(result.operation))
  const server = await configOf(master)
  t.match(server, /^tls-san:\n( {2}- '[\d.]+'\n)+ {2}- 'kube\.example\.com'$/m)
  t.notMatch(server, /^server:/m, 'the leader joins nobody')
  const lines = [
    "etcd-snapshot-schedule-cron: '0 */6 * * *'",
    'etcd-snapshot-retention: 8',
    'etcd-s3: true',
    "etcd-s3-endpoint: 's3.example.com:9000'",
    "etcd-s3-bucket: 'snapshots'",
    "etcd-s3-region: 'here'",
    "etcd-s3-folder: 'kube'",
    'etcd-s3-retention: 8',
    "etcd-s3-access-key: 'AKIA-of-snapshots'",
    "etcd-s3-secret-key: 'hidden''of+snapshots'"
  ]
  t.match(server, `${lines.join('\n')}\n`)
  t.equal((await onHost(master, 'stat -c %a /etc/rancher/k3s/config.yaml')).trim(), '600')
  for (const host of [first, worker]) {
    const config = await configOf(host)
    t.match(config, /^server: 'https:\/\/kube\.example\.com:6443'$/m)
    t.notMatch(config, 'etcd-')
  }
  const labels = 'linker.io/lb=enable linker.io/public_ip=true svccontroller.k3s.cattle.io/enablelb=true'
  const labelled = async (host: SshHost) =>
    (await callsOf(host)).filter((line) => line.startsWith('k3s kubectl label '))
  t.match(await labelled(first), [` ${labels} --overwrite --kubeconfig=`])
  t.same(await labelled(worker), [])
})

await t.test('shows its options and no key, and gives its owner what opens a snapshot', async (t) => {
  const store = { endpoint: s3.endpoint, bucket: s3.bucket, region: 'here', folder: '', insecure: false }
  const view = await shown()
  t.match(view, { endPoint: 'kube.example.com', apiAddress: 'kube.example.com', monitoring: true })
  t.same(view.snapshots, { schedule: '0 */6 * * *', retention: 8, s3: store })
  const access = (await api.get<Reply<Record<string, string>>>(`/v1/cluster/${id}/access`)).body.data
  t.match(access.kubeconfig, 'server: https://kube.example.com:6443')
  t.same(access.endpoints, ['https://kube.example.com:6443', `https://${master.address}:6443`])
  t.equal(access.snapshotToken, /^token: '(.*)'$/m.exec(await configOf(master))?.[1])
})

await t.test('Traefik is where traffic comes in, and one node keeps watch over all', async (t) => {
  t.match(
    await objectOf('helmchartconfig.traefik'),
    /^ {2}valuesContent: \|-\n {4}nodeSelector:\n {6}linker\.io\/lb: enable$/m
  )
  const { hostName } = await hostOf(first)
  t.match(await objectOf('namespace.fleetgate-monitoring'), `fleetgate.io/node: ${hostName}`)
  const chart = await objectOf('helmchart.fleetgate-prometheus')
  t.match(chart, `  chartContent: ${Buffer.from('a chart').toString('base64')}\n  valuesContent: |-\n`)
  const places = ['server', 'alertmanager', 'kube-state-metrics'].map(
    (part) => `    ${part}:\n      nodeSelector:\n        kubernetes.io/hostname: ${hostName}\n`
  )
  t.match(chart, places.join(''))
  for (const host of [master, first, worker]) {
    const archive = '/var/lib/rancher/k3s/agent/images/fleetgate-prometheus-images.tar.zst'
    t.equal(await onHost(host, `cat ${archive}`), 'its images', host.address)
  }
  const reply = await api.get<Reply<{ componentStatus: { componentName: string; ip: string; status: string }[] }>>(
    `/v1/cluster/${id}/components`
  )
  const watching = reply.body.data.componentStatus.filter(({ componentName }) => /prometheus|alert/.test(componentName))
  t.match(watching, [
    { componentName: 'prometheus', ip: first.address, status: 'Healthy' },
    { componentName: 'alertmanager', ip: first.address, status: 'Healthy' }
  ])
  t.equal(watching.length, 2)
})

await t.test('applied again it changes nothing; with other options only what they are about', async (t) => {
  const all = [master, first, worker]
  const once = await Promise.all(all.map(startsOf))
  const view = await shown()
  const objects = () => onHost(master, 'cd /var/lib/objects && ls -l --time-style=full-iso *')
  const written = await objects()
  for (const { message } of (await applied()).hosts) t.match(message, /^k3s(-agent)? is ready/)
  t.same(await Promise.all(all.map(startsOf)), once)
  t.equal(await objects(), written)
  t.match(await shown(), { apiAddress: view.apiAddress, monitoring: true, snapshots: view.snapshots })

  await applied({
    snapshots: { retention: 2, s3: { ...s3, secretKey: 'renewed-of-snapshots', folder: 'mine', insecure: true } }
  })
  const server = await configOf(master)
  t.match(server, "etcd-s3-folder: 'mine'\netcd-s3-retention: 2\netcd-s3-insecure: true\n")
  t.match(server, "etcd-s3-secret-key: 'renewed-of-snapshots'\n")
  t.notMatch(server, /schedule-cron|hidden/)
  t.same(
    await Promise.all(all.map(startsOf)),
    [(once[0] ?? 0) + 1, once[1], once[2]],
    'servers restart, workers do not'
  )

  const refused = await api.post<Failure>(`/v1/cluster/${id}/apply`, { apiAddress: worker.address })
  t.match(refused, { status: 409, body: { error: { code: 'E50019', message: /apiAddress|that of the API/ } } })
  t.match(await clusterOf(api, id), { status: 'RUNNING' })
})

await t.test('no key is kept or told as it is, on a command line, or on a host that takes no snapshots', async (t) => {
  const hidden = [keys.accessKey, keys.secretKey, 'renewed-of-snapshots']
  const { operationId } = await clusterOf(api, id)
  for (const path of ['', '/hosts', '/components', '/access']) {
    const { text } = await api.get(`/v1/cluster/${id}${path}`)
    for (const key of hidden) t.notMatch(text, key, path)
  }
  t.notMatch((await api.get(`/v1/operations/${operationId}`)).text, 'of-snapshots')
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_cluster_manager', log: quietLog })
  t.teardown(() => store.close())
  const kept = JSON.stringify(await store.connection.collection('clusters').find({}).toArray())
  t.match(kept, 's3.example.com:9000')
  for (const key of hidden) t.notMatch(kept, key)
  for (const host of [master, first, worker]) {
    const found = await onHost(host, `grep -rlE 'of.snapshots' /etc /var /root 2>/dev/null || true`)
    t.same(
      found
        .trim()
        .split('\n')
        .filter(Boolean)
        .map((file) => file.replace(host.disk, '')),
      host === master ? ['/etc/rancher/k3s/config.yaml'] : []
    )
  }
})

await t.test('no other cluster has the address of an API, as its own or that of a host', async (t) => {
  const elsewhere = (more: object) => ({
    ...draft(hosts, 'other', [1, 1], [second, { ...worker, address: '127.0.9.9' }]),
    profile: 'k3s',
    ...more
  })
  const reply = await api.post<Failure>('/v1/cluster', elsewhere({ apiAddress: 'kube.EXAMPLE.com' }))
  t.match(reply, {
    status: 409,
    body: { error: { code: 'E50019', message: /kube\.example\.com belongs to a cluster/ } }
  })
  t.equal((await api.post<Failure>('/v1/cluster', elsewhere({ apiAddress: worker.address }))).status, 409)
  await applied({ apiAddress: second.address })
  t.equal((await api.post<Failure>('/v1/cluster', elsewhere({}))).body.error.code, 'E50019')
  const added = await api.post<Failure>(`/v1/cluster/${id}/hosts`, { sharedNodes: [node(hosts, second)] })
  t.match(added, { status: 409, body: { error: { code: 'E50019' } } })
  await applied({ apiAddress: '' })
  t.match(await configOf(worker), `server: 'https://${master.address}:6443'`)
  t.equal((await shown()).endPoint, master.address)
})

await t.test(
  'a host that keeps watch hands that on when it goes; the last with lb=enable takes the choice along',
  async (t) => {
    // One that counts from the next apply on.
    writeFileSync(join(K3S_DIR, 'prometheus.tgz'), 'a newer chart')
    const reply = await api.post(`/v1/cluster/${id}/hosts`, { sharedNodes: [node(hosts, second)] })
    t.equal(reply.status, 200, reply.text)
    t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
    const watching = async (host: SshHost) => `fleetgate.io/node: ${(await hostOf(host)).hostName}`
    t.match(await objectOf('namespace.fleetgate-monitoring'), await watching(first), 'a new host changes nothing')
    await removed(first)
    t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
    t.match(await objectOf('namespace.fleetgate-monitoring'), await watching(worker))
    t.match(
      await objectOf('helmchart.fleetgate-prometheus'),
      `chartContent: ${Buffer.from('a chart').toString('base64')}\n`
    )
    const calls = await callsOf(master)
    const gone = ['helmchart fleetgate-prometheus', 'namespace fleetgate-monitoring'].map((object) =>
      calls.findIndex((line) => line.startsWith(`k3s kubectl delete ${object}`))
    )
    t.ok(0 < (gone[0] ?? 0) && (gone[0] ?? 0) < (gone[1] ?? 0), 'what it kept cannot move: it begins anew')
    t.match(await objectOf('helmchartconfig.traefik'), 'linker.io/lb: enable')

    await second.kill()
    await until(async () => (await hostOf(second)).status === 'OFFLINE', {
      what: 'the host to be missed',
      deadlineMs: 60_000
    })
    await removed(second)
    await ended(api, id)
    t.equal(await objectOf('helmchartconfig.traefik'), '', 'Traefik is where k3s has it')
    await second.start()
  }
)

await t.test('without monitoring, and without the cluster, nothing of it is left', async (t) => {
  await applied({ monitoring: false, snapshots: {} })
  for (const object of ['namespace.fleetgate-monitoring', 'helmchart.fleetgate-prometheus'])
    t.equal(await objectOf(object), '')
  t.notMatch(await configOf(master), 'etcd-')
  t.notOk(worker.files().some((file) => file.includes('prometheus')))
  const view = await shown()
  t.same([view.monitoring, view.snapshots, view.apiAddress], [undefined, undefined, undefined])
  await api.delete(`/v1/cluster/${id}`)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  for (const host of [master, first, worker])
    await until(() => leftOn(host).length === 0, { what: 'nothing to be left' })
})
