/** Contents that go out once for many machines, and what is sent compressed. */
import { createHash, randomBytes } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import {
  type Block,
  blockSize,
  castFilter,
  castIdOf,
  downFilter,
  type FileInfo,
  parseBlockTopic,
  uploadTopics,
  upTopic
} from '@fleetgate/contracts'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, startService, type Teardown, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { createCastStore } from '../src/files/castStore.js'
import { emqxEnv, startOnStandIn, untilListening } from './emqx/support.js'
import { addUser, logIn, openBus, type Running, startProxy } from './support.js'

t.setTimeout(120_000)

const keys = testGuardKeys()
const parts = await startParts(t)
const proxy = await startProxy(t, parts, keys, { CAST_GATHER_MS: '1000' })
await addUser(proxy, keys, { name: 'machine1' })
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const q1 = { qos: 1 } as const

async function store(running: Running, bytes: Buffer): Promise<string> {
  const headers = { authorization: `Bearer ${keys.token({ tenantId: 't1' })}` }
  const body = new Uint8Array(bytes)
  const reply = await fetch(`${running.url}/v1/files?fileName=x`, { method: 'POST', headers, body })
  if (reply.status !== 200) throw new Error(await reply.text())
  return sha(bytes)
}

async function machine(t: Teardown, running: Running, clientId: string) {
  const client = await logIn(t, running, 'machine1', clientId)
  const blocks: (Block & { payload: Buffer; isCast: boolean })[] = []
  const infos: FileInfo[] = []
  client.on('message', (topic, payload) => {
    const block = parseBlockTopic(clientId, topic)
    if (block) blocks.push({ ...block, payload, isCast: topic.startsWith('fleet/group/') })
    else infos.push(JSON.parse(String(payload)))
  })
  await client.subscribeAsync(downFilter(clientId), q1)
  const send = (channel: 'cast-join' | 'blocks', body: object) =>
    client.publishAsync(upTopic(clientId, channel), JSON.stringify(body), q1)
  return {
    client,
    blocks,
    infos,
    send,
    async join(castId: string, sha256: string, more: object = {}) {
      await client.subscribeAsync(castFilter(castId))
      await send('cast-join', { castId, sha256, ...more })
    }
  }
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index)
const indexes = (blocks: { index: number }[]) => blocks.map(({ index }) => index)
/** Several are on their way at once, and a broker may hand them on in another order. */
const inOrder = (blocks: { index: number }[]) => indexes(blocks).sort((a, b) => a - b)

t.test('many join, and each block goes out once', async (t) => {
  const castId = castIdOf({ tenantId: 't1', runId: 'many', scriptId: 1 })
  const bytes = randomBytes(5 * blockSize + 17)
  const sha256 = await store(proxy, bytes)
  const machines = await Promise.all(numbers(6).map((n) => machine(t, proxy, `many-${n}`)))
  await Promise.all(machines.map((one) => one.join(castId, sha256)))
  await until(() => machines.every(({ blocks }) => blocks.length === 6), { what: 'all blocks at all machines' })
  const late = await machine(t, proxy, 'many-late')
  await late.join(castId, sha256)
  await late.send('blocks', { sha256, blocks: [0, 5] })
  await until(() => late.blocks.length === 2, { what: 'the blocks that it asked for' })
  for (const { blocks } of machines) {
    t.strictSame(indexes(blocks), numbers(6), 'once, in order')
    t.ok(Buffer.concat(blocks.map(({ payload }) => payload)).equals(bytes))
  }
  t.ok(
    late.blocks.every(({ isCast }) => !isCast),
    'who comes late is served alone'
  )
})

t.test('a join that cannot be served is answered', async (t) => {
  const one = await machine(t, proxy, 'odd-1')
  const own = castIdOf({ tenantId: 't1', runId: 'odd', scriptId: 1 })
  const foreign = castIdOf({ tenantId: 't2', runId: 'odd', scriptId: 1 })
  const nothing = 'f'.repeat(64)
  const known = await store(proxy, Buffer.from('odd'))
  await one.send('cast-join', { castId: own, sha256: nothing })
  await one.send('cast-join', { castId: foreign, sha256: known })
  await one.send('cast-join', { castId: own, sha256: 'x' })
  await one.send('cast-join', { castId: own, sha256: known, rateLimit: -1 })
  await until(() => one.infos.length === 4, { what: 'four answers' })
  t.match(one.infos, [
    { sha256: nothing, stored: false, error: /not in the store/ },
    { error: /no cast of this tenant/ },
    { error: /sha256/ },
    { error: /rateLimit/ }
  ])
})

