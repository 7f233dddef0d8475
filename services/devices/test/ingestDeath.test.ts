/** Values brought over REST are written in several places: whatever dies between, all of it is there in the end, or none. */
import { createApi, createKillAtWrite, startParts, startService, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { serveKeys } from './support.js'
import { addEntity, addPing, dataOf, type Page, searchEntities } from './things.js'

const parts = await startParts(t)
const keys = testGuardKeys()
await serveKeys(t, parts, keys)
const death = createKillAtWrite(parts)
const env = { LOG_LEVEL: 'warn', HISTORY_DAYS: '0', SWEEP_MS: '500', ...death.env }
const service = await startService(t, { name: 'devices', parts, env })
const admin = createApi(service.url).as(keys.token())

async function historyOf(entity_id: string): Promise<unknown[]> {
  const page = dataOf<Page<{ value: unknown }>>(await admin.post('/entity/history/search', { entity_id }))
  return page.content.map(({ value }) => value)
}

async function latestOf(id: string): Promise<unknown> {
  return dataOf<{ value?: unknown }>(await admin.get(`/entity/${id}/status`)).value
}

/** Asks, dies on the way, and comes back. */
async function dieAfter(count: number, collection: string, ask: () => Promise<unknown>): Promise<void> {
  death.set(count, collection)
  await t.rejects(ask(), `no answer: it died after write ${count} to ${collection}`)
  await until(() => !death.isSet(), { what: 'the death' })
  await service.restart()
}

await t.test('killed between the history and the latest values, both tell the same in the end', async (t) => {
  const ids = await Promise.all([1, 2, 3].map(() => addEntity(admin)))
  const samplesAt = (timestamp: number, value: number) => ids.map((entity_id) => ({ entity_id, value, timestamp }))
  const ingest = (samples: object[]) => admin.post<{ data: object }>('/entity/ingest', { samples })
  dataOf(await ingest(samplesAt(1000, 1)))
  await dieAfter(1, 'history', () => ingest(samplesAt(2000, 2)))
  const isWhole = async () => {
    const latest = await Promise.all(ids.map(latestOf))
    return latest.every((value) => value === 2)
  }
  await until(isWhole, { what: 'the latest values', deadlineMs: 90_000 })
  for (const id of ids) t.same(await historyOf(id), [2, 1])
})

await t.test('killed before the first of them is in the history, none is missing; what came later stays', async (t) => {
  const [first, second] = [await addEntity(admin), await addEntity(admin)]
  const ingest = (samples: object[]) => admin.post<{ data: object }>('/entity/ingest', { samples })
  const old = [first, second].map((entity_id) => ({ entity_id, value: 1, timestamp: 1000 }))
  await dieAfter(1, 'recordings', () => ingest(old))
  dataOf(await ingest([{ entity_id: first, value: 7, timestamp: 1000 }]))
  await until(async () => (await latestOf(second)) === 1, { what: 'what was begun', deadlineMs: 90_000 })
  t.same(await historyOf(first), [7], 'brought later, for the same moment')
  t.equal(await latestOf(first), 7)
  t.same(await historyOf(second), [1])
})

await t.test('a property that was written is so wherever one looks', async (t) => {
  const id = await addEntity(admin, { identifier: 'door', value_type: 'LONG' })
  const write = () =>
    admin.post('/entity/property/update', { exchange: { 'system.integration.door': '9007199254740993' } })
  await dieAfter(1, 'history', write)
  const value = await until(() => latestOf(id), { what: 'the latest value', deadlineMs: 90_000 })
  t.equal(value, '9007199254740993', 'with all its digits')
  t.same(await historyOf(id), ['9007199254740993'])
})

await t.test('killed while it asks the machines of ping, it says no longer that it does', async (t) => {
  // Of a network for documents: nobody answers there.
  await addPing(admin, 'silent', '203.0.113.7')
  const key = 'ping.integration.detect_status'
  const id = (await searchEntities(admin, { entity_keys: [key] })).content[0]?.entity_id ?? ''
  await dieAfter(1, 'history', () =>
    admin.post('/entity/service/call', { exchange: { 'ping.integration.benchmark': {} } })
  )
  await until(async () => (await historyOf(id))[0] === '0', { what: 'the end of the detection', deadlineMs: 90_000 })
  t.same(await historyOf(id), ['0', '1'])
  t.equal(await latestOf(id), '0')
})
