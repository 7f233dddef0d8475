import { createHash, randomBytes } from 'node:crypto'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { blockSize, downFilter, type FileInfo, parseBlockTopic, uploadTopics, upTopic } from '@fleetgate/contracts'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, type Teardown, testGuardKeys, until } from '@fleetgate/testkit'
import type { MqttClient } from 'mqtt'
import t from 'tap'
import { addUser, callApi, logIn, openBus, startProxy } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
let proxy = await startProxy(t, parts, keys)
const restart = (env?: NodeJS.ProcessEnv) => startProxy(t, parts, keys, env)
const cacheDir = join(parts.dir, 'broker-proxy', 'files')
await addUser(proxy, keys, { name: 'machine1' })
await addUser(proxy, keys, { tenantId: 't2', name: 'machine2' })

const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const q1 = { qos: 1 } as const

interface Machine {
  client: MqttClient
  clientId: string
  infos: FileInfo[]
  blocks: Map<string, Buffer>
}

async function machine(t: Teardown, clientId: string, username = 'machine1', at = proxy): Promise<Machine> {
  const client = await logIn(t, at, username, clientId)
  const made: Machine = { client, clientId, infos: [], blocks: new Map() }
  client.on('message', (topic, payload) => {
    const block = parseBlockTopic(clientId, topic)
    if (!block) made.infos.push(JSON.parse(String(payload)))
    else if (sha(payload) === block.blockSha256) made.blocks.set(`${block.sha256}:${block.index}`, payload)
  })
  await client.subscribeAsync(downFilter(clientId), q1)
  return made
}

let questions = 0

async function ask(from: Machine, sha256: string, fileId?: string): Promise<FileInfo> {
  const requestId = `q${++questions}`
  await from.client.publishAsync(
    upTopic(from.clientId, 'file-query'),
    JSON.stringify({ requestId, sha256, fileId }),
    q1
  )
  return until(() => from.infos.find((info) => info.requestId === requestId), { what: 'the answer' })
}

function offsetsOf(bytes: Buffer): number[] {
  return Array.from({ length: Math.ceil(bytes.length / blockSize) }, (_, index) => index * blockSize)
}

async function sendSegments(from: Machine, fileId: string, bytes: Buffer, offsets: number[]): Promise<void> {
  await Promise.all(
    offsets.map((offset) => {
      const part = bytes.subarray(offset, offset + blockSize)
      return from.client.publishAsync(uploadTopics.segment(fileId, offset, sha(part)), part, q1)
    })
  )
}

async function upload(from: Machine, fileId: string, bytes: Buffer): Promise<void> {
  await from.client.publishAsync(
    uploadTopics.init(fileId),
    JSON.stringify({ name: fileId, size: bytes.length, checksum: sha(bytes) }),
    q1
  )
  await sendSegments(from, fileId, bytes, offsetsOf(bytes))
  await from.client.publishAsync(uploadTopics.fin(fileId, bytes.length, sha(bytes)), '', q1)
}

async function download(to: Machine, sha256: string, size: number): Promise<Buffer> {
  const count = Math.ceil(size / blockSize)
  const missing = () =>
    Array.from({ length: count }, (_, index) => index).filter((index) => !to.blocks.has(`${sha256}:${index}`))
  let askedAt = 0
  await until(
    async () => {
      const wanted = missing().slice(0, 64)
      if (wanted.length > 0 && Date.now() - askedAt > 1000) {
        askedAt = Date.now()
        await to.client.publishAsync(upTopic(to.clientId, 'blocks'), JSON.stringify({ sha256, blocks: wanted }), q1)
      }
      return wanted.length === 0
    },
    { what: `${count} blocks`, deadlineMs: 20_000 }
  )
  return Buffer.concat(
    Array.from({ length: count }, (_, index) => to.blocks.get(`${sha256}:${index}`) ?? Buffer.alloc(0))
  )
}

t.test('a file goes up and comes down byte for byte', async (t) => {
  const from = await machine(t, 'up-1')
  const to = await machine(t, 'down-1')
  const bytes = randomBytes(blockSize * 5 + 12345)
  t.match(await ask(from, sha(bytes)), { stored: false, blockSize })
  await upload(from, 'file-1', bytes)
  t.match(await ask(to, sha(bytes)), { stored: true, size: bytes.length })
  t.ok((await download(to, sha(bytes), bytes.length)).equals(bytes))
})

