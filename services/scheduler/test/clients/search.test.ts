import { createCounters, openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import type { Client } from '../../src/clients/client.js'
import { clientKey, createClientStore } from '../../src/clients/clientStore.js'

const count = 1200

t.test('a search for a part of a name', async (t) => {
  const parts = await startParts(t, { nats: false })
  const store = await openStore({ uri: parts.mongoUri, database: 'search', log: quietLog })
  t.teardown(() => store.close())
  const clients = createClientStore(store, createCounters(store))
  await store.sync()
  // The names run against the numbers, so that an order by name would show.
  const client = (tenantId: string, clientId: number): Client => ({
    ...{ _id: clientKey(tenantId, clientId), tenantId, clientId, mqttClientId: `Till-${5000 - clientId}` },
    ...{ username: `user-${clientId % 7}`, ip: '', enabled: true, role: 'STORE', status: 'OFFLINE' },
    ...{ attributes: [], createdAt: 0 }
  })
  const all = Array.from({ length: count }, (_, index) => client('t1', index + 1))
  await clients.collection.insertMany([...all, client('t2', 1)])
  const ask = async (wish: object, offset: number, limit: number) => {
    const { items, total } = await clients.list({ tenantId: 't1', ...wish }, { offset, limit })
    return { ids: items.map(({ clientId }) => clientId), total, names: items.map((one) => one.mqttClientId) }
  }

  t.test('that few have, in the order of their numbers, page by page', async (t) => {
    t.match(await ask({ mqttClientIdContain: 'till-499' }, 0, 100), { ids: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], total: 10 })
    t.match(await ask({ mqttClientIdContain: '-499' }, 8, 5), {
      ids: [9, 10],
      total: 10,
      names: ['Till-4991', 'Till-4990']
    })
    t.match(await ask({ mqttClientIdContain: 'nobody' }, 0, 5), { ids: [], total: 0 })
  })

  t.test('that many have', async (t) => {
    t.match(await ask({ mqttClientIdContain: 'TILL' }, 0, 3), { ids: [1, 2, 3], total: count })
    t.match(await ask({ mqttClientIdContain: 'TILL' }, count - 2, 5), { ids: [count - 1, count], total: count })
    t.match(await ask({ usernameContain: 'ser-' }, 600, 2), { ids: [601, 602], total: count })
  })

  t.test('beside another condition', async (t) => {
    t.match(await ask({ mqttClientIdContain: 'till', status: 'ONLINE' }, 0, 3), { ids: [], total: 0 })
    t.match(await ask({ usernameContain: 'user-3', enabled: true }, 0, 2), { ids: [3, 10], total: 172 })
  })
})
