import { setTimeout as delay } from 'node:timers/promises'
import { upTopic } from '@fleetgate/contracts'
import { type RunningService, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import type { MqttClient } from 'mqtt'
import t from 'tap'
import { hookRule, startHookServer } from '../hookServer.js'
import { addUser, callApi, logIn, openBus } from '../support.js'
import { startReplicasOnEmqx, untilListening } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
const bus = await openBus(t, parts, keys)
const names = ['one', 'two'] as const
const env = { WEB_HOOK_ALLOWED_HOSTS: '127.0.0.1' }
const { services, broker, running } = await startReplicasOnEmqx(t, { parts, names, env })
const [one, two] = services as [RunningService, RunningService]
const plugins = '/api/v2/nodes/fleetgate@127.0.0.1'
/** Of each replica, for what machines send. */
const connections = 2
const deadlineMs = 90_000

for (const service of services) {
  const isServing = async () => (await callApi(service, keys).get('/api/v2/management/nodes')).status === 200
  await until(isServing, { what: 'the keys' })
}
for (const name of names) await untilListening(broker.url, name)
await addUser(running, keys, { name: 'machine1' })

/** How often the stream has each report, each place in it counted once. */
const stored = new Map<string, Set<number>>()
await bus.consumeUplink(['report'], { durable: 'replicas-test' }, async (batch) => {
  for (const { data, sequence } of batch) {
    const report = `${data.clientId} ${Buffer.from(data.payload)}`
    stored.set(report, (stored.get(report) ?? new Set()).add(sequence))
  }
})

/** What the tenant's web hook was told, by client. */
const { port, heard } = await startHookServer(t)
const told = (clientId: string) => heard.filter(({ body }) => body.client_id === clientId).length

t.test('web hooks are switched on', async (t) => {
  const api = callApi(one, keys)
  const settings = [
    { key: 'web.hook.api.url', value: `http://127.0.0.1:${port}/hook` },
    hookRule('client.disconnected')
  ]
  t.match((await api.put(`${plugins}/plugin_configs/emqx_web_hook`, settings)).body, { code: 0 })
  t.match((await api.put(`${plugins}/plugins/emqx_web_hook`, { active: true })).body, { code: 0 })
  const client = await logIn(t, running, 'machine1', 'left-0')
  await client.endAsync()
  await until(() => told('left-0') === 1, { what: 'the hook', deadlineMs })
})

t.test('one of two replicas is killed, comes back, and the other is killed, while machines report', async (t) => {
  const acknowledged: string[] = []
  let isOver = false
  t.teardown(() => {
    isOver = true
  })
  const come = (id: string) => logIn(t, running, 'machine1', id)
  const machines = await Promise.all(Array.from({ length: 8 }, (_, index) => come(`m-${index}`)))
  const leavers = await Promise.all([come('left-1'), come('left-2')])
  const work = machines.map(async (client, index) => {
    for (let n = 0; !isOver; n++) {
      await client.publishAsync(upTopic(`m-${index}`, 'report'), String(n), { qos: 1 })
      acknowledged.push(`m-${index} ${n}`)
      await delay(20)
    }
  })
  const missing = (reports: readonly string[]) => reports.filter((report) => !stored.has(report))
  const untilStored = (what: string) => {
    const sent = [...acknowledged]
    return until(() => missing(sent).length === 0, { what, deadlineMs })
  }
  const untilMoreCame = (count: number) => {
    const mark = acknowledged.length + count
    return until(() => acknowledged.length >= mark, { what: `${count} more reports`, deadlineMs })
  }
  /** Frozen first, so that EMQX has told it of a client that leaves and heard nothing back. */
  const killWhileTold = async (service: RunningService, leaver: MqttClient) => {
    process.kill(service.pid(), 'SIGSTOP')
    await leaver.endAsync()
    await untilMoreCame(20)
    await service.kill('SIGKILL')
    await untilMoreCame(100)
  }

  const bothStore = async () => (await storedBy(one)) > 0 && (await storedBy(two)) > 0
  await until(bothStore, { what: 'both to take part', deadlineMs })
  await untilMoreCame(100)
  await killWhileTold(one, leavers[0])
  await untilStored('what EMQX kept for the first')
  const inherited = two
    .output()
    .split('\n')
    .filter((line) => line.includes('a replica is gone'))
  for (let index = 0; index < connections; index++)
    t.ok(
      inherited.some((line) => line.includes(`$fleetgate:one:up-${index}`)),
      `up-${index} is taken over`
    )

  await one.restart()
  await untilListening(broker.url, 'one')
  await until(async () => (await storedBy(one)) > 0, { what: 'the first to take part again', deadlineMs })
  await untilMoreCame(100)
  await killWhileTold(two, leavers[1])
  await untilStored('what EMQX kept for the second')
  isOver = true
  await Promise.all(work)
  await untilStored('all of them')

  t.test('no report that was acknowledged is missing', async (t) => {
    t.same(missing(acknowledged), [])
    t.equal(stored.size, acknowledged.length, 'nor is there one that nobody has sent')
    t.ok(
      machines.every((client) => client.connected),
      'the machines have noticed nothing'
    )
  })

  t.test('hardly any comes twice', async (t) => {
    // Each connection has one message at work: all that may come twice where its session changes hands, at two kills and one return.
    const repeats = [...stored.values()].reduce((sum, places) => sum + places.size - 1, 0)
    t.ok(repeats <= 3 * connections, `${repeats} came twice`)
  })

  t.test('what EMQX had told a replica before its death is told by the other one', async (t) => {
    await until(() => told('left-1') > 0 && told('left-2') > 0, { what: 'the hooks', deadlineMs })
    t.same(['left-0', 'left-1', 'left-2'].map(told), [1, 1, 1])
  })
})

/** Reports that this replica has stored since its start. */
async function storedBy({ url }: RunningService): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^mqtt_uplink_stored_total(?:\{.*\})? (\d+)/m.exec(text)?.[1] ?? 0)
}
