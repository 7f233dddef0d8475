import { openStore } from '@fleetgate/store'
import { quietLog, type RunningService, type SshHost, sshKeyPair, until } from '@fleetgate/testkit'
import t from 'tap'
import { createPubkeyStore } from '../src/pubkeys/pubkeyStore.js'
import { type ClusterView, draft, ended, hostsOf, operationOf, startProcesses, startsOf } from './clusterSupport.js'
import type { Key, Reply } from './support.js'

const { parts, hosts, services, sessionOf, token } = await startProcesses(t, {
  count: 4,
  replicas: 2,
  // A busy machine may keep a replica from its turn for a second.
  env: { MARK_SWEEP_MS: '700', LEASE_MS: '4000' }
})
const replicas = services as [RunningService, RunningService]
const [one, two] = replicas
const pairs = [hosts.hosts.slice(0, 2), hosts.hosts.slice(2)] as const

/** Which replicas took an operation up, as their logs tell it, in order. */
function driversOf(operationId: string): RunningService[] {
  return replicas.flatMap((one) =>
    one
      .output()
      .split('\n')
      .filter((line) => line.includes('operation taken up') && line.includes(operationId))
      .map(() => one)
  )
}

async function begun(by: RunningService, name: string, picked: readonly SshHost[]): Promise<ClusterView> {
  const body = draft(hosts, name, [1, 1], [...picked])
  const reply = await sessionOf(by).post<Reply<ClusterView>>('/v1/cluster', body, { 'x-request-id': `make-${name}` })
  if (reply.status !== 200) throw new Error(reply.text)
  return reply.body.data
}

/** Waits until work on the hosts has begun, and answers who drives it and who does not. */
async function drivenBy(operationId: string): Promise<[driver: RunningService, other: RunningService]> {
  await until(async () => /^(stage|install|verify)/.test((await operationOf(sessionOf(one), operationId)).phase), {
    what: 'work to begin'
  })
  const driver = driversOf(operationId).at(-1)
  if (!driver) throw new Error('nobody drives the operation')
  return driver === one ? [one, two] : [two, one]
}

async function gone(by: RunningService, id: string): Promise<void> {
  const reply = await sessionOf(by).delete(`/v1/cluster/${id}`)
  if (reply.status !== 200) throw new Error(reply.text)
  const operation = await ended(sessionOf(by), id)
  if (operation.state !== 'SUCCESS') throw new Error(JSON.stringify(operation))
}

await t.test('two replicas share the operations: each has one driver, each host is configured once', async (t) => {
  const made = await Promise.all([begun(one, 'first', pairs[0]), begun(two, 'second', pairs[1])])
  for (const { _id, operationId } of made) {
    t.match(await ended(sessionOf(two), _id), { state: 'SUCCESS', problems: [] })
    t.equal(driversOf(operationId).length, 1, 'one replica has taken it up, once')
    t.equal((await hostsOf(sessionOf(one), _id, '?status=RUNNING')).length, 2, 'the other tells of it too')
  }
  for (const host of hosts.hosts) t.equal(await startsOf(host), 1)
  await Promise.all(made.map(({ _id }, index) => gone(replicas[index] ?? one, _id)))
})

await t.test('the work of a replica that is killed is done by the other', async (t) => {
  const made = await begun(one, 'killed', pairs[0])
  const [driver, other] = await drivenBy(made.operationId)
  await driver.kill()
  t.match(await ended(sessionOf(other), made._id), { state: 'SUCCESS', problems: [] })
  t.ok(driversOf(made.operationId).includes(other), 'the other has taken it up')
  const taken = other.output().match(/^.*"operation (?:taken up|ended)".*$/gm) ?? []
  const own = taken.filter((line) => line.includes(made.operationId))
  t.ok(own.length > 1 && own.every((line) => line.includes('"requestId":"make-killed"')), 'in the name of the request')
  for (const host of pairs[0]) {
    t.equal(await startsOf(host), 1, 'configured once')
    t.equal((await host.programs()).filter((name) => name === 'nats-server').length, 1)
  }
  await driver.restart()
  await gone(driver, made._id)
})