t.test('an upload goes on after a restart in the middle', async (t) => {
  const bytes = randomBytes(blockSize * 6 + 1)
  const offsets = offsetsOf(bytes)
  const before = await machine(t, 'up-2')
  await before.client.publishAsync(uploadTopics.init('file-2'), JSON.stringify({ name: 'x', size: bytes.length }), q1)
  await sendSegments(before, 'file-2', bytes, offsets.slice(0, 4))
  await proxy.stop()
  proxy = await restart()
  const after = await machine(t, 'up-2')
  const info = await ask(after, sha(bytes), 'file-2')
  t.same(info.received, offsets.slice(0, 4))
  await sendSegments(
    after,
    'file-2',
    bytes,
    offsets.filter((offset) => !info.received?.includes(offset))
  )
  await after.client.publishAsync(uploadTopics.fin('file-2', bytes.length, sha(bytes)), '', q1)
  t.match(await ask(after, sha(bytes)), { stored: true })
  await rm(cacheDir, { recursive: true, force: true })
  await proxy.stop()
  proxy = await restart()
  t.ok(
    (await download(await machine(t, 'down-2'), sha(bytes), bytes.length)).equals(bytes),
    'also from the object store alone'
  )
})

t.test('what is wrong is told and never stored', async (t) => {
  const from = await machine(t, 'up-3')
  const bytes = randomBytes(1000)
  const errors = () => from.infos.filter(({ error }) => error)
  const publish = (topic: string, payload: Buffer | string) => from.client.publishAsync(topic, payload, q1)
  await publish(uploadTopics.segment('file-3', 0, sha(bytes)), bytes)
  await publish(uploadTopics.init('file-3'), JSON.stringify({ name: 'x', size: 1000 }))
  await publish(uploadTopics.segment('file-3', 0, sha(Buffer.from('other'))), bytes)
  await publish(uploadTopics.segment('file-3', 500, sha(bytes)), bytes)
  await publish(uploadTopics.fin('file-3', 1000, sha(bytes)), '')
  await publish(uploadTopics.init('file-3b'), '{"size":-1}')
  await publish(uploadTopics.init('file-3b'), 'not json')
  await publish('$file/file-3/nonsense', '')
  await until(() => errors().length === 7, { what: 'seven errors' })
  t.match(errors()[0], { requestId: 'file-3', stored: false, error: /init/ })
  t.match(errors()[3], { requestId: 'file-3', sha256: sha(bytes), error: /missing from byte 0/ })
  t.match(await ask(from, sha(bytes), 'file-3'), { stored: false, received: [] })
  await publish(uploadTopics.segment('file-3', 0, sha(bytes)), bytes)
  await publish(uploadTopics.fin('file-3', 1000, sha(Buffer.from('other'))), '')
  t.match(await ask(from, sha(bytes), 'file-3'), { stored: false, received: [] }, 'with a wrong whole all segments go')
  await publish(uploadTopics.segment('file-3', 0, sha(bytes)), bytes)
  await publish(uploadTopics.fin('file-3', 1000, sha(bytes)), '')
  t.match(await ask(from, sha(bytes)), { stored: true })
  t.ok(from.client.connected)
})

