import { fork, spawn } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ClaimedError, checkOutsideParts, findStack, freePort, isServing, startStack } from '../src/index.js'
import { identify } from '../src/process/identity.js'
import { readRuntime } from '../src/runtimeFile.js'
import { fakeOptions, noParts, temporaryPlace, until } from './fakeStack.js'

const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const isGone = (pid: number | undefined) => !identify(pid ?? 0)
const locks = (dir: string) => readdirSync(dir).filter((name) => name.startsWith('lock-'))

t.test('starts all, tells each where the others are, and writes down what runs', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const stack = await startStack(fakeOptions(dataDir))
  t.teardown(() => stack.stop())
  const seen = (await (await fetch(`${stack.url}/`)).json()) as Record<string, string>
  t.match(seen, { AUTH_URL: stack.urls.auth, DEVICES_URL: stack.urls.devices, ...noParts })
  t.match(findStack(dataDir), { pid: process.pid, url: stack.url, mqttUrl: stack.mqttUrl, isReady: true })
  for (const secret of ['runtime.json', 'secrets.key']) {
    t.equal(statSync(join(dataDir, secret)).mode & 0o777, 0o600, secret)
  }
  await stack.stop()
  t.equal(findStack(dataDir), undefined)
  t.same(locks(dataDir), [])
})

t.test('keeps the key of the first start', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const keys: unknown[] = []
  for (const _ of [1, 2]) {
    const stack = await startStack(fakeOptions(dataDir))
    keys.push(readFileSync(join(dataDir, 'secrets.key'), 'utf8'))
    await stack.stop()
  }
  t.match(keys[0], /^k1:[A-Za-z0-9+/]{43}=\n$/)
  t.equal(keys[0], keys[1])
})

t.test('makes a certificate for the broker where it is asked for, once', async (t) => {
  const { dataDir } = temporaryPlace(t)
  /** What a service is told. */
  const told = async (more: NodeJS.ProcessEnv) => {
    const options = fakeOptions(dataDir, { ...noParts, MQTTS_PORT: String(await freePort()), ...more })
    const stack = await startStack({ ...options, services: ['broker-proxy', 'auth'] })
    const [broker, auth] = await Promise.all(
      ['broker-proxy', 'auth'].map(async (name) => (await fetch(`${stack.urls[name]}/`)).json())
    )
    await stack.stop()
    return { broker, auth } as Record<'broker' | 'auth', NodeJS.ProcessEnv>
  }
  t.equal((await told({})).broker.MQTT_TLS_CERT_FILE, undefined)
  t.equal((await told({ MQTT_TLS_SELF_SIGNED: 'false' })).broker.MQTT_TLS_CERT_FILE, undefined)
  const { broker, auth } = await told({ MQTT_TLS_SELF_SIGNED: 'true' })
  const [certFile, keyFile] = [join(dataDir, 'mqtt-cert.pem'), join(dataDir, 'mqtt-key.pem')]
  t.match(broker, { MQTT_TLS_CERT_FILE: certFile, MQTT_TLS_KEY_FILE: keyFile, MQTTS_PORT: /^\d+$/ })
  t.equal(auth.MQTT_TLS_CERT_FILE, undefined, 'nobody else gets the key')
  t.equal(statSync(keyFile).mode & 0o777, 0o600)
  const certificate = new X509Certificate(readFileSync(certFile))
  t.ok(certificate.checkPrivateKey(createPrivateKey(readFileSync(keyFile))))
  t.equal(certificate.checkHost('localhost'), 'localhost')
  t.equal(certificate.checkIP('127.0.0.1'), '127.0.0.1')
  const own = { MQTT_TLS_CERT_FILE: '/own.pem', MQTT_TLS_KEY_FILE: '/own.key' }
  t.match((await told({ MQTT_TLS_SELF_SIGNED: 'true', ...own })).broker, own, 'files that are named come first')
  t.equal(new X509Certificate(readFileSync(certFile)).fingerprint256, certificate.fingerprint256, 'and it is kept')
})

