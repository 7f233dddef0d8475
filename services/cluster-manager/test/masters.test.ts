import { mqttClient, type SshHost, startParts, startSshHosts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { clusterEnv, clusterOf, draft, ended, hostsOf, made } from './clusterSupport.js'
import { type Failure, type Reply, serveKeys, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const [service, hosts] = await Promise.all([
  startClusterManagerFor(t, parts, { ...clusterEnv, WATCH_MS: '600000' }),
  startSshHosts(t, { count: 7 })
])
const api = service.as(guardKeys.token({ userId: 'ann', codes: ['cluster.view', 'cluster.edit'] }))
const machine = (index: number) => hosts.hosts[index] as SshHost
const before = hosts.hosts.map((host) => host.files())
const stays = [1, 2, 3]
let id = ''

/** The ids that the cluster gave to these hosts. */
async function idsOf(indexes: number[]): Promise<string[]> {
  const listed = await hostsOf(api, id)
  return indexes.map((index) => listed.find(({ ip }) => ip === machine(index).address)?.hostId ?? '')
}

async function client(index: number) {
  const access = await api.get<Reply<{ username: string; password: string }>>(`/v1/cluster/${id}/access`)
  const { username, password } = access.body.data
  // The first client of a new cluster waits until its streams are made.
  return until(() => mqttClient(t, `mqtt://${machine(index).address}:1883`, { username, password }), {
    what: 'the broker to take a client'
  })
}

const told = async (index: number, path: string) => {
  const at = hosts.isReal ? '127.0.0.1' : machine(index).address
  return JSON.parse(await machine(index).run(`curl -sf http://${at}:8222/${path}`)) as {
    meta_cluster?: { leader?: string; cluster_size: number }
  }
}

await t.test('masters go only where an odd number of running ones stays', async (t) => {
  const result = await made(api, draft(hosts, 'five', [5, 2]))
  id = result.id
  t.match(result.operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(result.operation))
  t.equal((await told(1, 'jsz')).meta_cluster?.cluster_size, 5)
  for (const indexes of [[0], [0, 1, 2], [0, 1, 2, 3, 4]]) {
    const reply = await api.delete<Failure>(`/v1/cluster/${id}/hosts`, { host_ids: await idsOf(indexes) })
    t.equal(reply.status, 409, reply.text)
    t.match(reply.body.error, { code: 'E50105', message: /3 or 5 masters must stay/ })
  }
})

await t.test('masters that go leave one by one, are no longer counted, and what they kept stays', async (t) => {
  const writer = await client(5)
  await writer.publishAsync('till/price', '9.90', { qos: 1, retain: true })
  await writer.endAsync()
  const host_ids = await idsOf([0, 4])
  t.equal((await api.delete(`/v1/cluster/${id}/hosts`, { host_ids })).status, 200)
  const operation = await ended(api, id)
  t.match(operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(operation))
  t.same(
    operation.phases.map(({ name }) => name),
    [
      ...['drain-master-1', 'forget-master-1', 'settle-master-1'],
      ...['drain-master-2', 'forget-master-2', 'settle-master-2', 'remove-masters']
    ]
  )
  t.match(await clusterOf(api, id), { status: 'RUNNING', instances: 5, endPoint: machine(1).address })
  for (const index of stays) t.equal((await told(index, 'jsz')).meta_cluster?.cluster_size, 3)
  for (const index of [0, 4]) {
    t.notOk((await machine(index).programs()).includes('nats-server'))
    await until(() => JSON.stringify(machine(index).files()) === JSON.stringify(before[index]), {
      what: 'nothing to be left'
    })
  }
  const reader = await client(6)
  const heard: string[] = []
  reader.on('message', (_topic, payload) => heard.push(payload.toString()))
  await reader.subscribeAsync('till/price', { qos: 1 })
  await until(() => heard.includes('9.90'), { what: 'the message that was kept' })
  await reader.endAsync()
})

await t.test('applied again those that stay take up who their masters are without a restart', async (t) => {
  t.equal((await api.post(`/v1/cluster/${id}/apply`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  for (const index of [...stays, 5, 6]) {
    const root = '"$FLEETGATE_ROOT"'
    t.notMatch(await machine(index).run(`cat ${root}/etc/fleetgate/nats.conf`), `${machine(0).address}:6222`)
    const log = await machine(index).run(`cat ${root}/var/lib/fleetgate/nats/log`)
    t.equal(log.match(/Starting nats-server/g)?.length, 1)
    t.match(log, /Reloaded/)
  }
})

await t.test('of the three that are left one may fail, even the one that leads', async (t) => {
  const led = (await told(1, 'jsz')).meta_cluster?.leader ?? ''
  const listed = await hostsOf(api, id)
  const index = stays.find((one) => listed.find(({ hostName }) => hostName === led)?.ip === machine(one).address) ?? -1
  t.ok(index > 0, led)
  await machine(index).kill()
  const others = stays.filter((one) => one !== index)
  // Two of three are a majority; of the five that were there before they would be none.
  const next = await until(
    async () => {
      const [first, second] = await Promise.all(
        others.map(async (one) => (await told(one, 'jsz')).meta_cluster?.leader)
      )
      return first === second && first !== led ? first : undefined
    },
    { what: 'another leader' }
  )
  t.ok(listed.some(({ hostName }) => hostName === next))
})
