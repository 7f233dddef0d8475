import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  createApi,
  freePort,
  type Session,
  type SshHost,
  startParts,
  startService,
  startSshHosts,
  testGuardKeys
} from '@fleetgate/testkit'
import t from 'tap'
import {
  clusterEnv,
  clusterOf,
  draft,
  ended,
  made,
  type OperationView,
  operationOf,
  startsOf
} from './clusterSupport.js'
import { ownVersion, startReleaseServer } from './releaseServer.js'
import { serveKeys, startClusterManagerFor } from './support.js'

const parts = await startParts(t)
const guardKeys = testGuardKeys()
await serveKeys(t, parts, guardKeys)
const hosts = await startSshHosts(t, { count: 3 })
const releases = await startReleaseServer(t, hosts.ownAddress)
/** What the service is started with; a change counts from its next start on. */
const env: NodeJS.ProcessEnv = {
  ...clusterEnv,
  NATS_SERVER_BINARY: '',
  NATS_SERVER_URL: releases.url,
  WATCH_MS: '600000'
}
const token = guardKeys.token({ userId: 'ann', codes: ['cluster.view', 'cluster.edit'] })
let closings: (() => unknown)[] = []
want(ownVersion)
let api = await started()
t.teardown(stopped)
const [first, second, third] = hosts.hosts as [SshHost, SshHost, SshHost]
for (const { disk } of hosts.hosts) {
  // Between two tries nobody has to wait here.
  mkdirSync(join(disk, 'usr/local/bin'), { recursive: true })
  writeFileSync(join(disk, 'usr/local/bin/sleep'), '#!/bin/sh\nexec /bin/sleep 0.2\n', { mode: 0o755 })
}
const before = hosts.hosts.map((host) => host.files())
const base = '"$FLEETGATE_ROOT"/var/lib/fleetgate'
const loads = () => releases.asked.filter(({ method }) => method === 'GET')
let id = ''

function want(version: string): void {
  env.NATS_SERVER_VERSION = version
  env.NATS_SERVER_SHA256 = releases.release(version)
}

async function started(): Promise<Session> {
  const service = await startClusterManagerFor({ teardown: (close) => closings.push(close) }, parts, env)
  return service.as(token)
}

async function stopped(): Promise<void> {
  for (const close of closings.reverse()) await close()
  closings = []
}

async function restarted(set: NodeJS.ProcessEnv): Promise<void> {
  Object.assign(env, set)
  await stopped()
  api = await started()
  releases.asked.length = 0
}

async function applied(): Promise<OperationView> {
  const reply = await api.post(`/v1/cluster/${id}/apply`)
  if (reply.status !== 200) throw new Error(reply.text)
  return ended(api, id)
}

const runningVersion = async (host: SshHost) => (await host.run(`${base}/nats/nats-server --version`)).trim()
const halfFetched = async (host: SshHost) => (await host.run(`find ${base}/files -name '*.*'`)).trim()

/** How the making of a cluster ends that cannot be made; it is gone afterwards. */
async function failed(name: string): Promise<OperationView> {
  const tried = await made(api, draft(hosts, name, [1, 1], [first, second]))
  await api.delete(`/v1/cluster/${tried.id}`)
  await ended(api, tried.id)
  return tried.operation
}

/** Takes a program off a host; answers how to give it back. */
async function hide(host: SshHost, program: string): Promise<() => Promise<string>> {
  const path = (await host.run(`command -v ${program}`)).trim()
  await host.run(`mount --bind /dev/null ${path}`)
  return () => host.run(`umount ${path}`)
}

await t.test('a host that gets another file than it should is left as it was', async (t) => {
  releases.be('other')
  const operation = await failed('other')
  t.match(operation, { state: 'FAILED', message: /^stage failed on 2 of 2 hosts/ })
  t.match(operation.problems[0]?.message, /stage: http:.* it has another checksum than [0-9a-f]{64}/)
  t.equal(loads().length, 2, 'nothing is tried again')
  t.match(operation.phases.map(({ name }) => name).join(), /^preflight,stage,undo-/)
  releases.be('good')
})

await t.test('preflight tells what is not there, and who cannot be asked', async (t) => {
  await restarted({
    NATS_SERVER_VERSION: '2.12.4',
    NATS_SERVER_SHA256: `amd64=${'0'.repeat(64)},arm64=${'0'.repeat(64)}`
  })
  const missing = await failed('missing')
  t.match(missing, { state: 'FAILED', phases: [{ name: 'preflight' }] })
  t.match(missing.problems[0]?.message, /preflight: nats-server cannot be fetched from http:.*: it answers 404/)
  await restarted({ NATS_SERVER_URL: `http://${hosts.ownAddress}:${await freePort()}/{version}` })
  const away = await failed('away')
  t.match(away.problems[0]?.message, /nats-server cannot be fetched from http:.*\/2.12.4: .*(refused|connect)/i)
  await restarted({ NATS_SERVER_SHA256: `riscv64=${'0'.repeat(64)}` })
  const foreign = await failed('foreign')
  t.match(foreign.problems[0]?.message, /cannot be fetched: there is none for the processor (amd64|arm64)/)
  if (hosts.isReal) {
    const back = [await hide(first, 'curl'), await hide(first, 'wget')]
    const { problems } = await failed('unable')
    t.match(problems.find(({ ip }) => ip === first.address)?.message, /curl or wget is needed to fetch/)
    for (const give of back) await give()
  }
  want(ownVersion)
  await restarted({ NATS_SERVER_URL: releases.url })
})