t.test('runs broker-proxy once with its embedded broker, and as often as the others with EMQX', async (t) => {
  const { dataDir } = temporaryPlace(t)
  /** What each process is told, by its name. */
  const told = async (more: NodeJS.ProcessEnv) => {
    const options = fakeOptions(dataDir, { ...noParts, ...more })
    const stack = await startStack({ ...options, services: ['auth', 'broker-proxy', 'gateway'], replicas: 2 })
    const names = stack.processes().map(({ name }) => name)
    const ask = async (url: string) => (await (await fetch(`${url}/`)).json()) as NodeJS.ProcessEnv
    const gateway = await ask(stack.url)
    const brokers = await Promise.all((gateway.BROKER_PROXY_URL ?? '').split(',').map(ask))
    await stack.stop()
    return { names, brokers }
  }
  const embedded = await told({})
  t.same(embedded.names, ['auth', 'auth-2', 'broker-proxy', 'gateway'])
  t.match(embedded.brokers, [{ EMQX_REPLICA: undefined }])
  const named = await told({ BROKER: 'emqx', EMQX_REPLICA: 'here' })
  t.same(named.names, ['auth', 'auth-2', 'broker-proxy', 'broker-proxy-2', 'gateway'])
  t.match(named.brokers, [{ EMQX_REPLICA: 'here' }, { EMQX_REPLICA: 'here-2' }])
  t.not(named.brokers[0]?.DATA_DIR, named.brokers[1]?.DATA_DIR)
  t.match((await told({ BROKER: 'emqx' })).brokers, [{ EMQX_REPLICA: undefined }, { EMQX_REPLICA: /^[\w.-]+-2$/ }])
})

t.test('starts what dies again, on the same port, and leaves the others alone', async (t) => {
  const { dataDir, journal } = temporaryPlace(t)
  const stack = await startStack(fakeOptions(dataDir))
  t.teardown(() => stack.stop())
  const before = stack.processes()
  stack.kill('devices', 'SIGKILL')
  await until('the restart', () => stack.processes()[1]?.restarts === 1)
  await stack.ready()
  t.ok(await isServing(stack.urls.devices ?? ''))
  const after = stack.processes()
  t.not(after[1]?.pid, before[1]?.pid)
  t.same([after[0], after[2]], [before[0], before[2]])
  t.equal(journal().filter((line) => line === 'devices started').length, 2)
  t.match(readRuntime(dataDir)?.processes.find(({ name }) => name === 'devices')?.pid, after[1]?.pid)
})

t.test('stops the gateway before the services, each gracefully, and is gone', async (t) => {
  const { dataDir, journal } = temporaryPlace(t)
  const stack = await startStack(fakeOptions(dataDir))
  const pids = stack.processes().map(({ pid }) => pid)
  await stack.stop()
  const lines = journal().filter((line) => !line.endsWith('started'))
  t.same(lines.slice(0, 2), ['gateway stopping', 'gateway stopped'])
  t.same(lines.slice(2).sort(), ['auth stopped', 'auth stopping', 'devices stopped', 'devices stopping'])
  t.ok(pids.every(isGone))
})

t.test('kills at once what was asked to stop a second time', async (t) => {
  const { dataDir, journal } = temporaryPlace(t)
  const stack = await startStack(fakeOptions(dataDir))
  stack.kill('gateway', 'SIGSTOP')
  const patient = stack.stop()
  const began = Date.now()
  await Promise.all([patient, stack.stop({ graceMs: 0 })])
  t.ok(Date.now() - began < 5000, 'without the grace of the first')
  t.notOk(journal().includes('gateway stopped'))
})

t.test('refuses a second start on the same folder, naming who has it', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const stack = await startStack(fakeOptions(dataDir))
  t.teardown(() => stack.stop())
  await t.rejects(startStack(fakeOptions(dataDir)), new ClaimedError(dataDir, process.pid))
  const ports = { PORT: String(await freePort()), MQTT_PORT: String(await freePort()) }
  const second = spawn(process.execPath, [fileOf('../src/main.js')], {
    env: { ...process.env, ...ports, DATA_DIR: dataDir }
  })
  let said = ''
  second.stderr.on('data', (data) => {
    said += data
  })
  const [code] = await once(second, 'close')
  t.equal(code, 1)
  t.match(said, `process ${process.pid}`)
  t.match(said, stack.url)
  t.ok(await isServing(stack.url), 'the first goes on')
})

t.test('names the folder that it cannot have, and what to set', async (t) => {
  await t.rejects(startStack(fakeOptions('/dev/null/x')), { message: /^\/dev\/null\/x cannot .* set DATA_DIR/ })
})