t.test('segments that overlap make no more of a file than it is, those that come again count once', async (t) => {
  let from = await machine(t, 'up-overlap')
  const bytes = randomBytes(2_000_000)
  const length = 300_000
  const publish = (topic: string, payload: Buffer | string) => from.client.publishAsync(topic, payload, q1)
  const send = (offset: number) => publish(`$file/overlap/${offset}`, bytes.subarray(offset, offset + length))
  const refusals = () => from.infos.filter(({ error }) => error?.includes('overlap')).length
  const init = () => publish(uploadTopics.init('overlap'), JSON.stringify({ name: 'x', size: bytes.length }))
  await init()
  for (let round = 0; round < 12; round++) await send(0)
  for (let offset = 1; offset < 5; offset++) await send(offset)
  await proxy.stop()
  proxy = await restart()
  from = await machine(t, 'up-overlap')
  for (let offset = 5; offset < 10; offset++) await send(offset)
  t.strictSame((await ask(from, sha(bytes), 'overlap')).received, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  t.equal(refusals(), 0)
  for (let offset = 10; offset < 13; offset++) await send(offset)
  await until(() => refusals() === 3, { what: 'the refusals' })
  t.equal((await ask(from, sha(bytes), 'overlap')).received?.length, 10)
  await send(5)
  t.equal(refusals(), 3, 'what is there already may come again')

  await from.client.endAsync()
  const replica = await restart({ BROKER_NODE: 'other@127.0.0.1', DATA_DIR: join(parts.dir, 'other') })
  from = await machine(t, 'up-overlap', 'machine1', replica)
  await send(10)
  await until(() => refusals() === 1, { what: 'the refusal of a replica' })
  await from.client.endAsync()
  from = await machine(t, 'up-overlap')
  await publish(uploadTopics.abort('overlap'), '')
  await init()
  for (let offset = 0; offset < bytes.length; offset += length) await send(offset)
  await publish(uploadTopics.fin('overlap', bytes.length, sha(bytes)), '')
  t.match(await ask(from, sha(bytes)), { stored: true }, 'begun anew')
  t.equal(refusals(), 0)
  await replica.stop()
})

t.test('a process that was killed between counting and storing takes nothing from the upload', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_broker_proxy', log: quietLog })
  t.teardown(() => store.close())
  const from = await machine(t, 'up-killed')
  const bytes = randomBytes(blockSize * 4)
  await from.client.publishAsync(
    uploadTopics.init('killed'),
    JSON.stringify({ name: 'x', size: bytes.length, checksum: sha(bytes) }),
    q1
  )
  await sendSegments(from, 'killed', bytes, [0])
  const uploads = store.connection.collection('uploads')
  t.match(await uploads.findOne({ fileId: 'killed' }), { held: blockSize })
  await uploads.updateOne({ fileId: 'killed' }, { $inc: { held: 100_000_000 } })
  await sendSegments(from, 'killed', bytes, offsetsOf(bytes).slice(1))
  t.match(await uploads.findOne({ fileId: 'killed' }), { held: bytes.length })
  await from.client.publishAsync(uploadTopics.fin('killed', bytes.length, sha(bytes)), '', q1)
  t.match(await ask(from, sha(bytes)), { stored: true })
  t.notOk(from.infos.some(({ error }) => error))
})

t.test('everything may be said twice', async (t) => {
  const from = await machine(t, 'up-4')
  const bytes = randomBytes(blockSize + 5)
  await upload(from, 'file-4', bytes)
  await upload(from, 'file-4', bytes)
  await from.client.publishAsync(uploadTopics.fin('file-4', bytes.length, sha(bytes)), '', q1)
  t.match(await ask(from, sha(bytes)), { stored: true })
  t.notOk(from.infos.some(({ error }) => error))
})

t.test('a fileId that is used again names a new file', async (t) => {
  const from = await machine(t, 'up-9')
  const publish = (topic: string, payload: string | Buffer) => from.client.publishAsync(topic, payload, q1)
  for (const text of ['monday', 'sunday']) {
    await publish(uploadTopics.init('daily'), JSON.stringify({ name: 'daily', size: 6 }))
    await publish('$file/daily/0', Buffer.from(text))
    await publish('$file/daily/fin/6', '')
    t.match(await ask(from, sha(Buffer.from(text))), { stored: true }, text)
  }
  const bytes = randomBytes(100)
  await upload(from, 'file-9', bytes)
  const api = callApi(proxy, keys)
  t.equal((await api.delete(`/v1/files/${sha(bytes)}`)).status, 200)
  await publish('$file/file-9/fin/100', '')
  await until(() => from.infos.some(({ error }) => error?.includes('missing')), { what: 'the refusal of a fin alone' })
  await upload(from, 'file-9', bytes)
  t.match(await ask(from, sha(bytes)), { stored: true }, 'deleted meanwhile, and sent again')
})

t.test('an empty file is a file', async (t) => {
  const from = await machine(t, 'up-5')
  const nothing = Buffer.alloc(0)
  await upload(from, 'file-5', nothing)
  t.match(await ask(from, sha(nothing)), { stored: true, size: 0 })
})

