import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { createPresenceStore, type Presence } from '../src/clients/presenceStore.js'

/** Rows of one client that several replicas write, in whatever order they arrive. */
const parts = await startParts(t, { nats: false })
const store = await openStore({ uri: parts.mongoUri, database: 'presence_test', log: quietLog })
t.teardown(() => store.close())
const presence = createPresenceStore(store)
await store.sync()

const row = (clientId: string, connectedAt: number, fields: Partial<Presence> = {}): Presence => ({
  tenantId: 't1',
  clientId,
  username: 'machine1',
  node: 'one',
  ip: '10.0.0.1',
  port: 1000 + connectedAt,
  connectedAt,
  online: true,
  keepalive: 60,
  protoVer: 4,
  clean: true,
  ...fields
})
const ended = { online: false, disconnectedAt: 99, reason: 'closed' }
const read = async (clientId: string) => {
  const found = await presence.find('t1', clientId)
  return found && { node: found.node, connectedAt: found.connectedAt }
}

t.test('the end of an older connection that arrives late changes nothing', async (t) => {
  t.same(await presence.write([row('late', 20, { node: 'two' })]), [])
  t.same(await presence.write([row('late', 10, ended)]), [], 'and is nobody else’s id')
  t.same(await read('late'), { node: 'two', connectedAt: 20 })
})

t.test('an older connection does not come back', async (t) => {
  await presence.write([row('old', 20, { node: 'two' })])
  await presence.write([row('old', 10)])
  t.same(await read('old'), { node: 'two', connectedAt: 20 })
})

t.test('a connection whose end is known does not begin again', async (t) => {
  await presence.write([row('over', 20)])
  await presence.write([row('over', 20, ended)])
  await presence.write([row('over', 20)])
  t.same(await read('over'), undefined)
  await presence.write([row('over', 21)])
  t.same(await read('over'), { node: 'one', connectedAt: 21 })
})

t.test('two replicas that write a new client at once: the newer one stands', async (t) => {
  const ids = Array.from({ length: 50 }, (_, index) => `race-${index}`)
  const refused = await Promise.all([
    presence.write(ids.map((id) => row(id, 10))),
    presence.write(ids.map((id) => row(id, 20, { node: 'two' })))
  ])
  t.same(refused, [[], []])
  for (const id of ids) t.same(await read(id), { node: 'two', connectedAt: 20 })
})

t.test('an id of another tenant is refused, whatever its time', async (t) => {
  await presence.write([row('foreign', 10)])
  const refused = await presence.write([row('foreign', 30, { tenantId: 't2' }), row('foreign-2', 30)])
  t.same(refused, ['foreign'])
  t.same(await read('foreign'), { node: 'one', connectedAt: 10 })
  t.ok(await read('foreign-2'))
})