t.test('outside parts that are not there are named with their variable', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const closed = await freePort()
  const check = (env: NodeJS.ProcessEnv) => checkOutsideParts(env, { waitMs: 0 })
  await t.resolves(check({}))
  await t.resolves(check({ MONGODB_URI: `mongodb://u:p%40:@127.0.0.1:${closed},127.0.0.1:${port}/db?replicaSet=r` }))
  await t.resolves(check({ NATS_URL: `nats://fleetgate:p@127.0.0.1:${port}` }))
  await t.resolves(check({ MONGODB_URI: 'mongodb+srv://cluster.example.com/db' }), 'that is the driver’s to find')
  const away = /^MongoDB does not answer at 127\.0\.0\.1:\d+: .*MONGODB_URI/
  await t.rejects(check({ MONGODB_URI: `mongodb://u:secret@127.0.0.1:${closed}` }), { message: away })
  const alsoAway = /^NATS does not answer at 127\.0\.0\.1:\d+: .*NATS_URL/
  await t.rejects(check({ NATS_URL: `nats://u:secret@127.0.0.1:${closed}` }), { message: alsoAway })
  for (const wrong of ['nonsense', 'http://127.0.0.1:4222', 'nats://'])
    await t.rejects(check({ NATS_URL: wrong }), { message: /^NATS_URL is no address of NATS: give nats:\/\/host:4222/ })
})

t.test('names the variable of a port that is taken', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const port = await freePort()
  const other = createServer().listen(port, '127.0.0.1')
  await once(other, 'listening')
  t.teardown(() => other.close())
  await t.rejects(startStack({ ...fakeOptions(dataDir), port }), { message: /port \d+ .*set PORT/ })
  await t.rejects(startStack({ ...fakeOptions(dataDir), mqttPort: port }), { message: /set MQTT_PORT/ })
  const withEnv = (env: NodeJS.ProcessEnv) => startStack(fakeOptions(dataDir, { ...noParts, ...env }))
  await t.rejects(withEnv({ NATS_URL: '', NATS_PORT: String(port) }), { message: /set NATS_PORT/ })
  for (const wrong of ['AUTH_PORT', 'MQTTS_PORT'])
    await t.rejects(withEnv({ [wrong]: '90a' }), { message: `${wrong} is no port number: 90a` })
  const same = String(await freePort())
  await t.rejects(withEnv({ AUTH_PORT: same, DEVICES_PORT: same }), { message: /^AUTH_PORT and DEVICES_PORT are both/ })
  t.same(locks(dataDir), [], 'and lets the folder go')
})

t.test('gives up on a service that dies again and again, and leaves nothing running', async (t) => {
  const { dataDir, journal } = temporaryPlace(t)
  const options = fakeOptions(dataDir, { ...noParts, CRASHING: 'devices' })
  const lines: string[] = []
  const started = startStack({ ...options, onLine: (name, line) => lines.push(`${name} ${line}`) })
  await t.rejects(started, { message: /^devices dies again and again/ })
  t.ok(lines.includes('devices CRASHING is set'), 'what it said is shown')
  t.equal(journal().filter((line) => line === 'auth stopped').length, 1)
  t.equal(readRuntime(dataDir), undefined)
})

t.test('says what is not built', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const options = { ...fakeOptions(dataDir), mainOf: () => '/nowhere/main.js' }
  await t.rejects(startStack(options), { message: /not built yet.*\/nowhere\/main\.js/ })
})

t.test('the kill of the runtime leaves nothing that disturbs the next start', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const runtime = fork(fileOf('./runFakeStack.js'), [dataDir], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  await once(runtime, 'message')
  const old = readRuntime(dataDir)?.processes ?? []
  t.same(old.map(({ name }) => name).sort(), ['auth', 'devices', 'engine', 'gateway', 'nats'])
  // One that is stuck does not notice that it should end.
  process.kill(old.find(({ name }) => name === 'auth')?.pid ?? 0, 'SIGSTOP')
  runtime.kill('SIGKILL')
  await once(runtime, 'exit')
  const stack = await startStack(fakeOptions(dataDir, {}))
  t.teardown(() => stack.stop())
  t.ok(
    old.every(({ pid }) => isGone(pid)),
    'all of the old ones are gone'
  )
  t.ok(stack.processes().every(({ restarts }) => restarts === 0))
})

t.test('the children of a killed runtime end by themselves', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const runtime = fork(fileOf('./runFakeStack.js'), [dataDir], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  await once(runtime, 'message')
  const old = readRuntime(dataDir)?.processes ?? []
  runtime.kill('SIGKILL')
  await until('all to end', () => old.every(({ pid }) => isGone(pid)))
  t.equal(old.length, 5)
})

t.test('never ends a process that only has the id of an old one', async (t) => {
  const { dataDir } = temporaryPlace(t)
  const bystander = spawn('sleep', ['60'])
  t.teardown(() => bystander.kill('SIGKILL'))
  mkdirSync(dataDir, { recursive: true })
  const old = { pid: 1, startedAt: '0', processes: [{ name: 'nats', pid: bystander.pid, startedAt: '1' }] }
  writeFileSync(join(dataDir, 'runtime.json'), JSON.stringify(old))
  const stack = await startStack(fakeOptions(dataDir))
  await stack.stop()
  t.notOk(isGone(bystander.pid))
})