t.test('a member that takes nothing misses blocks, and holds up nobody', async (t) => {
  const castId = castIdOf({ tenantId: 't1', runId: 'slow', scriptId: 1 })
  const bytes = randomBytes(80 * blockSize)
  const sha256 = await store(proxy, bytes)
  const [slow, ...others] = await Promise.all(numbers(3).map((n) => machine(t, proxy, `slow-${n}`)))
  for (const one of [slow, ...others]) await one?.join(castId, sha256)
  slow?.client.stream.pause()
  await until(() => others.every(({ blocks }) => blocks.length === 80), { what: 'the whole at the others' })
  slow?.client.stream.resume()
  await slow?.send('blocks', { sha256, blocks: [79] })
  await until(() => slow?.blocks.some(({ isCast }) => !isCast), { what: 'the slow one to be served' })
  const got = new Set(indexes(slow?.blocks ?? []))
  t.ok(got.size < 80, `${got.size} of 80 blocks`)
  t.ok(slow?.client.connected)
})

t.test('what is smaller compressed comes so, to who can read it', async (t) => {
  const castId = castIdOf({ tenantId: 't1', runId: 'zip', scriptId: 1 })
  const text = Buffer.from('words that come again, '.repeat(20_000))
  const bytes = Buffer.concat([text.subarray(0, blockSize), randomBytes(1000)])
  const sha256 = await store(proxy, bytes)
  const one = await machine(t, proxy, 'zip-1')
  await one.send('blocks', { sha256, blocks: [0, 1], gzip: true })
  await one.send('blocks', { sha256, blocks: [0] })
  await until(() => one.blocks.length === 3, { what: 'three blocks' })
  const gzips = one.blocks.filter(({ isGzip }) => isGzip)
  t.strictSame(indexes(gzips), [0], 'noise comes plain, and so does what was asked for so')
  t.ok(gunzipSync(gzips[0]?.payload ?? Buffer.alloc(0)).equals(bytes.subarray(0, blockSize)))
  t.equal(gzips[0]?.blockSha256, sha(bytes.subarray(0, blockSize)), 'the sum is that of the plain bytes')

  await one.join(castId, sha256, { gzip: true })
  await until(() => one.blocks.filter(({ isCast }) => isCast).length === 2, { what: 'the cast' })
  t.strictSame(indexes(one.blocks.filter(({ isGzip, isCast }) => isGzip && isCast)), [0])
})

t.test('segments come up compressed where the upload says so', async (t) => {
  const one = await machine(t, proxy, 'up-1')
  const bytes = Buffer.from('figures of the day '.repeat(30_000))
  const part = (index: number) => bytes.subarray(index * blockSize, (index + 1) * blockSize)
  const publish = (topic: string, payload: Buffer | string) => one.client.publishAsync(topic, payload, q1)
  const init = { name: 'day', size: bytes.length, checksum: sha(bytes), encoding: 'gzip' }
  await publish(uploadTopics.init('day'), JSON.stringify(init))
  await publish(uploadTopics.segment('day', 0, sha(part(0))), part(0))
  await publish(uploadTopics.segment('day', 0, sha(part(0))), gzipSync(Buffer.alloc(20_000_000)))
  await publish(uploadTopics.segment('day', 0, sha(part(0))), gzipSync(part(1)))
  await until(() => one.infos.filter(({ error }) => error).length === 3, { what: 'three refusals' })
  t.match(one.infos, [{ error: /not gzip/ }, { error: /not gzip/ }, { error: /checksum of the segment/ }])
  for (const index of [0, 1, 2]) {
    await publish(uploadTopics.segment('day', index * blockSize, sha(part(index))), gzipSync(part(index)))
  }
  await publish(uploadTopics.fin('day', bytes.length, sha(bytes)), '')
  await until(() => one.infos.some(({ stored }) => stored), { what: 'the file' })
  await one.send('blocks', { sha256: sha(bytes), blocks: [0, 1, 2] })
  await until(() => one.blocks.length === 3, { what: 'the blocks' })
  const sorted = one.blocks.sort((a, b) => a.index - b.index)
  t.ok(Buffer.concat(sorted.map(({ payload }) => payload)).equals(bytes))
})

t.test('of two replicas that hear joins, one casts', async (t) => {
  const first = await startOnStandIn(t, { parts, keys, env: { CAST_GATHER_MS: '1500' } })
  const env = emqxEnv(first.standIn, { EMQX_REPLICA: 'other', CAST_GATHER_MS: '1500', PORT: '0' })
  await startProxy(t, parts, keys, { ...env, DATA_DIR: `${parts.dir}/other` })
  await untilListening(first.standIn.url, 'other')
  const castId = castIdOf({ tenantId: 't1', runId: 'replicas', scriptId: 1 })
  const bytes = randomBytes(4 * blockSize)
  const sha256 = await store(first, bytes)
  const machines = await Promise.all(numbers(12).map((n) => machine(t, first, `replica-${n}`)))
  await Promise.all(machines.map((one) => one.join(castId, sha256)))
  await until(() => machines.every(({ blocks }) => blocks.length >= 4), { what: 'the cast' })
  const marker = castIdOf({ tenantId: 't1', runId: 'marker', scriptId: 1 })
  const small = await store(first, Buffer.from('a later cast'))
  await Promise.all(machines.map((one) => one.join(marker, small)))
  await until(() => machines.every(({ blocks }) => blocks.at(-1)?.sha256 === small), { what: 'the later cast' })
  for (const { blocks } of machines) {
    t.strictSame(inOrder(blocks.filter((block) => block.sha256 === sha256)), numbers(4), 'each block once')
  }
})

