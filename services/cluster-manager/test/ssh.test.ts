import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { createSecrets, loadKeyRing } from '@fleetgate/store'
import { type SshHost, startSshHosts } from '@fleetgate/testkit'
import t from 'tap'
import type { Host } from '../src/clusters/cluster.js'
import { createHostRunner, loginContext } from '../src/hosts/hostRunner.js'
import { factsOf } from '../src/operations/facts.js'
import { connectHost } from '../src/ssh/connect.js'

const hosts = await startSshHosts(t, { count: 1 })
const [one] = hosts.hosts as [SshHost]
const login = { address: one.address, port: one.port, user: 'root', privateKey: hosts.privateKey }
const connection = await connectHost(login, 20_000)
t.teardown(() => connection.close())
const { signal } = new AbortController()

await t.test('a file that cannot be read any more fails what it was for, and nothing else', async (t) => {
  const input = createReadStream('/no/such/file')
  await t.rejects(connection.exec('cat >/dev/null', { input, signal }), { kind: 'refused', message: /ENOENT/ })
  t.match(await connection.exec('echo still here', { signal }), { code: 0, output: 'still here\n' })
})

await t.test('what was given up before it began does not begin', async (t) => {
  await t.rejects(connection.exec('sleep 600', { signal: AbortSignal.abort() }))
})

await t.test('a host that does not stop talking fills no memory', async (t) => {
  const lines: string[] = []
  const onLine = (line: string) => lines.push(line)
  await connection.exec(`head -c 3000000 /dev/zero | tr '\\0' x; echo; echo 'naïve, 日本'`, { onLine, signal })
  t.same(
    lines.map(({ length }) => length),
    [4_000, 9]
  )
  t.equal(lines.at(-1), 'naïve, 日本')
})

const secrets = createSecrets({ keys: loadKeyRing({ value: `one:${Buffer.alloc(32, 1).toString('base64')}` }) })

await t.test('a host that does not answer is not waited for by what was given up', async (t) => {
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const { port } = silent.address() as AddressInfo
  const sealedLogin = secrets.seal(JSON.stringify({ password: 'any' }), loginContext('a'))
  const host = { id: 'a', ip: '127.0.0.1', port, user: 'root', sealedLogin } as Host
  const runner = createHostRunner({ secrets, settings: { connectMs: 60_000, lostMs: 60_000 } })
  t.teardown(() => runner.close())
  const given = new AbortController()
  const names = { id: 'direct', operationId: 'a', epoch: 1, last: false, scripts: [], files: [] }
  const more = { timeoutMs: 60_000, patient: true, onLine: () => {}, signal: given.signal }
  const running = runner.run(host, { ...names, ...more })
  const [socket] = await once(silent, 'connection')
  t.teardown(() => socket.destroy())
  given.abort(new Error('given up'))
  await t.rejects(running, /given up/)
})

await t.test('the key of a bastion is recorded where that of the host was given', async (t) => {
  const { privateKey } = hosts
  const host = {
    id: 'a',
    ip: one.address,
    port: one.port,
    user: 'root',
    hostKey: connection.hostKey,
    bastion: { ip: one.address, port: one.port, user: 'operator' },
    sealedLogin: secrets.seal(JSON.stringify({ privateKey, bastion: { privateKey } }), loginContext('a'))
  } as Host
  const told: unknown[] = []
  const settings = { connectMs: 20_000, lostMs: 0 }
  const runner = createHostRunner({ secrets, settings, onKeys: (_host, { bastionKey }) => told.push(bastionKey) })
  t.teardown(() => runner.close())
  await runner.reach(host)
  t.same(told, [connection.hostKey])
})

await t.test('what a host says of its address is taken only where it is one', (t) => {
  const said = (value: string) => factsOf([`fact privateIp ${value}`]).privateIp
  t.equal(said('10.0.0.7'), '10.0.0.7')
  t.equal(said('10.0.0.7"}'), '')
  t.end()
})
