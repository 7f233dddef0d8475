import { createCounters, openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import type { Client } from '../../src/clients/client.js'
import { clientKey, createClientStore } from '../../src/clients/clientStore.js'
import { fillNameParts } from '../../src/clients/fillNameParts.js'

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
  // As a version wrote them that kept no parts of names.
  await clients.collection.insertMany([...all, client('t2', 1)])
  await fillNameParts(clients, quietLog)
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

  t.test('that is longer than what is kept of each part, or has signs of patterns', async (t) => {
    const long = {
      mqttClientId: 'Warehouse (Köln) gate-17/β',
      username: 'ÄNNE',
      ip: '',
      enabled: true,
      role: 'STORE'
    } as const
    const { clientId } = await clients.insert('t3', long, 0)
    const find = async (wish: object) =>
      (await clients.list({ tenantId: 't3', ...wish }, { offset: 0, limit: 5 })).total
    for (const part of ['house (köln) gate-17', '(k', '/Β', 'e', 'WAREHOUSE (KÖLN) GATE-17/β', ' ']) {
      t.equal(await find({ mqttClientIdContain: part }), 1, part)
    }
    for (const part of ['house (köln) gate-18', '.', 'xouse (köln) gate-17', '(köln)gate']) {
      t.equal(await find({ mqttClientIdContain: part }), 0, part)
    }
    t.equal(await find({ usernameContain: 'änn' }), 1)
    t.test('follows both names', async (t) => {
      await clients.update('t3', clientId, { mqttClientId: 'shop', username: 'berta' }, 2)
      t.same([await find({ mqttClientIdContain: 'gate' }), await find({ mqttClientIdContain: 'hop' })], [0, 1])
      t.same([await find({ usernameContain: 'nne' }), await find({ usernameContain: 'ert' })], [0, 1])
      t.notOk('nameParts' in ((await clients.find('t3', clientId)) ?? {}), 'what is looked up is not shown')
    })
  })

  t.test('deep pages of many clients are right whichever is asked for first', async (t) => {
    const many = Array.from({ length: 5000 }, (_, index) => client('t4', index + 1))
    await clients.collection.insertMany(many)
    const page = async (offset: number, wish: object = {}) => {
      const found = await clients.list({ tenantId: 't4', ...wish }, { offset, limit: 3 })
      return [...found.items.map(({ clientId }) => clientId), found.total]
    }
    t.same(await page(3000), [3001, 3002, 3003, 5000])
    t.same(await page(3003), [3004, 3005, 3006, 5000])
    t.same(await page(2999), [3000, 3001, 3002, 5000])
    t.same(await page(4998), [4999, 5000, 5000])
    t.same(await page(3000, { enabled: true }), [3001, 3002, 3003, 5000])
    t.same(await page(9000), [5000])
  })

  t.test('beside another condition', async (t) => {
    t.match(await ask({ mqttClientIdContain: 'till', status: 'ONLINE' }, 0, 3), { ids: [], total: 0 })
    t.match(await ask({ usernameContain: 'user-3', enabled: true }, 0, 2), { ids: [3, 10], total: 172 })
  })
})