t.test('an aborted upload is forgotten', async (t) => {
  const from = await machine(t, 'up-6')
  const bytes = randomBytes(10)
  await from.client.publishAsync(uploadTopics.init('file-6'), JSON.stringify({ name: 'x', size: 10 }), q1)
  await sendSegments(from, 'file-6', bytes, [0])
  await from.client.publishAsync(uploadTopics.abort('file-6'), '', q1)
  t.equal((await ask(from, sha(bytes), 'file-6')).received, undefined)
})

t.test('the same content from two clients at once is fine', async (t) => {
  const [one, two] = [await machine(t, 'up-7'), await machine(t, 'up-8')]
  const bytes = randomBytes(blockSize * 3)
  await Promise.all([upload(one, 'file-7', bytes), upload(two, 'file-8', bytes)])
  t.match(await ask(one, sha(bytes)), { stored: true })
  t.ok((await download(two, sha(bytes), bytes.length)).equals(bytes))
  t.notOk([...one.infos, ...two.infos].some(({ error }) => error))
})

t.test('a file belongs to its tenant', async (t) => {
  const from = await machine(t, 'up-9')
  const foreign = await machine(t, 'foreign-1', 'machine2')
  const bytes = randomBytes(2000)
  await upload(from, 'file-9', bytes)
  t.match(await ask(foreign, sha(bytes), 'file-9'), { stored: false })
  await foreign.client.publishAsync(
    upTopic('foreign-1', 'blocks'),
    JSON.stringify({ sha256: sha(bytes), blocks: [0] }),
    q1
  )
  await until(() => foreign.infos.some(({ error }) => error), { what: 'the refusal' })
  t.equal(foreign.blocks.size, 0)
  await upload(foreign, 'file-9', bytes)
  t.match(await ask(foreign, sha(bytes)), { stored: true }, 'until it has sent the content itself')
})

t.test('blocks that cannot be are refused', async (t) => {
  const from = await machine(t, 'up-10')
  const bytes = randomBytes(100)
  await upload(from, 'file-10', bytes)
  for (const request of [
    { sha256: sha(bytes), blocks: [1] },
    { sha256: sha(bytes), blocks: [] },
    { sha256: '../../etc/passwd', blocks: [0] },
    'x'
  ]) {
    const before = from.infos.length
    await from.client.publishAsync(upTopic('up-10', 'blocks'), JSON.stringify(request), q1)
    await until(() => from.infos.length > before, { what: 'the refusal' })
    t.ok(from.infos.at(-1)?.error)
  }
})

t.test('a damaged cache heals from the object store', async (t) => {
  const from = await machine(t, 'up-11')
  const bytes = randomBytes(blockSize * 2)
  await upload(from, 'file-11', bytes)
  await proxy.stop()
  await writeFile(join(cacheDir, sha(bytes)), 'cut short')
  proxy = await restart()
  t.ok((await download(await machine(t, 'down-11'), sha(bytes), bytes.length)).equals(bytes))
})

t.test('the cache keeps to its size', async (t) => {
  await proxy.stop()
  proxy = await restart({ CACHE_BYTES: String(blockSize * 4) })
  const from = await machine(t, 'up-12')
  const files = [1, 2, 3].map(() => randomBytes(blockSize * 2))
  for (const [index, bytes] of files.entries()) await upload(from, `file-12-${index}`, bytes)
  await until(async () => (await readdir(cacheDir)).length <= 2, { what: 'two files in the cache' })
  const [first] = files as [Buffer]
  t.ok((await download(from, sha(first), first.length)).equals(first), 'what was dropped is fetched again')
})

t.test('many clients fetch the same file at once', async (t) => {
  const from = await machine(t, 'up-13')
  const bytes = randomBytes(blockSize * 4)
  await upload(from, 'file-13', bytes)
  await rm(join(cacheDir, sha(bytes)), { force: true })
  const all = await Promise.all(Array.from({ length: 40 }, (_, index) => machine(t, `crowd-${index}`)))
  const copies = await Promise.all(all.map((to) => download(to, sha(bytes), bytes.length)))
  t.ok(copies.every((copy) => copy.equals(bytes)))
})

t.test('the stored object is readable with the standard client', async (t) => {
  const from = await machine(t, 'up-14')
  const bytes = randomBytes(blockSize + 77)
  await upload(from, 'file-14', bytes)
  const bus = await openBus(t, parts)
  const store = await bus.jetstream.views.os('files')
  t.ok(Buffer.from((await store.getBlob(sha(bytes))) ?? []).equals(bytes))
})
