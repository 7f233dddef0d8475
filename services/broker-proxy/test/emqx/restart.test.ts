import { clientConnected, clientDisconnected, upTopic } from '@fleetgate/contracts'
import { startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { addUser, callApi, logIn, openBus } from '../support.js'
import { emqxKeys, startServiceOnEmqx, untilListening } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
const bus = await openBus(t, parts, keys)
const { service, running, broker } = await startServiceOnEmqx(t, parts)
await until(async () => (await callApi(running, keys).get('/api/v2/management/nodes')).status === 200, {
  what: 'the keys'
})
await untilListening(broker.url)
await addUser(running, keys, { name: 'machine1' })

/** A real EMQX asks us again only half a minute after it has missed us. */
const deadlineMs = 90_000
const stored = new Set<string>()
await bus.consumeUplink(['report'], { durable: 'restart-test' }, async (batch) => {
  for (const { data } of batch) stored.add(Buffer.from(data.payload).toString())
})
const events: string[] = []
await bus.watch(clientConnected, { sinceMs: 0 }, ({ clientId }) => void events.push(`up ${clientId}`))
await bus.watch(clientDisconnected, { sinceMs: 0 }, ({ clientId }) => void events.push(`down ${clientId}`))

t.test('nothing is lost while the service is killed and comes back', async (t) => {
  const machines = 4
  const each = 100
  let acknowledged = 0
  const clients = await Promise.all(
    Array.from({ length: machines }, (_, index) => logIn(t, running, 'machine1', `kill-${index}`))
  )
  await until(() => new Set(events).size === machines, { what: 'the coming of all of them' })
  const work = clients.map(async (client, index) => {
    for (let n = 0; n < each; n++) {
      await client.publishAsync(upTopic(`kill-${index}`, 'report'), `${index}:${n}`, { qos: 1 })
      acknowledged += 1
      // Slower than the service could take it, so that each kill meets messages on their way.
      if (n % 10 === 0)
        await until(() => stored.size > acknowledged - 200, { what: 'the stream to follow', deadlineMs })
    }
  })
  for (const mark of [80, 240]) {
    await until(() => acknowledged >= mark, { what: `${mark} acknowledgements`, deadlineMs })
    await service.kill('SIGKILL')
    await service.restart()
  }
  await Promise.all(work)
  await until(() => stored.size === machines * each, { what: 'all of them in the stream', deadlineMs })
  t.equal(stored.size, machines * each)
  t.ok(
    clients.every((client) => client.connected),
    'the machines have noticed nothing'
  )
  t.notOk(
    events.some((event) => event.startsWith('down')),
    'and nobody was told that they had gone'
  )
})

t.test('who went meanwhile is told to be gone, who came is told to be there', async (t) => {
  const leaver = await logIn(t, running, 'machine1', 'leaver')
  await until(() => events.includes('up leaver'), { what: 'its coming' })
  await service.kill('SIGKILL')
  await leaver.endAsync()
  await t.rejects(logIn(t, running, 'machine1', 'comer'), 'nobody is let in meanwhile')
  await service.restart()
  await until(() => events.includes('down leaver'), { what: 'its going', deadlineMs })
  await untilListening(broker.url)
  await logIn(t, running, 'machine1', 'comer')
  await until(() => events.includes('up comer'), { what: 'the coming of the other', deadlineMs })
})

t.test('secrets are not logged by one that comes back', async (t) => {
  const output = service.output()
  t.match(output, /connected to EMQX/, 'there is a log')
  const inherited = output.split('\n').filter((line) => line.includes('a replica is gone'))
  t.notOk(
    inherited.some((line) => line.includes('$fleetgate:test:')),
    'nor does it take its own sessions for those of a replica that is gone'
  )
  for (const secret of [emqxKeys.apiSecret, emqxKeys.authSecret, 'password-of-the-service']) {
    t.notOk(output.includes(secret))
  }
})