await t.test('a whole cluster fetches its program, by curl and by wget', async (t) => {
  t.same(
    hosts.hosts.map((host) => host.files()),
    before,
    'what failed has left nothing'
  )
  if (hosts.isReal) await hide(third, 'curl')
  const result = await made(api, draft(hosts, 'network', [1, 2]))
  id = result.id
  t.match(result.operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(result.operation))
  t.same(
    result.operation.phases.map(({ name }) => name),
    ['preflight', 'stage', 'install-1', 'verify']
  )
  for (const host of hosts.hosts) {
    t.equal(await runningVersion(host), `nats-server: v${ownVersion}`)
    t.equal(await halfFetched(host), '')
  }
  t.equal(loads().length, 3, 'each has fetched it once')
  if (hosts.isReal) t.equal(loads().filter(({ agent }) => /^wget/i.test(agent)).length, 1)
})

await t.test('applied again nothing is fetched, nor asked for', async (t) => {
  releases.asked.length = 0
  t.match(await applied(), { state: 'SUCCESS', problems: [] })
  t.same(releases.asked, [])
  for (const host of hosts.hosts) t.equal(await startsOf(host), 1)
})

await t.test('a new version comes by apply, though the server breaks off on the way', async (t) => {
  want('2.12.6')
  await restarted({})
  releases.be('half', 4)
  const operation = await applied()
  t.match(operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(operation))
  for (const host of hosts.hosts) {
    t.equal(await runningVersion(host), 'nats-server: v2.12.6')
    t.equal(await startsOf(host), 2)
    t.equal(await halfFetched(host), '')
  }
  t.equal(loads().length, 7)
  t.equal(loads().filter(({ range }) => /^bytes=[1-9]/.test(range)).length, 4, 'it goes on where it broke off')
})

await t.test('where it breaks off for ever no host is changed, and what was begun goes', async (t) => {
  want('2.12.7')
  await restarted({})
  releases.be('half')
  const operation = await applied()
  t.match(operation, { state: 'FAILED', message: /^stage failed on 3 of 3 hosts/ })
  for (const { message } of operation.problems) t.match(message, /stage: http:.* cannot be fetched: /)
  for (const host of hosts.hosts) {
    t.equal(await runningVersion(host), 'nats-server: v2.12.6')
    t.equal(await startsOf(host), 2)
    t.equal(await halfFetched(host), '')
  }
  releases.be('whole')
  await first.run(`head -c 1000 /bin/sh >${base}/files/${env.NATS_SERVER_SHA256?.split('=')[1]}.part`)
  const { operationId } = await clusterOf(api, id)
  t.equal((await api.post(`/v1/operations/${operationId}/retry`)).status, 200)
  await ended(api, id)
  t.match(await operationOf(api, operationId), { state: 'SUCCESS', attempt: 2, problems: [] })
  for (const host of hosts.hosts) t.equal(await runningVersion(host), 'nats-server: v2.12.7')
})

await t.test('checksums come over https, and archives through the proxy of the host', async (t) => {
  for (const { disk } of hosts.hosts) {
    writeFileSync(join(disk, 'etc/environment'), `LANG=C\nexport HTTPS_PROXY="${releases.proxy}"\n`)
    mkdirSync(join(disk, 'root'), { recursive: true })
    copyFileSync(releases.certFile, join(disk, 'root/ca.pem'))
    const file = hosts.isReal ? '/root/ca.pem' : join(disk, 'root/ca.pem')
    writeFileSync(join(disk, 'root/.curlrc'), `cacert = ${file}\n`)
    writeFileSync(join(disk, 'root/.wgetrc'), `ca_certificate = ${file}\n`)
  }
  releases.release('2.12.8')
  releases.be('good')
  Object.assign(env, { NATS_SERVER_URL: releases.secureUrl, NATS_SERVER_VERSION: '2.12.8', NATS_SERVER_SHA256: '' })
  await stopped()
  // In a process of its own: certificates are trusted from the start of one on.
  const trusting = { ...env, NODE_EXTRA_CA_CERTS: releases.certFile }
  const service = await startService(t, { name: 'cluster-manager', parts, env: trusting })
  api = createApi(service.url).as(token)
  releases.asked.length = 0
  const operation = await applied()
  t.match(operation, { state: 'SUCCESS', problems: [] }, JSON.stringify(operation))
  for (const host of hosts.hosts) t.equal(await runningVersion(host), 'nats-server: v2.12.8')
  t.same([...new Set(releases.tunnels)], [new URL(releases.secureUrl).host])
  t.equal(releases.asked.filter(({ path }) => path === '/v2.12.8/SHA256SUMS').length, 1)
})

await t.test('where no checksum can be had, what is there stays, and what is not is not fetched', async (t) => {
  // Whose certificate nobody has signed.
  await restarted({})
  t.match(await applied(), { state: 'SUCCESS', problems: [] })
  await restarted({ NATS_SERVER_VERSION: '2.12.9' })
  const operation = await applied()
  t.match(operation, { state: 'FAILED', phases: [{ name: 'preflight' }] })
  t.match(
    operation.problems[0]?.message,
    /nats-server 2.12.9 cannot be fetched: the checksums cannot be read from https:\/\/localhost:\d+\/v2.12.9\/SHA256SUMS: self-signed/
  )
})

await t.test('the cluster goes and leaves nothing', async (t) => {
  t.equal((await api.delete(`/v1/cluster/${id}`)).status, 200)
  t.match(await ended(api, id), { state: 'SUCCESS', problems: [] })
  for (const host of hosts.hosts) t.notOk(host.files().some((file) => file.includes('fleetgate/nats')))
})
