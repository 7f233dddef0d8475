import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RunningService, type SshHost, sshKeyPair, until } from '@fleetgate/testkit'
import t from 'tap'
import { type ClusterView, clusterOf, draft, ended, made, node, operationOf, startProcesses } from './clusterSupport.js'
import type { Reply } from './support.js'

const { hosts, services, sessionOf } = await startProcesses(t, { count: 3, smallDisk: { host: 2, megabytes: 12 } })
const service = services[0] as RunningService
const api = sessionOf(service)
const [first, second, third] = hosts.hosts as [SshHost, SshHost, SshHost]
const two = [first, second]
const before = two.map((host) => host.files())

async function gone(id: string): Promise<void> {
  const reply = await api.delete(`/v1/cluster/${id}`)
  if (reply.status !== 200) throw new Error(reply.text)
  await ended(api, id)
}

const isClean = () => two.every((host, index) => JSON.stringify(host.files()) === JSON.stringify(before[index]))

await t.test('names everything that is wrong before it touches anything', async (t) => {
  const bastion = { ip: first.address, sshPort: first.port, sshUser: 'root', privateKey: hosts.privateKey }
  const wrongKey = Buffer.from(sshKeyPair().private).toString('base64')
  const { operation } = await made(api, {
    ...draft(hosts, 'wrong', [1, 1]),
    masterNodes: [node(hosts, first, { privateKey: wrongKey })],
    sharedNodes: [node(hosts, second, { sshUser: 'operator' })],
    pureslaveNodes: [
      { ...node(hosts, third), ip: '127.0.2.1', sshPort: 9 },
      { ...node(hosts, third), ip: '127.0.2.2', bastion: { ...bastion, ip: '127.0.2.3', sshPort: 9 } },
      { ...node(hosts, third), ip: '127.0.2.4', bastion: { ...bastion, hostKey: `SHA256:${'A'.repeat(43)}` } }
    ]
  })
  t.equal(operation.state, 'FAILED')
  const said = operation.problems
    .map(({ message }) => message)
    .sort()
    .join('\n')
  t.match(said, /127\.0\.2\.1 cannot be reached by SSH/)
  t.match(said, /127\.0\.2\.3 cannot be reached by SSH/, 'a bastion is named where it is the bastion')
  t.match(said, `${first.address} shows another host key`)
  t.match(said, /refuses the login/)
  t.match(said, /sudo/)
  t.equal(operation.problems.length, 5)
  t.match((await api.get<Reply<ClusterView[]>>('/v1/cluster?name=wrong')).body.data, [{ status: 'FAILED' }])
  const [{ _id }] = (await api.get<Reply<ClusterView[]>>('/v1/cluster?name=wrong')).body.data as [ClusterView]
  const log = (await api.get<Reply<{ status: string; comments: string }[]>>(`/v1/logs?cluster_id=${_id}`)).body.data
  t.match(log, [{ status: 'fail', comments: /installation_failed/ }])
  await gone(_id)
  t.ok(isClean())
})

await t.test('a full disk and a port in use are named, and nothing stays on the other hosts', async (t) => {
  const listener = `my $kept = IO::Socket::INET->new(LocalAddr => "${third.address}", LocalPort => 1883, Listen => 1) or die; sleep 600`
  await third.run(`setsid perl -MIO::Socket::INET -e '${listener}' >/dev/null 2>&1 </dev/null &`)
  // 1883, listening, as the kernel writes it.
  await until(() => third.run('grep -q ":075B [0-9A-F]*:0000 0A" /proc/net/tcp && echo yes'), { what: 'the port' })
  // And for IPv6 and IPv4 together, as many servers do, where the host has an address space of its own.
  const both =
    'my $kept = IO::Socket::IP->new(LocalHost => "::", LocalPort => 6222, Listen => 1, V6Only => 0) or die; sleep 600'
  if (hosts.isReal) {
    await third.run(`setsid perl -MIO::Socket::IP -e '${both}' >/dev/null 2>&1 </dev/null &`)
    await until(() => third.run('grep -q ":184E [0-9A-F]*:0000 0A" /proc/net/tcp6 && echo yes'), { what: 'the port' })
  }
  const { id, operation } = await made(api, draft(hosts, 'full', [1, 1]))
  t.match(operation, { state: 'FAILED', problems: [{ ip: third.address, message: /preflight: .* MB free/ }] })
  t.match(operation.problems[0]?.message, /port 1883 is in use/)
  if (hosts.isReal) t.match(operation.problems[0]?.message, /port 6222 is in use/)
  await third.kill()
  await third.start()
  await gone(id)
  t.ok(isClean())
})

