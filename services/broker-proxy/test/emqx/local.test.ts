import { upTopic } from '@fleetgate/contracts'
import { freePort, startParts, startStackFor, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { addUser, logIn, openBus } from '../support.js'
import { startStandIn } from './standIn.js'
import { emqxEnv, emqxKeys, untilListening } from './support.js'

/** What `scripts/up --replicas 2` with BROKER=emqx does with broker-proxy. */
const standIn = await startStandIn(t, emqxKeys)
const port = await freePort()
standIn.authUrl = `http://127.0.0.1:${port}`
const keys = testGuardKeys()
const parts = await startParts(t)
const bus = await openBus(t, parts, keys)
const outside = { MONGODB_URI: parts.mongoUri, NATS_URL: parts.natsUrl }
const env = { ...emqxEnv(standIn, { EMQX_RECONCILE_S: '60' }), ...outside, BROKER_PROXY_PORT: String(port) }
const stack = await startStackFor(t, { services: ['broker-proxy'], replicas: 2, env })
const running = { url: stack.urls['broker-proxy'] ?? '', mqttUrl: standIn.mqttUrl }
const deadlineMs = 60_000

t.test('two replicas of the local runtime share an EMQX, each under its own name, after a kill too', async (t) => {
  const own = () => stack.processes().filter(({ name }) => name.startsWith('broker-proxy'))
  t.same(
    own().map(({ name }) => name),
    ['broker-proxy', 'broker-proxy-2']
  )
  for (const replica of ['test', 'test-2']) await untilListening(standIn.url, replica)
  stack.kill('broker-proxy-2', 'SIGKILL')
  await until(() => own()[1]?.restarts === 1, { what: 'the restart', deadlineMs })
  await stack.ready()
  await untilListening(standIn.url, 'test-2')
  t.notMatch(stack.output(), 'a replica is gone', 'nobody takes over what comes back')

  await addUser(running, keys, { name: 'machine1' })
  const stored = new Set<string>()
  await bus.consumeUplink(['report'], { durable: 'local-test' }, async (batch) => {
    for (const { data } of batch) stored.add(data.clientId)
  })
  // By their names EMQX gives them to all four receivers of both.
  const ids = Array.from({ length: 12 }, (_, index) => `local-${index}`)
  for (const id of ids) {
    const client = await logIn(t, running, 'machine1', id)
    await client.publishAsync(upTopic(id, 'report'), 'x', { qos: 1 })
  }
  await until(() => stored.size === ids.length, { what: 'a report of each', deadlineMs })
  t.same([...stored].sort(), ids.sort())
})
