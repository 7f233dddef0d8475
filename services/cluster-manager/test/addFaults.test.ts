/** What becomes of hosts that were to join a cluster and could not. */
import { type SshHost, sshKeyPair, startParts, startSshHosts, testGuardKeys } from '@fleetgate/testkit'
import t from 'tap'
import { clusterEnv, clusterOf, draft, ended, hostsOf, made, node } from './clusterSupport.js'
import { type Reply, serveKeys, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const [service, hosts] = await Promise.all([
  startClusterManagerFor(t, parts, { ...clusterEnv, WATCH_MS: '600000' }),
  startSshHosts(t, { count: 3 })
])
const codes = ['cluster.view', 'cluster.edit', 'key.edit']
const api = service.as(guardKeys.token({ userId: 'ann', codes }))
const [first, second, third] = hosts.hosts as [SshHost, SshHost, SshHost]

await t.test('a host that failed to join is told no keys and no registries', async (t) => {
  const { id, operation } = await made(api, draft(hosts, 'till', [1, 1], [first, second]))
  t.equal(operation.state, 'SUCCESS', operation.message)
  // What the runs themselves keep there goes a while after them.
  const kept = () => third.files().filter((file) => !file.startsWith('/var/lib/fleetgate'))
  const before = kept()
  const silent = { ...node(hosts, third), ip: '127.0.2.9', sshPort: 9 }
  // The server does not start with a folder in the place of its configuration: cleaned, the host stays FAILED.
  const place = '"$FLEETGATE_ROOT/etc/fleetgate/nats.conf"'
  await third.run(`mkdir -p ${place}/kept`)
  t.equal((await api.post(`/v1/cluster/${id}/hosts`, { pureslaveNodes: [node(hosts, third)] })).status, 200)
  t.match(await ended(api, id), { state: 'FAILED', hosts: [{ ip: third.address, state: 'FAILED' }] })
  await third.run(`rm -rf ${place}`)
  t.equal((await api.post(`/v1/cluster/${id}/hosts`, { pureslaveNodes: [silent] })).status, 200)
  t.match(await ended(api, id), { state: 'FAILED' })
  t.same((await hostsOf(api, id)).filter(({ status }) => status === 'FAILED').length, 2)

  const password = 'hidden-password-of-the-registry'
  const registry = { name: 'private', registry: '192.168.10.95:5000', username: 'puller', password }
  const key = { name: 'mine', pubkeyValue: sshKeyPair().public }
  for (const [path, word, body] of [
    ['/v1/dockerregistries', 'registry', registry],
    ['/v1/pubkey', 'pubkey', key]
  ] as const) {
    const { _id } = (await api.post<Reply<{ _id: string }>>(path, body)).body.data
    t.equal((await api.post(`/v1/cluster/${id}/${word}`, { ids: [_id] })).status, 200)
    const change = await ended(api, id)
    t.match(change, { state: 'SUCCESS', problems: [] }, JSON.stringify(change))
    t.same(change.hosts.map(({ ip }) => ip).sort(), [first.address, second.address].sort())
  }
  t.same(kept(), before, 'nothing is on the host that failed')
  t.equal((await api.delete(`/v1/cluster/${id}`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS' })
  t.equal((await clusterOf(api, id)).status, 'TERMINATED')
})