await t.test('a replica that is told to end ends what it tells of, and leaves its work to the other', async (t) => {
  const made = await begun(one, 'ended', pairs[1])
  const [driver, other] = await drivenBy(made.operationId)
  const [, away] = pairs[1] as [SshHost, SshHost]
  // What it drives goes on for longer than it may take to end.
  await away.kill()
  const told = await fetch(`${driver.url}/v1/operations/${made.operationId}/events`, {
    headers: { authorization: `Bearer ${token}` }
  })
  await driver.kill('SIGTERM')
  t.match(await told.text(), /^event: operation/)
  t.match(driver.output(), /shut down/)
  await away.start()
  t.match(await ended(sessionOf(other), made._id), { state: 'SUCCESS', problems: [] })
  await driver.restart()
  await gone(other, made._id)
})

await t.test('a replica that stood still and wakes up has lost its operation, and changes nothing', async (t) => {
  const made = await begun(one, 'paused', pairs[0])
  const [driver, other] = await drivenBy(made.operationId)
  process.kill(driver.pid(), 'SIGSTOP')
  t.match(await ended(sessionOf(other), made._id), { state: 'SUCCESS', problems: [] })
  process.kill(driver.pid(), 'SIGCONT')
  const api = sessionOf(driver)
  t.match(await ended(api, made._id), { state: 'SUCCESS', problems: [] })
  t.equal((await api.post(`/v1/cluster/${made._id}/apply`)).status, 200, 'it serves again')
  t.match(await ended(api, made._id), { state: 'SUCCESS', problems: [] })
  const said = driver.output().split('\n')
  t.notOk(said.some((line) => line.includes('operation ended') && line.includes(made.operationId)))
  for (const host of pairs[0]) t.equal(await startsOf(host), 1, 'configured once')
})

await t.test(
  'of two that give a key to a cluster at once the one that is refused takes no mark of the other',
  async (t) => {
    const [cluster] = (await sessionOf(one).get<Reply<ClusterView[]>>('/v1/cluster?name=paused')).body.data
    const path = `/v1/cluster/${cluster?._id}/pubkey`
    const value = sshKeyPair().public
    const key = await sessionOf(one).post<Reply<Key>>('/v1/pubkey', { name: 'carried', pubkeyValue: value })
    const ids = [key.body.data._id]
    const replies = await Promise.all(replicas.map((by) => sessionOf(by).post(path, { ids })))
    t.same(replies.map(({ status }) => status).sort(), [200, 409])
    t.match(await ended(sessionOf(one), cluster?._id ?? ''), { state: 'SUCCESS' })
    t.equal((await sessionOf(two).delete(`/v1/pubkey/${ids[0]}`)).status, 409, 'it is in use')
  }
)

await t.test('a mark that a crash left goes; that of a key which a cluster carries stays', async (t) => {
  const api = sessionOf(two)
  const value = sshKeyPair().public
  const left = (await api.post<Reply<Key>>('/v1/pubkey', { name: 'left', pubkeyValue: value })).body.data
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_cluster_manager', log: quietLog })
  t.teardown(() => store.close())
  const ended = await store.connection.collection('clusters').find({ status: 'TERMINATED' }).toArray()
  const logins = ended.flatMap(({ hosts }) => (hosts as { sealedLogin: string }[]).map((host) => host.sealedLogin))
  t.same([...new Set(logins)], [''], 'of hosts that are gone no log-in is kept')
  // What a process does that ends before it writes its cluster.
  const { missing } = await createPubkeyStore(store).use('t1', [left._id], 'f'.repeat(24))
  t.same(missing, [])
  t.equal((await api.delete(`/v1/pubkey/${left._id}`)).status, 409, 'as if a cluster carried it')
  await until(async () => !(await api.get<Reply<Key>>(`/v1/pubkey/${left._id}`)).body.data.isuse, {
    what: 'the mark to go'
  })
  t.equal((await api.delete(`/v1/pubkey/${left._id}`)).status, 200)
  const [carried] = (await api.get<Reply<Key[]>>('/v1/pubkey?name=carried')).body.data
  t.match(carried, { isuse: true })
  t.equal((await api.delete(`/v1/pubkey/${carried?._id}`)).status, 409)
})
