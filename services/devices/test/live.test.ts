import type { AddressInfo } from 'node:net'
import { connectBus, listGrants, listPublicKeys, roleGrantsChanged, userRevoked, valuesChanged } from '@fleetgate/kit'
import { quietLog, startParts, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { createConnection } from '../src/live/connection.js'
import { createTellValues } from '../src/live/tellValues.js'
import { startDevicesFor } from './support.js'
import { addEntity } from './things.js'

interface Frame {
  event_type: string
  payload: { entity_key: string[]; values?: Record<string, { value: unknown; value_type: string; timestamp: string }> }
}

const parts = await startParts(t)
const keys = testGuardKeys()
const auth = await connectBus({ name: 'auth', url: parts.natsUrl, log: quietLog })
t.teardown(() => auth.close())
const granted = new Map<string, string[]>()
await auth.serve(listPublicKeys, async () => ({ keys: keys.keys }))
await auth.serve(listGrants, async ({ userId }) => ({
  all: false,
  resources: (granted.get(userId) ?? []).map((id) => ({ id, type: 'ENTITY' as const })),
  roleIds: [`r${userId}`]
}))

const api = await startDevicesFor(t, parts)
const replica = await startDevicesFor(t, parts, { WEBSOCKET_PING_MS: '500' })
const admin = replica.as(keys.token())
const codes = ['dashboard.view']
const nobody = { userId: '1', tenantId: 't1', email: '', nickname: '', version: 0, codes: new Set<string>() }

async function open(token: string, { at = api, ...options }: { at?: typeof api; autoPong?: boolean } = {}) {
  const frames: Frame[] = []
  const query = new URLSearchParams({ Authorization: `Bearer ${token}` })
  const socket = new WebSocket(`${at.baseUrl.replace('http', 'ws')}/websocket?${query}`, options)
  let closed: { code: number; at: number } | undefined
  socket.on('message', (text) => void frames.push(JSON.parse(String(text)) as Frame))
  socket.on('close', (code) => {
    closed = { code, at: Date.now() }
  })
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  t.teardown(() => socket.terminate())
  const say = (event_type: string, payload: unknown) => socket.send(JSON.stringify({ event_type, payload }))
  return { socket, frames, say, closed: () => closed }
}

let written = 0
async function write(key: string): Promise<number> {
  written += 1
  const reply = await admin.post('/entity/property/update', { exchange: { [key]: written } })
  if (reply.status !== 200) throw new Error(reply.text)
  return written
}

/** Subscriptions are not acknowledged, so values are written until one is heard. */
async function hears({ frames }: { frames: Frame[] }, key: string): Promise<Frame> {
  return until(
    async () => {
      const found = frames.find(({ payload }) => payload.entity_key?.includes(key))
      if (!found) await write(key)
      return found
    },
    { what: `news of ${key}`, everyMs: 50 }
  )
}

const [first, second] = ['live1', 'live2'].map((name) => `system.integration.${name}`) as [string, string]
const firstId = await addEntity(admin, { identifier: 'live1' })
await addEntity(admin, { identifier: 'live2' })

await t.test('echoes heartbeats, as they came', async (t) => {
  const { frames, say } = await open(keys.token())
  say('Heartbeat', 'ping')
  await until(() => frames.length === 1, { what: 'the echo' })
  t.same(frames[0], { event_type: 'Heartbeat', payload: 'ping' })
})

await t.test('pushes keys that were written on another replica, each connection its own', async (t) => {
  const [one, two] = [await open(keys.token()), await open(keys.token())]
  one.say('exchange', { entity_key: [first] })
  two.say('Exchange', { entity_key: [second], with_values: true })
  t.same(await hears(one, first), { event_type: 'Exchange', payload: { entity_key: [first] } })
  const { payload } = await hears(two, second)
  t.match(payload.values?.[second], { value: Number, value_type: 'DOUBLE', timestamp: /^\d{13}$/ })
  one.say('Exchange', { entity_key: [second] })
  one.frames.length = 0
  await hears(one, second)
  one.frames.length = 0
  two.frames.length = 0
  await write(first)
  await write(second)
  await until(() => one.frames.length > 0 && two.frames.length > 0, { what: 'the second' })
  t.notOk(
    [...one.frames, ...two.frames].some(({ payload }) => payload.entity_key.includes(first)),
    'replaced'
  )
})

await t.test('each of many values of one moment is told to who wants values, the key once to others', async (t) => {
  const [values, keyOnly] = [await open(keys.token()), await open(keys.token())]
  values.say('Exchange', { entity_key: [second], with_values: true })
  keyOnly.say('Exchange', { entity_key: [second] })
  await hears(values, second)
  await hears(keyOnly, second)
  const heard = () => values.frames.map(({ payload }) => Number(payload.values?.[second]?.value))
  const marks = Array.from({ length: 100 }, (_, i) => 10_000 + i)
  const before = keyOnly.frames.length
  const at = Date.now() + 1000
  const samples = marks.map((value, i) => ({ entity_key: second, value, timestamp: at + i }))
  t.equal((await admin.post('/entity/ingest', { samples })).status, 200)
  await until(() => heard().includes(marks.at(-1) ?? 0), { what: 'the last of them' })
  t.same(
    heard().filter((value) => value >= 10_000),
    marks
  )
  await until(() => keyOnly.frames.length > before, { what: 'the key' })
  t.ok(keyOnly.frames.length - before < marks.length, 'put together')
})

await t.test('many long values are told, in as many messages as they need', async (t) => {
  const heard: string[] = []
  const listening = await auth.listen(valuesChanged, 'long', {
    handle: ({ values }) => void heard.push(...values.map(({ key }) => key))
  })
  t.teardown(() => listening.stop())
  const samples = Array.from({ length: 400 }, (_, i) => {
    const own = { entityId: String(i), key: `k${i}`, valueType: 'STRING' as const, at: i, hasLatest: true }
    return { ...own, value: '"\u0001'.repeat(2048) }
  })
  createTellValues({ bus: auth, log: quietLog })('long', samples)
  await until(() => heard.length === 400, { what: 'all of them', deadlineMs: 20_000 })
  t.equal(new Set(heard).size, 400)
})

await t.test('answers what cannot be read, and goes on', async (t) => {
  const { socket, frames, say } = await open(keys.token())
  socket.send('{')
  socket.send(Buffer.from([1]))
  say('Exchange', { entity_key: 'x' })
  say('Exchange', { entity_key: [{ $gt: '' }] })
  await until(() => frames.length === 4, { what: 'four answers' })
  t.ok(frames.every(({ event_type }) => event_type === 'Error'))
  t.match(frames[2], { payload: { error_code: 'parameter_validation_failed', error_message: /^entity_key/ } })
  say('Unknown', {})
  say('Heartbeat', 'ping')
  await until(() => frames.length === 5, { what: 'the echo' })
})

await t.test('refuses the upgrade without a good token, and on other paths', async (t) => {
  const base = api.baseUrl.replace('http', 'ws')
  for (const [path, status] of [
    ['/websocket', 401],
    ['/websocket?Authorization=nonsense', 401],
    [`/websocket?Authorization=${keys.token({ expiresIn: -5 })}`, 401],
    [`/websocket/x?Authorization=${keys.token()}`, 404]
  ] as const) {
    const socket = new WebSocket(base + path)
    const message = await new Promise<string>((resolve) => socket.once('error', ({ message }) => resolve(message)))
    t.match(message, String(status))
  }
})

await t.test('ends when the token expires, and within a second when it is revoked', async (t) => {
  const short = await open(keys.token({ expiresIn: 2 }))
  const revoked = await open(keys.token({ userId: '66', codes }))
  const others = await open(keys.token({ userId: '67', codes }))
  await auth.publish(userRevoked, { userId: '66', tenantId: 't1', minVersion: 2, at: Date.now() })
  await until(() => revoked.closed(), { what: 'the end' })
  t.equal(revoked.closed()?.code, 1008)
  await until(() => short.closed(), { what: 'the other end' })
  t.equal(short.closed()?.code, 1008)
  t.notOk(others.closed())
})

await t.test('pushes what is granted only, and follows the grants', async (t) => {
  granted.set('70', [firstId])
  const member = await open(keys.token({ userId: '70', codes }))
  const foreign = await open(keys.token({ tenantId: 't2' }))
  const device = 'ping.device.10_0_0_1.status'
  const form = { 'ping.integration.add_device.ip': '10.0.0.1' }
  await admin.post('/device', { name: 'P', integration: 'ping', param_entities: form })
  const report = () => admin.post('/entity/ingest', { samples: [{ entity_key: device, value: 1 }] })
  const watcher = await open(keys.token())
  watcher.say('Exchange', { entity_key: [device] })
  member.say('Exchange', { entity_key: [first, device] })
  foreign.say('Exchange', { entity_key: [first, device] })
  await hears(member, first)
  await until(async () => (await report()) && watcher.frames.length > 0, { what: 'the watcher', everyMs: 50 })
  t.notOk(
    member.frames.some(({ payload }) => payload.entity_key.includes(device)),
    'not granted'
  )
  t.equal(foreign.frames.length, 0, 'another tenant')
  const [status] = (
    await admin.post<{ data: { content: { entity_id: string }[] } }>('/entity/search', { keyword: device })
  ).body.data.content
  granted.set('70', [firstId, String(status?.entity_id)])
  await auth.publish(roleGrantsChanged, { tenantId: 't1', roleId: 'r70', at: Date.now() })
  const isHeard = () => member.frames.some(({ payload }) => payload.entity_key.includes(device))
  await until(async () => (await report()) && isHeard(), { what: 'the new grant', everyMs: 50 })
  granted.set('70', [firstId])
  await auth.publish(roleGrantsChanged, { tenantId: 't1', roleId: 'r70', at: Date.now() })
  await until(
    async () => {
      member.frames.length = 0
      watcher.frames.length = 0
      await report()
      await until(() => watcher.frames.length > 0, { what: 'the watcher' })
      await hears(member, first)
      return !isHeard()
    },
    { what: 'the grant to go', everyMs: 50 }
  )
})

await t.test('a socket that takes nothing holds the newest of each key, and gets those when it does', async (t) => {
  const many = Array.from({ length: 180 }, (_, index) => `slow${index}`)
  for (const identifier of many) await addEntity(admin, { identifier, value_type: 'STRING' })
  const names = many.map((name) => `system.integration.${name}`)
  const slow = await open(keys.token())
  const quick = await open(keys.token())
  for (const { say } of [slow, quick]) say('Exchange', { entity_key: names, with_values: true })
  const send = (mark: string) =>
    admin.post('/entity/ingest', {
      samples: names.map((entity_key) => ({ entity_key, value: `${mark}:`.padEnd(4000, 'x') }))
    })
  await until(async () => (await send('begin')) && slow.frames.length > 0 && quick.frames.length > 0, {
    what: 'both subscriptions',
    everyMs: 100
  })
  slow.socket.pause()
  const rounds = 20
  for (let round = 1; round <= rounds; round += 1) await send(String(round))
  const newest = (frames: Frame[]) => {
    const values = new Map<string, unknown>()
    for (const { payload } of frames)
      for (const [key, { value }] of Object.entries(payload.values ?? {})) values.set(key, value)
    return [...values.values()].filter((value) => String(value).startsWith(`${rounds}:`)).length
  }
  await until(() => newest(quick.frames) === names.length, { what: 'the quick one' })
  slow.socket.resume()
  await until(() => newest(slow.frames) === names.length, { what: 'the slow one' })
  const valuesOf = (frames: Frame[]) => frames.reduce((sum, { payload }) => sum + (payload.entity_key?.length ?? 0), 0)
  t.ok(valuesOf(slow.frames) < valuesOf(quick.frames), 'what was overtaken was not kept for it')
})

await t.test('who asks and takes no answers is not answered without bound, and heard again later', async (t) => {
  const { socket, frames, say } = await open(keys.token())
  socket.pause()
  const asked = 120
  for (let i = 0; i < asked; i += 1) say('Heartbeat', 'x'.repeat(400_000))
  await until(() => socket.bufferedAmount === 0, { what: 'all of it to be sent' })
  socket.resume()
  await until(
    () => {
      say('Heartbeat', 'again')
      return frames.some(({ payload }) => (payload as unknown) === 'again')
    },
    { what: 'an answer', everyMs: 100 }
  )
  t.ok(frames.filter(({ payload }) => String(payload).length > 1000).length < asked / 2)
})

await t.test('however fast a client changes its mind, one question is asked at a time', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  let asking = 0
  let most = 0
  const heard: string[][] = []
  server.on('connection', (socket) => {
    createConnection({
      socket,
      caller: { ...nobody, isSuperAdmin: true },
      feeds: { set: async (_tenant, _listener, found) => void heard.push([...found]), close: async () => {} },
      identify: () => ({ ...nobody, isSuperAdmin: true }),
      async visible(wanted) {
        asking += 1
        most = Math.max(most, asking)
        await new Promise((resolve) => setTimeout(resolve, 20))
        asking -= 1
        return wanted
      },
      rightsOf: async () => [],
      log: quietLog,
      now: Date.now
    })
  })
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  await new Promise((resolve) => client.once('open', resolve))
  t.teardown(() => client.terminate())
  for (let i = 0; i < 100; i += 1) {
    client.send(JSON.stringify({ event_type: 'Exchange', payload: { entity_key: [`k${i}`] } }))
  }
  await until(() => heard.at(-1)?.[0] === 'k99', { what: 'what was wanted last' })
  t.equal(most, 1)
})

await t.test('a peer that is gone is ended, one that answers stays', async (t) => {
  const silent = await open(keys.token(), { at: replica, autoPong: false })
  const alive = await open(keys.token(), { at: replica })
  await until(() => silent.closed(), { what: 'the end' })
  t.notOk(alive.closed())
})

await t.test('news missed while NATS was away are made good', async () => {
  const one = await open(keys.token())
  one.say('Exchange', { entity_key: [first] })
  await hears(one, first)
  one.frames.length = 0
  await parts.killNats()
  await parts.startNats()
  await until(() => one.frames.some(({ payload }) => payload.entity_key.includes(first)), { what: 'the key, unasked' })
})
