/** Backup and restore of the local stack; a trace from the request to the machine. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { prepareStack } from '@fleetgate/local'
import { startStackFor, temporaryFolder, until } from '@fleetgate/testkit'
import t from 'tap'
import { backUp, restore } from '../src/archive.js'
import { createMachine, waitOnline } from '../src/demo/machines.js'
import { createJob } from '../src/fleet/fanout.js'

const dataDir = temporaryFolder(t)
const file = join(temporaryFolder(t), 'fleetgate.tgz')
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`

t.test('a backup keeps its folder and its file from others from the first byte on', async (t) => {
  const small = temporaryFolder(t)
  writeFileSync(join(small, 'secrets.key'), 'k1:')
  const starting = await prepareStack({ dataDir: small, services: [], env: { MONGODB_URI: 'x', NATS_URL: 'x' } })
  await t.rejects(backUp(small, file), { message: /runs on .*: stop it first/ }, 'not while a stack is about to start')
  await starting.stop()

  // A tar that notes what is there while it works.
  const tools = temporaryFolder(t)
  const tar = execFileSync('sh', ['-c', 'command -v tar'], { encoding: 'utf8' }).trim()
  const script = `stat -c %a '${file}.part' > '${tools}/seen'; ls '${small}' >> '${tools}/seen'; exec ${tar} "$@"`
  writeFileSync(join(tools, 'tar'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  const { PATH } = process.env
  process.env.PATH = `${tools}:${PATH}`
  await backUp(small, file).finally(() => {
    process.env.PATH = PATH
  })
  t.match(readFileSync(join(tools, 'seen'), 'utf8'), /^600\nlock-/)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.same(readdirSync(small), ['secrets.key'])
})

t.test('one trace id leads from the request through gateway, scheduler and broker to the machine', async (t) => {
  const stack = await startStackFor(t, { dataDir, env: { LOG_LEVEL: 'debug' } })
  await stack.api.register()
  const session = stack.api.as(await stack.api.login())
  const folder = temporaryFolder(t)
  const plan = { name: 'demo-till-1', role: 'STORE' as const, folder, mqttUrl: stack.mqttUrl }
  const machine = await createMachine({ session, tenantId: 'default' }, plan)
  machine.start()
  t.teardown(() => machine.stop())
  await waitOnline(session, [machine])
  const wait = { type: 'GET_FILE_STATUS', order: 0, filePath: 'none', block: true }
  const jobId = await createJob(session, [machine.clientId], [wait])
  t.equal((await session.get(`/v1/jobs/${jobId}/run`, { traceparent })).status, 200)

  const agentLog = () => readFileSync(join(folder, 'agent.log'), 'utf8')
  await until(() => agentLog().includes('execution finished'), { what: 'the machine to finish' })
  const said = (name: string) =>
    stack
      .output()
      .split('\n')
      .filter((line) => line.startsWith(`${name} {`))
      .map((line) => JSON.parse(line.slice(name.length + 1)) as Record<string, string>)
      .filter(({ trace_id }) => trace_id === traceId)
  const agent = agentLog()
    .split('\n')
    .filter((line) => line.includes(traceId))
    .map((line) => JSON.parse(line) as Record<string, string>)
  await until(() => said('gateway').length > 0 && said('broker-proxy').length > 0, { what: 'the lines of all' })
  t.match(
    said('gateway').map(({ msg }) => msg),
    ['request']
  )
  const scheduler = said('scheduler').map(({ msg }) => msg)
  for (const msg of ['run opened', 'request', 'commands sent']) t.ok(scheduler.includes(msg), `scheduler: ${msg}`)
  t.match(
    said('broker-proxy').map(({ msg }) => msg),
    ['command delivered']
  )
  t.same(
    agent.map(({ msg }) => msg),
    ['execution received', 'execution finished']
  )
  const spans = ['gateway', 'scheduler', 'broker-proxy']
    .flatMap(said)
    .concat(agent)
    .map(({ span_id }) => span_id)
  for (const span of spans) t.match(span, /^[0-9a-f]{16}$/)
  t.notOk(spans.includes('00f067aa0ba902b7'), 'each has a span of its own')

  const asked = await session.get('/user', { traceparent: 'nonsense', 'x-request-id': traceId.replace('4b', '5c') })
  t.equal(asked.status, 200)
  const own = traceId.replace('4b', '5c')
  await until(() => stack.output().includes(`"trace_id":"${own}"`), { what: 'a trace under the id of the request' })
  await t.rejects(backUp(dataDir, file), { message: /runs on .*: stop it first/ })
  await machine.stop()
  await stack.stop()
})

t.test('after a backup, a loss and a restore everything is there', async (t) => {
  await backUp(dataDir, file)
  rmSync(dataDir, { recursive: true })
  await restore(file, dataDir)
  await t.rejects(restore(file, dataDir), { message: /holds data already/ })
  await t.rejects(backUp(temporaryFolder(t), file), { message: /no secrets\.key/ })

  const stack = await startStackFor(t, { dataDir })
  const session = stack.api.as(await stack.api.login())
  t.match((await session.get('/v1/logs/jobs?status=ALL&pageNo=1&pageSize=10')).body, { total: 1 })
  const users = await session.get('/v2/default/instances/default/users/demo-till-1')
  t.match(users.body, { access_key: 'demo-till-1', secret_key: /^Aa1_/ }, 'what was sealed can be read')
  const { streams } = await fetchStreams(stack.urls['broker-proxy'] ?? '')
  t.ok(streams > 0, 'the streams hold what was in them')
})

async function fetchStreams(url: string): Promise<{ streams: number }> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const [, count = '0'] = /^stream_messages\{stream="EVENTS"[^}]*\} (\d+)$/m.exec(text) ?? []
  return { streams: Number(count) }
}
