import { type RunningService, type SshHost, sshKeyPair, until } from '@fleetgate/testkit'
import t from 'tap'
import { draft, ended, hostsOf, killedInEach, linger, made, node, startProcesses, startsOf } from './clusterSupport.js'
import type { Reply } from './support.js'

t.setTimeout(240_000)

const { hosts, services, sessionOf } = await startProcesses(t, { count: 3 })
const service = services[0] as RunningService
const api = sessionOf(service)
const all = hosts.hosts as [SshHost, SshHost, SshHost]
const third = all[2]
linger(hosts)
const before = third.files()
const { id, operation } = await made(api, draft(hosts, 'changes', [1, 1], all.slice(0, 2)))
t.match(operation, { state: 'SUCCESS', problems: [] })

/** Makes a change, kills the service in each of these phases at least, and sees that it ends well in one attempt. */
async function change(method: 'POST' | 'DELETE', path: string, body: object, phases: string[]): Promise<void> {
  const reply = await (method === 'POST' ? api.post : api.delete)(`/v1/cluster/${id}/${path}`, body)
  t.equal(reply.status, 200, reply.text)
  // Where the files are there already the stage is too short to be met in each run.
  const killed = await killedInEach(api, service, id)
  t.same(
    killed.filter((phase) => phases.includes(phase)),
    phases
  )
  const ending = await ended(api, id)
  t.match(ending, { state: 'SUCCESS', attempt: 1, problems: [] }, JSON.stringify(ending))
}

const startsOfAll = () => Promise.all(all.map(startsOf))

await t.test('hosts that are added are each configured once', async (t) => {
  await change('POST', 'hosts', { pureslaveNodes: [node(hosts, third)] }, ['preflight', 'stage', 'install-1', 'verify'])
  t.equal((await hostsOf(api, id, '?status=RUNNING')).length, 3)
  t.same(await startsOfAll(), [1, 1, 1])
})

await t.test('keys are given once and taken away whole', async (t) => {
  const key = await api.post<Reply<{ _id: string }>>('/v1/pubkey', { name: 'mine', pubkeyValue: sshKeyPair().public })
  const ids = [key.body.data._id]
  await change('POST', 'pubkey', { ids }, ['keys'])
  const keys = () => third.run('cat "$FLEETGATE_ROOT/root/.ssh/authorized_keys" 2>/dev/null || true')
  t.equal((await keys()).match(/fleetgate: keys of the cluster/g)?.length, 1)
  t.equal((await api.delete(`/v1/cluster/${id}/pubkey`, { ids })).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.notMatch(await keys(), /fleetgate/)
  t.equal((await api.delete(`/v1/pubkey/${ids[0]}`)).status, 200, 'and is in no use any more')
})

await t.test('registries are given once and taken away whole', async (t) => {
  const draft = { name: 'private', registry: 'registry.example.com', username: 'puller', password: 'hidden-password' }
  const registry = await api.post<Reply<{ _id: string }>>('/v1/dockerregistries', draft)
  const ids = [registry.body.data._id]
  await change('POST', 'registry', { ids }, ['registries-masters', 'registries-others'])
  const list = () => third.run('cat "$FLEETGATE_ROOT/etc/fleetgate/registries" 2>/dev/null || true')
  t.equal(await list(), 'registry.example.com\n')
  t.equal((await api.delete(`/v1/cluster/${id}/registry`, { ids })).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.equal(await list(), '')
  t.equal((await api.delete(`/v1/dockerregistries/${ids[0]}`)).status, 200, 'and is in no use any more')
})

await t.test('what is applied again restarts nothing that is as it should be', async (t) => {
  await change('POST', 'apply', {}, ['preflight', 'install-1', 'verify'])
  t.same(await startsOfAll(), [1, 1, 1])
})

await t.test('a host that is removed is left clean, and those that stay are left alone', async (t) => {
  const going = (await hostsOf(api, id)).find(({ ip }) => ip === third.address)
  await change('DELETE', 'hosts', { host_ids: [going?.hostId] }, ['drain', 'remove-others'])
  t.same(await Promise.all(all.slice(0, 2).map(startsOf)), [1, 1])
  t.notOk((await third.programs()).includes('nats-server'))
  await until(() => JSON.stringify(third.files()) === JSON.stringify(before), { what: 'nothing to be left' })
})
