import { type RunningService, type SshHost, startMailServer, until } from '@fleetgate/testkit'
import t from 'tap'
import {
  type ClusterView,
  clusterOf,
  draft,
  ended,
  hostsOf,
  killedInEach,
  linger,
  made,
  startProcesses,
  startsOf
} from './clusterSupport.js'
import type { Reply } from './support.js'

const { hosts, services, sessionOf } = await startProcesses(t, { count: 2 })
const service = services[0] as RunningService
const api = sessionOf(service)
const [first, second] = hosts.hosts as [SshHost, SshHost]
const two = [first, second]
linger(hosts)
const before = two.map((host) => host.files())

async function gone(id: string): Promise<void> {
  const reply = await api.delete(`/v1/cluster/${id}`)
  if (reply.status !== 200) throw new Error(reply.text)
  await ended(api, id)
}

const isClean = () => two.every((host, index) => JSON.stringify(host.files()) === JSON.stringify(before[index]))

await t.test('a service that is killed in any phase goes on where it was, and tells of the end once', async (t) => {
  const { port } = await startMailServer(t)
  const smtp = { name: 'fleet@example.com', address: 'localhost', port, security: 'none' }
  t.equal((await api.post('/v1/smtp', smtp)).status, 200)
  const reply = await api.post<Reply<ClusterView>>('/v1/cluster', draft(hosts, 'killed', [1, 1], two))
  const { _id: id } = reply.body.data
  t.same(await killedInEach(api, service, id), ['preflight', 'stage', 'install-1', 'verify'])
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  t.equal((await hostsOf(api, id, '?status=RUNNING')).length, 2)
  for (const host of two) t.equal(await startsOf(host), 1, 'configured once')

  t.equal((await api.delete(`/v1/cluster/${id}`)).status, 200)
  t.same(await killedInEach(api, service, id), ['remove-others', 'remove-masters'])
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  await until(isClean, { what: 'nothing to be left' })
  const mails = (await api.get<Reply<{ subject: string }[]>>('/v1/smtp/mails')).body.data
  t.same(
    mails.map(({ subject }) => subject),
    ['[Fleetgate] Cluster killed: removal finished', '[Fleetgate] Cluster killed: installation finished']
  )
})

await t.test('a host that shows another key is refused, and the cluster stays what it is', async (t) => {
  const { id, operation } = await made(api, draft(hosts, 'renewed', [1, 1], two))
  t.match(operation, { state: 'SUCCESS', problems: [] })
  second.renewHostKey()
  await second.kill()
  await second.start()
  t.equal((await api.post(`/v1/cluster/${id}/apply`)).status, 200)
  const refused = await ended(api, id)
  t.match(refused, { state: 'FAILED', problems: [{ ip: second.address, message: /shows another host key/ }] })
  t.equal((await clusterOf(api, id)).status, 'RUNNING', 'a cluster that was refused a change stays what it is')
})

await t.test(
  'a cluster goes although another computer is at an address; that one is not taken by mistake',
  async (t) => {
    const [old] = (await api.get<Reply<ClusterView[]>>('/v1/cluster?name=renewed')).body.data as [ClusterView]
    await gone(old._id)
    t.match(await clusterOf(api, old._id), { status: 'TERMINATED' })
    const { id, operation } = await made(api, draft(hosts, 'next', [1, 1], two))
    t.match(operation, { state: 'FAILED', problems: [{ ip: second.address, message: /belongs to another cluster/ }] })
    await gone(id)
    const root = '"$FLEETGATE_ROOT"'
    await second.run(
      `kill $(cat ${root}/var/lib/fleetgate/nats/pid); sleep 1; rm -rf ${root}/var/lib/fleetgate ${root}/etc/fleetgate`
    )
  }
)
