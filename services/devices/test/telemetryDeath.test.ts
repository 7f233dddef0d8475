/** The promise, end to end: a sample that was acknowledged to its device is in the history, whatever died meanwhile. */
import { createApi, startParts, startService, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { startBroker } from './mqttParts.js'
import { serveKeys } from './support.js'
import { dataOf, type Page, searchDevices, searchEntities } from './things.js'

const total = 1500
const inFlight = 50
const devices = 5

const parts = await startParts(t)
const keys = testGuardKeys()
await serveKeys(t, parts, keys)
const service = await startService(t, { name: 'devices', parts, env: { LOG_LEVEL: 'warn' } })
const admin = createApi(service.url).as(keys.token())
const broker = await startBroker(t, parts, keys, { field: [{ name: 'field/#', perm: 'PUB' }] })

async function valuesOf(device: string): Promise<unknown[]> {
  const key = `mqtt-device.device.${device}.n`
  const { content } = await searchEntities(admin, { keyword: key })
  const search = { entity_id: content[0]?.entity_id, start_timestamp: 0, page_size: 1000 }
  return dataOf<Page<{ value: unknown }>>(await admin.post('/entity/history/search', search)).content.map(
    ({ value }) => value
  )
}

await t.test(
  'devices, NATS and the engine die while samples come in: each acknowledged one is kept once',
  async (t) => {
    const number = { identifier: 'n', name: 'N', type: 'PROPERTY', access_mod: 'R', value_type: 'LONG' }
    const template = {
      ...{ name: 'Field', topic: 'field/{device}', auto_create: true, entities: [number] },
      timestamp: { pointer: '/at', unit: 'ms' }
    }
    dataOf(await admin.post('/mqtt-device/device-template', template))
    const client = await broker.connect('field')
    const start = Date.now() - 3_600_000
    const acknowledged = new Set<number>()
    let next = 0
    const lane = async () => {
      while (next < total) {
        const n = next++
        const payload = JSON.stringify({ n, at: start + n })
        const send = () => client.publishAsync(`field/d${n % devices}`, payload, { qos: 1 }).then(() => true)
        while (!(await send().catch(() => false)));
        acknowledged.add(n)
      }
    }
    const sending = Promise.all(Array.from({ length: inFlight }, lane))
    const deaths: [string, () => Promise<unknown>, () => Promise<unknown>][] = [
      ['devices', () => service.kill(), () => service.restart()],
      ['nats', () => parts.killNats(), () => parts.startNats()],
      ['engine', () => parts.killEngine(), () => parts.startEngine()],
      ['devices again', () => service.kill(), () => service.restart()]
    ]
    for (const [index, [name, kill, revive]] of deaths.entries()) {
      const mark = Math.floor(((index + Math.random()) * total) / deaths.length)
      await until(() => acknowledged.size >= mark, { what: `message ${mark}`, deadlineMs: 60_000 })
      await kill()
      await revive()
      t.pass(`${name} died and came back`)
    }
    await sending
    t.equal(acknowledged.size, total)
    const kept = async () => {
      const all = await Promise.all(Array.from({ length: devices }, (_, device) => valuesOf(`d${device}`)))
      return all.flat().map(Number)
    }
    const found = await until(
      async () => {
        const numbers = await kept()
        return numbers.length >= total ? numbers : undefined
      },
      { what: 'every sample', deadlineMs: 60_000, everyMs: 200 }
    )
    t.same(
      [...acknowledged].filter((n) => !found.includes(n)),
      [],
      'none is missing'
    )
    t.equal(found.length, total, 'and none is there twice')
    t.equal((await searchDevices(admin)).total, devices)
  }
)