t.test('a replica that is killed while it casts leaves the rest to the other, and nothing comes twice', async (t) => {
  const first = await startOnStandIn(t, { parts, keys, env: { CAST_GATHER_MS: '1500' } })
  const env = emqxEnv(first.standIn, { EMQX_REPLICA: 'victim', CAST_GATHER_MS: '1500' })
  // Answers for the keys of tokens.
  await openBus(t, parts, keys)
  const victim = await startService(t, { name: 'broker-proxy', parts, env })
  await untilListening(first.standIn.url, 'victim')
  const machines = await Promise.all(numbers(3).map((n) => machine(t, first, `victim-${n}`)))
  const database = await openStore({ uri: parts.mongoUri, database: 'fleetgate_broker_proxy', log: quietLog })
  t.teardown(() => database.close())
  const ownerOf = (castId: string) =>
    until(async () => (await database.connection.collection('casts').findOne({ castId }))?.owner as string, {
      what: 'the cast to be taken'
    })
  const castTo = async (run: string, bytes: Buffer) => {
    const castId = castIdOf({ tenantId: 't1', runId: `victim-${run}`, scriptId: 1 })
    const sha256 = await store(first, bytes)
    await Promise.all(machines.map((one) => one.join(castId, sha256, { rateLimit: blockSize })))
    return { sha256, bytes, owner: await ownerOf(castId) }
  }
  const blocksOf = (one: (typeof machines)[number], sha256: string) =>
    one.blocks.filter((block) => block.sha256 === sha256)

  // Contents, until each of the two has one of them to cast; at a rate that leaves time to die.
  const casts: Awaited<ReturnType<typeof castTo>>[] = []
  while (new Set(casts.map(({ owner }) => owner)).size < 2) {
    casts.push(await castTo(String(casts.length), randomBytes(6 * blockSize + 1)))
  }
  const last = casts.at(-1)?.sha256 ?? ''
  await until(() => machines.every((one) => blocksOf(one, last).length > 0), { what: 'the last cast to begin' })
  await victim.kill()
  const { owner: survivor } = await castTo('marker', Buffer.from('a later cast'))
  for (const { sha256 } of casts.filter(({ owner }) => owner === survivor)) {
    const isWhole = () => machines.every((one) => blocksOf(one, sha256).length >= 7)
    await until(isWhole, { what: 'the cast of the other', deadlineMs: 60_000 })
  }
  let asked = 0
  for (const { sha256 } of casts) {
    for (const one of machines) {
      const missing = numbers(7).filter((index) => !indexes(blocksOf(one, sha256)).includes(index))
      if (missing.length > 0) await one.send('blocks', { sha256, blocks: missing })
      asked += missing.length
    }
  }
  t.ok(asked > 0, `${asked} blocks were missed`)
  // Where a machine's questions go is settled by its id: some have waited for this.
  await victim.restart()
  const isAll = () => machines.every((one) => casts.every(({ sha256 }) => blocksOf(one, sha256).length >= 7))
  await until(isAll, { what: 'the rest', deadlineMs: 60_000 })
  for (const { sha256, bytes } of casts) {
    for (const one of machines) {
      const sorted = blocksOf(one, sha256).sort((a, b) => a.index - b.index)
      t.strictSame(indexes(sorted), numbers(7), 'each block once')
      t.ok(Buffer.concat(sorted.map(({ payload }) => payload)).equals(bytes))
    }
  }
})

t.test('the database says whose a cast is', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'casts', log: quietLog })
  t.teardown(() => store.close())
  const casts = createCastStore(store)
  await store.sync()
  const key = { tenantId: 't1', castId: 'c', sha256: 'a'.repeat(64) }
  const claim = (owner: string, now: number) => casts.claim(key, owner, { now, takenUntil: now + 100 })
  const race = await Promise.all(['a', 'b', 'c', 'd'].map((owner) => claim(owner, 1000)))
  t.equal(race.filter(Boolean).length, 1)
  t.notOk(await claim('e', 1099))
  t.ok(await claim('e', 1101), 'when its owner says nothing any more')
  await casts.keep(key, 'a', 9999)
  t.ok(await claim('f', 1300), 'an earlier owner does not hold it')
  t.ok(await casts.claim({ ...key, tenantId: 't2' }, 'g', { now: 1300, takenUntil: 1400 }), 'each tenant has its own')
})