await t.test('a disk that turns out to be full on the way is named, and all is taken back', async (t) => {
  const tools = join(third.disk, 'usr/local/bin')
  mkdirSync(tools, { recursive: true })
  // Preflight is told of plenty. The disk of a real host is as small as before; elsewhere a stand-in says what that would say.
  const df = 'echo; echo "disk 9000 0 9000 0% /"'
  const mv = 'case $* in *fleetgate/files/*) echo "No space left on device" >&2; exit 1 ;; esac; exec /bin/mv "$@"'
  for (const [name, text] of Object.entries(hosts.isReal ? { df } : { df, mv }))
    writeFileSync(join(tools, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  const { id, operation } = await made(api, draft(hosts, 'filled', [1, 1]))
  t.match(operation, {
    state: 'FAILED',
    problems: [{ ip: third.address, message: /(stage|install).*No space left on device/ }]
  })
  t.equal((await clusterOf(api, id)).status, 'FAILED')
  await until(isClean, { what: 'nothing to be left on the others' })
  rmSync(tools, { recursive: true })
  await gone(id)
})

await t.test('cancels what has begun, takes it back, and does it again when asked', async (t) => {
  const reply = await api.post<Reply<ClusterView>>('/v1/cluster', draft(hosts, 'cancel', [1, 1], two))
  const { _id: id, operationId } = reply.body.data
  await until(async () => /^(stage|install)/.test((await operationOf(api, operationId)).phase), {
    what: 'work to begin'
  })
  t.equal((await api.post(`/v1/operations/${operationId}/cancel`)).status, 200)
  t.match(await ended(api, id), { state: 'CANCELLED', attempt: 1 })
  t.equal((await clusterOf(api, id)).status, 'FAILED')
  await until(isClean, { what: 'nothing to be left' })
  t.equal((await api.post(`/v1/operations/${operationId}/cancel`)).status, 409, 'it has ended')
  t.equal((await api.post(`/v1/operations/${operationId}/retry`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS', attempt: 2, problems: [] })
  t.equal((await api.post(`/v1/operations/${operationId}/retry`)).status, 409)
  await gone(id)
  await until(isClean, { what: 'nothing to be left' })
})

await t.test('after an operation that failed the next one may begin at once', async (t) => {
  const { id } = await made(api, draft(hosts, 'again', [1, 1], two))
  // No configuration that the server would start with.
  const place = '"$FLEETGATE_ROOT/etc/fleetgate/nats.conf"'
  await second.run(`mv ${place} ${place}.kept && mkdir ${place}`)
  t.equal((await api.post(`/v1/cluster/${id}/apply`)).status, 200)
  t.match(await ended(api, id), { state: 'FAILED', problems: [{ ip: second.address, message: /^install-1/ }] })
  await second.run(`rm -r ${place} && mv ${place}.kept ${place}`)
  t.equal((await api.post(`/v1/cluster/${id}/apply`)).status, 200)
  const again = await ended(api, id)
  t.match(again, { state: 'SUCCESS', problems: [] }, JSON.stringify(again.problems))
  t.equal((await api.delete(`/v1/cluster/${id}`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  await until(isClean, { what: 'nothing to be left' })
})

await t.test('gets in by password, and through a bastion whose key is recorded too', async (t) => {
  const { password } = hosts
  const way = { sshPort: first.port, sshUser: 'operator', privateKey: hosts.privateKey }
  const { id, operation } = await made(api, {
    ...draft(hosts, 'ways', [1, 1], two),
    masterNodes: [node(hosts, first, { privateKey: undefined, password })],
    sharedNodes: [node(hosts, second, { bastion: { ...way, ip: first.address } })]
  })
  t.match(operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(operation.problems))
  await gone(id)
  await until(isClean, { what: 'nothing to be left' })
})

await t.test('shows no secret in what the service logs', (t) => {
  const output = service.output()
  t.ok(output.includes('operation ended'))
  for (const secret of [
    'PRIVATE KEY',
    hosts.privateKey.slice(60, 100),
    Buffer.from(hosts.privateKey).toString('base64').slice(60, 100)
  ]) {
    t.notOk(output.includes(secret))
  }
  t.end()
})
