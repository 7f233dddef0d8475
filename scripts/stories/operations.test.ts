/** Backup and restore of the local stack; a trace and a request id from the request to the machine and to who hears of it. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectBus, type Delivered, userRevoked } from '@fleetgate/contracts'
import { prepareStack } from '@fleetgate/local'
import { firstUser, quietLog, startStackFor, temporaryFolder, until } from '@fleetgate/testkit'
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
  const asking = { traceparent, 'x-request-id': 'run-it' }
  t.equal((await session.get(`/v1/jobs/${jobId}/run`, asking)).status, 200)

  const agentLog = () => readFileSync(join(folder, 'agent.log'), 'utf8')
  await until(() => agentLog().includes('execution finished'), { what: 'the machine to finish' })
  const said = (name: string) => linesOf(stack.output(), name).filter(({ trace_id }) => trace_id === traceId)
  const agent = agentLog()
    .split('\n')
    .filter((line) => line.includes(traceId))
    .map((line) => JSON.parse(line) as Record<string, string>)
  const hasHeardOfEnd = () => said('scheduler').some(({ durable }) => durable === 'scheduler-alerts')
  await until(() => said('gateway').length > 0 && said('broker-proxy').length > 1 && hasHeardOfEnd(), {
    what: 'the lines of all'
  })
  t.match(
    said('gateway').map(({ msg }) => msg),
    ['request']
  )
  const scheduler = said('scheduler').map(({ msg }) => msg)
  for (const msg of ['run opened', 'request', 'commands sent']) t.ok(scheduler.includes(msg), `scheduler: ${msg}`)
  t.match(
    said('broker-proxy').map(({ msg }) => msg),
    ['command delivered', 'message handled']
  )
  t.same(
    agent.map(({ msg }) => msg),
    ['execution received', 'execution finished']
  )
  const all = ['gateway', 'scheduler', 'broker-proxy'].flatMap(said)
  t.same(new Set(all.map(({ requestId }) => requestId)), new Set(['run-it']), 'the end of the run included')
  const spans = all.concat(agent).map(({ span_id }) => span_id)
  for (const span of spans) t.match(span, /^[0-9a-f]{16}$/)
  t.notOk(spans.includes('00f067aa0ba902b7'), 'each has a span of its own')

  const asked = await session.get('/user', { traceparent: 'nonsense', 'x-request-id': traceId.replace('4b', '5c') })
  t.equal(asked.status, 200)
  const own = traceId.replace('4b', '5c')
  await until(() => stack.output().includes(`"trace_id":"${own}"`), { what: 'a trace under the id of the request' })

  await t.test(
    'a request id leads from a request to its event, to who hears of it, and to what is asked',
    async (t) => {
      const bus = await connectBus({ name: 'story', url: stack.natsUrl, log: quietLog })
      t.teardown(() => bus.close())
      const events: Delivered<unknown>[] = []
      await bus.consume(userRevoked, { durable: 'story' }, async (batch) => void events.push(...batch))
      const email = 'leaver@example.com'
      const person = { email, nickname: 'Leaver', password: 'Abcd1234!' }
      t.equal((await session.post('/user/members', person)).status, 200)
      const search = { page_number: 1, page_size: 10, keyword: email }
      const found = await session.post<Found>('/user/members/search', search)
      const [{ user_id } = { user_id: '' }] = found.body.data.content
      const headers = { traceparent, 'x-request-id': 'leaver-goes' }
      t.equal((await session.delete(`/user/members/${user_id}`, undefined, headers)).status, 200)

      const event = await until(() => events.find(({ requestId }) => requestId === 'leaver-goes'), {
        what: 'the event'
      })
      t.match(event.data, { userId: user_id })
      t.match(event.traceparent, new RegExp(`^00-${traceId}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`))
      const ofRequest = (id: string) => linesOf(stack.output(), 'auth').filter(({ requestId }) => requestId === id)
      const heard = await until(() => ofRequest('leaver-goes').find(({ msg }) => msg === 'message handled'), {
        what: 'the line of who hears of it'
      })
      t.match(heard, { durable: 'auth-service-tokens', id: event.id, trace_id: traceId })

      const basic = stack.api.asBasic(firstUser.email, firstUser.password)
      t.equal((await basic.get('/api/v2/users', { 'x-request-id': 'basic-asks' })).status, 200)
      const checks = () => ofRequest('basic-asks').filter(({ operation }) => operation === 'auth.verifyBasic')
      // The gateway asks, and broker-proxy does not take its word.
      await until(() => checks().length === 2, { what: 'both checks' })
      t.equal(new Set(checks().map(({ trace_id }) => trace_id)).size, 1)
    }
  )
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

  const services = ['auth', 'scheduler', 'broker-proxy', 'gateway'] as const
  const stack = await startStackFor(t, { dataDir, services })
  const session = stack.api.as(await stack.api.login())
  t.match((await session.get('/v1/logs/jobs?status=ALL&pageNo=1&pageSize=10')).body, { total: 1 })
  const users = await session.get('/v2/default/instances/default/users/demo-till-1')
  t.match(users.body, { access_key: 'demo-till-1', secret_key: /^Aa1_/ }, 'what was sealed can be read')
  const { streams } = await fetchStreams(stack.urls['broker-proxy'] ?? '')
  t.ok(streams > 0, 'the streams hold what was in them')
})

interface Found {
  data: { content: { user_id: string }[] }
}

function linesOf(output: string, name: string): Record<string, string>[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith(`${name} {`))
    .map((line) => JSON.parse(line.slice(name.length + 1)) as Record<string, string>)
}

async function fetchStreams(url: string): Promise<{ streams: number }> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const [, count = '0'] = /^stream_messages\{stream="EVENTS"[^}]*\} (\d+)$/m.exec(text) ?? []
  return { streams: Number(count) }
}
