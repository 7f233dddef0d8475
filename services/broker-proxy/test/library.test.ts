/** /v1/files: the stored files over HTTP, and their life beside the machines' own protocol. */
import { createHash, randomBytes } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  blockSize,
  downFilter,
  type FileInfo,
  findStoredFile,
  newId,
  type StoredFileRef,
  uploadTopics,
  upTopic
} from '@fleetgate/contracts'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, type Teardown, type TestCaller, testGuardKeys, until } from '@fleetgate/testkit'
import t from 'tap'
import { createFileNames } from '../src/files/fileNames.js'
import { createFileStore } from '../src/files/fileStore.js'
import { createGraves, graceMs } from '../src/files/graves.js'
import { openObjects } from '../src/files/objects.js'
import { createUsage } from '../src/files/usage.js'
import { addUser, logIn, openBus, startProxy } from './support.js'

const keys = testGuardKeys()
const parts = await startParts(t)
const proxy = await startProxy(t, parts, keys, { FILE_QUOTA_BYTES: '5000000', MAX_FILE_BYTES: '4000000' })
await addUser(proxy, keys, { name: 'machine1' })
const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

// biome-ignore lint/suspicious/noExplicitAny: a test reads whatever the document says is there
type Json = any

async function call(
  method: string,
  path: string,
  options: { caller?: TestCaller; headers?: object; body?: Buffer } = {}
) {
  const headers = { authorization: `Bearer ${keys.token(options.caller)}`, ...options.headers }
  const body = options.body ? new Uint8Array(options.body) : null
  const reply = await fetch(proxy.url + path, { method, headers, body })
  const bytes = Buffer.from(await reply.arrayBuffer())
  const isJson = reply.headers.get('content-type')?.startsWith('application/json')
  return {
    status: reply.status,
    headers: reply.headers,
    bytes,
    body: (isJson ? JSON.parse(bytes.toString()) : {}) as Json
  }
}

const put = (name: string, body: Buffer, caller?: TestCaller, query = '') =>
  call('POST', `/v1/files?fileName=${encodeURIComponent(name)}${query}`, { ...(caller ? { caller } : {}), body })

async function machine(t: Teardown, clientId: string, username = 'machine1') {
  const client = await logIn(t, proxy, username, clientId)
  const infos: FileInfo[] = []
  client.on('message', (topic, payload) => topic.endsWith('file-info') && infos.push(JSON.parse(String(payload))))
  await client.subscribeAsync(downFilter(clientId), { qos: 1 })
  const send = (topic: string, body: Buffer | object | string) =>
    client.publishAsync(topic, Buffer.isBuffer(body) ? body : typeof body === 'string' ? body : JSON.stringify(body), {
      qos: 1
    })
  let count = 0
  return {
    infos,
    send,
    async ask(sha256: string, name?: string) {
      const requestId = `q${count++}`
      await send(upTopic(clientId, 'file-query'), { requestId, sha256, name })
      return until(() => infos.find((info) => info.requestId === requestId), { what: 'the answer' })
    }
  }
}

t.test('a file is stored, listed, read in parts and deleted', async (t) => {
  const caller = { tenantId: 'life' }
  const bytes = randomBytes(3 * blockSize + 777)
  const path = `/v1/files/${sha(bytes)}`
  const stored = await put('Plan ü.bin', bytes, caller, `&sha256=${sha(bytes)}`)
  t.match(stored, { status: 200, body: { sha256: sha(bytes), fileName: 'Plan ü.bin', size: bytes.length } })
  t.match((await put('again', bytes, caller)).body, { fileName: 'Plan ü.bin' }, 'the same content is the same file')
  await put('other.txt', Buffer.from('x'), caller)
  await put('empty', Buffer.alloc(0), caller)
  const list = (query: string) => call('GET', `/v1/files?${query}`, { caller })
  t.match((await list('')).body, { total: 3 })
  t.match(
    (await list('pageSize=1&pageNo=3')).body,
    { total: 3, list: [{ fileName: 'Plan ü.bin' }] },
    'the newest first'
  )
  t.match((await list('fileNameContain=PLAN')).body, { total: 1, list: [{ sha256: sha(bytes) }] })
  t.match((await call('GET', `${path}/details`, { caller })).body, { size: bytes.length })

  const whole = await call('GET', path, { caller })
  t.ok(whole.bytes.equals(bytes))
  t.equal(whole.headers.get('content-disposition'), "attachment; filename*=UTF-8''Plan%20%C3%BC.bin")
  t.equal((await call('GET', `/v1/files/${sha(Buffer.alloc(0))}`, { caller })).bytes.length, 0)
  for (const [range, start, end] of [
    ['bytes=0-0', 0, 1],
    [`bytes=${blockSize - 1}-${blockSize}`, blockSize - 1, blockSize + 1],
    [`bytes=${2 * blockSize}-`, 2 * blockSize, bytes.length],
    ['bytes=-5', bytes.length - 5, bytes.length],
    ['bytes=10-999999999', 10, bytes.length]
  ] as const) {
    const part = await call('GET', path, { caller, headers: { range } })
    t.equal(part.status, 206, range)
    t.equal(part.headers.get('content-range'), `bytes ${start}-${end - 1}/${bytes.length}`)
    t.ok(part.bytes.equals(bytes.subarray(start, end)), range)
  }
  t.equal((await call('GET', path, { caller, headers: { range: `bytes=${bytes.length}-` } })).status, 416)
  for (const range of ['bytes=0-1,5-6', 'lines=1-2', 'bytes=9-3', 'bytes=-', 'x'])
    t.equal((await call('GET', path, { caller, headers: { range } })).status, 200, range)
  const etag = whole.headers.get('etag') ?? ''
  t.equal((await call('GET', path, { caller, headers: { 'if-none-match': etag } })).status, 304)
  t.equal((await call('GET', path, { caller, headers: { range: 'bytes=0-0', 'if-range': '"old"' } })).status, 200)

  t.match(await call('DELETE', path, { caller }), { status: 200, body: 'success' })
  for (const method of ['GET', 'DELETE']) t.equal((await call(method, path, { caller })).status, 404, method)
  t.match((await list('')).body, { total: 2 })
})

t.test('files are of their tenant, and of those who may', async (t) => {
  const bytes = randomBytes(100)
  await put('mine', bytes, { tenantId: 'mine' })
  const path = `/v1/files/${sha(bytes)}`
  for (const [method, at] of [
    ['GET', path],
    ['GET', `${path}/details`],
    ['DELETE', path]
  ] as const)
    t.equal((await call(method, at, { caller: { tenantId: 'theirs' } })).status, 404, `${method} ${at}`)
  t.match((await call('GET', '/v1/files', { caller: { tenantId: 'theirs' } })).body, { total: 0 })
  const viewer = { tenantId: 'mine', codes: ['job.view'] }
  t.equal((await call('GET', path, { caller: viewer })).status, 200)
  t.equal((await call('DELETE', path, { caller: viewer })).status, 403)
  t.equal((await put('x', bytes, viewer)).status, 403)
  t.equal((await call('GET', path, { caller: { tenantId: 'mine', codes: ['broker.view'] } })).status, 403)
})

t.test('refuses what is wrong, and keeps nothing of it', async (t) => {
  const caller = { tenantId: 'strict' }
  const bytes = randomBytes(50)
  for (const query of [
    '',
    '?fileName=',
    '?fileName=..%2Fx',
    '?fileName=a%00b',
    `?fileName=${'x'.repeat(300)}`,
    '?fileName[$gt]='
  ]) {
    const reply = await call('POST', `/v1/files${query}`, { caller, body: bytes })
    t.match(reply, { status: 400, body: { code: 'INVALID_INPUT', field: /fileName/ } }, query.slice(0, 30))
  }
  t.match(await put('x', bytes, caller, `&sha256=${'0'.repeat(64)}`), { status: 400, body: { field: 'sha256' } })
  t.match(await put('x', bytes, caller, '&sha256=short'), { status: 400, body: { field: 'sha256' } })
  t.match(await put('x', Buffer.alloc(4_000_001), caller), { status: 400, body: { message: /at most 4000000 bytes/ } })
  const stream = new Blob([new Uint8Array(4_000_001)]).stream()
  const headers = { authorization: `Bearer ${keys.token(caller)}` }
  const chunked = { method: 'POST', headers, body: stream, duplex: 'half' }
  t.equal(
    (await fetch(`${proxy.url}/v1/files?fileName=x`, chunked as RequestInit)).status,
    413,
    'of unknown length, too'
  )
  t.equal((await call('GET', '/v1/files/none', { caller })).status, 400)
  await put('first', randomBytes(3_000_000), caller)
  t.match(await put('second', randomBytes(3_000_000), caller), { status: 409, body: { code: 'QUOTA_EXCEEDED' } })
  t.match((await call('GET', '/v1/files', { caller })).body, { total: 1 })
  t.notOk((await readdir(join(parts.dir, 'broker-proxy', 'files'))).some((name) => name.endsWith('.part')))
})

t.test('what unfinished uploads hold counts for the quota, until they are done or given up', async (t) => {
  const caller = { tenantId: 'held' }
  await addUser(proxy, keys, { tenantId: 'held', name: 'holder01' })
  const client = await machine(t, 'held-1', 'holder01')
  const [bytes, part] = [randomBytes(3_000_000), 900_000]
  const segment = (offset: number, length = part, fileId = 'f1') =>
    client.send(
      uploadTopics.segment(fileId, offset, sha(bytes.subarray(offset, offset + length))),
      bytes.subarray(offset, offset + length)
    )
  const refusals = () => client.infos.filter(({ error }) => error?.includes('at most 5000000 bytes'))
  const over = { status: 409, body: { code: 'QUOTA_EXCEEDED' } }
  await client.send(uploadTopics.init('f0'), { name: 'f', size: 2 * part })
  await client.send(uploadTopics.init('f1'), { name: 'f', size: bytes.length })
  for (const offset of [0, part, 2 * part, part, part]) await segment(offset)
  t.match(await put('x', randomBytes(2_400_000), caller), over)
  await client.send(uploadTopics.init('f2'), { name: 'f', size: 2_400_000 })
  await until(() => refusals().length === 1, { what: 'the refusal of another upload' })
  t.match(refusals(), [{ requestId: 'f2' }])

  await segment(1)
  for (const offset of [0, part]) await segment(offset, part, 'f0')
  await until(() => refusals().length === 2, { what: 'the refusal of a segment' })
  t.match(refusals()[1], { requestId: 'f0' }, 'what came twice counts once, what overlaps as it lies there')
  await client.send(uploadTopics.abort('f0'), '')
  await segment(3 * part, 300_000)
  await client.send(uploadTopics.fin('f1', bytes.length, sha(bytes)), '')
  await until(() => client.infos.some(({ requestId, stored }) => requestId === 'f1' && stored), { what: 'the file' })
  t.match(await put('x', randomBytes(1_900_000), caller), { status: 200 }, 'its segments are gone')

  await client.send(uploadTopics.init('f3'), { name: 'f', size: 90_000 })
  await client.send(uploadTopics.segment('f3', 0, sha(bytes.subarray(0, 90_000))), bytes.subarray(0, 90_000))
  t.match(await put('y', randomBytes(20_000), caller), over)
  await client.send(uploadTopics.abort('f3'), '')
  t.match(await put('y', randomBytes(20_000), caller), { status: 200 }, 'it is given up')
})

t.test('machines and people share the files', async (t) => {
  const from = await machine(t, 'lib-1')
  const bytes = randomBytes(blockSize + 5)
  t.match(await from.ask(sha(bytes)), { stored: false })
  await put('for the fleet', bytes)
  t.match(await from.ask(sha(bytes)), { stored: true, size: bytes.length })
  await call('DELETE', `/v1/files/${sha(bytes)}`)
  t.match(await from.ask(sha(bytes)), { stored: false }, 'at once, whatever was remembered')
  await put('for the fleet', bytes)
  t.match(await from.ask(sha(bytes)), { stored: true })
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_broker_proxy', log: quietLog })
  t.teardown(() => store.close())
  t.ok(await createFileStore(store).remove('t1', sha(bytes)), 'as another replica deletes it')
  await until(async () => !(await from.ask(sha(bytes))).stored, { what: 'the end of what was remembered here' })

  const result = randomBytes(200)
  const upload = async (bytes: Buffer, fileId: string) => {
    await from.send(uploadTopics.init(fileId), { name: 'result.csv', size: bytes.length })
    await from.send(uploadTopics.segment(fileId, 0, sha(bytes)), bytes)
    await from.send(uploadTopics.fin(fileId, bytes.length, sha(bytes)), '')
  }
  await upload(result, 'up-1')
  t.ok((await call('GET', `/v1/files/${sha(result)}`)).bytes.equals(result))
  t.match((await call('GET', '/v1/files?fileNameContain=result')).body, {
    list: [{ fileName: 'result.csv', size: 200 }]
  })

  await put('much', randomBytes(3_900_000))
  await from.send(uploadTopics.init('up-2'), { name: 'too much', size: 3_000_000 })
  await until(() => from.infos.some(({ error }) => /may have at most 5000000 bytes/.test(error ?? '')), {
    what: 'a refusal'
  })
})

t.test('a content goes when nobody has it any more, and not while somebody does', async (t) => {
  const bus = await openBus(t, parts)
  const objects = await openObjects(bus)
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_broker_proxy', log: quietLog })
  t.teardown(() => store.close())
  let ahead = 0
  const now = () => Date.now() + ahead
  const graves = createGraves({ store, files: createFileStore(store), objects, now, log: quietLog })
  const [lost, shared, back] = [randomBytes(100), randomBytes(100), randomBytes(100)] as [Buffer, Buffer, Buffer]
  for (const bytes of [lost, shared, back]) await put('x', bytes, { tenantId: 'a' })
  await put('x', shared, { tenantId: 'b' })
  for (const bytes of [lost, shared, back])
    t.equal((await call('DELETE', `/v1/files/${sha(bytes)}`, { caller: { tenantId: 'a' } })).status, 200)
  await put('x', back, { tenantId: 'a' })
  await graves.sweep()
  t.ok(await objects.has(sha(lost)), 'not at once: somebody may just be storing it')
  ahead = graceMs + 1
  t.ok((await graves.sweep()) >= 1)
  t.notOk(await objects.has(sha(lost)))
  t.ok((await objects.has(sha(shared))) && (await objects.has(sha(back))))
  await rm(join(parts.dir, 'broker-proxy', 'files', sha(shared)), { force: true })
  t.ok((await call('GET', `/v1/files/${sha(shared)}`, { caller: { tenantId: 'b' } })).bytes.equals(shared))
  await put('x', lost, { tenantId: 'a' })
  t.ok(await objects.has(sha(lost)), 'and it may come again')
})

t.test('chunks of which no entry tells go after a day, those of files stay', async (t) => {
  const bus = await openBus(t, parts)
  const objects = await openObjects(bus)
  const kept = randomBytes(300_000)
  await put('x', kept, { tenantId: 'orphans' })
  const subjectsOf = async () => {
    const { state } = await bus.manager.streams.info('OBJ_files', { subjects_filter: '$O.files.C.>' })
    return Object.keys(state.subjects ?? {})
  }
  const files = await subjectsOf()
  const dayMs = 86_400_000
  const orphanOf = async (begunAt: number) => {
    const subject = `$O.files.C.${newId(begunAt)}`
    for (let chunk = 0; chunk < 3; chunk++) await bus.jetstream.publish(subject, randomBytes(100))
    return subject
  }
  await orphanOf(Date.now() - 2 * dayMs)
  const young = await orphanOf(Date.now())
  t.equal(await objects.removeOrphans(Date.now() - dayMs), 1)
  t.same((await subjectsOf()).sort(), [...files, young].sort())
  t.equal(await objects.removeOrphans(Date.now() + dayMs), 1, 'files are named, however old they are')
  t.same((await subjectsOf()).sort(), files.sort())
  await rm(join(parts.dir, 'broker-proxy', 'files', sha(kept)), { force: true })
  t.ok((await call('GET', `/v1/files/${sha(kept)}`, { caller: { tenantId: 'orphans' } })).bytes.equals(kept))
})

t.test('other services find a file by its content, or the newest one of a name', async (t) => {
  const tenantId = 'named'
  const bus = await openBus(t, parts)
  const find = async (wanted: StoredFileRef, of = tenantId) =>
    (await bus.request(findStoredFile, { tenantId: of, wanted })).file
  const [one, two, three] = [1, 2, 3].map((n) => randomBytes(100 * n)) as [Buffer, Buffer, Buffer]
  const byName = async (fileName: string, clientId?: string) =>
    (await find({ fileName, ...(clientId ? { clientId } : {}) }))?.sha256
  const remove = (bytes: Buffer) => call('DELETE', `/v1/files/${sha(bytes)}`, { caller: { tenantId } })

  await put('till.zip', one, { tenantId })
  await put('till.zip', two, { tenantId })
  t.equal(await byName('till.zip'), sha(two))
  await put('till.zip', one, { tenantId })
  t.equal(await byName('till.zip'), sha(one), 'what is stored again is the newest')
  await put('same.zip', one, { tenantId })
  t.strictSame(await find({ fileName: 'same.zip' }), { sha256: sha(one), size: 100, fileName: 'same.zip' })
  t.equal(await byName('till.zip'), sha(one), 'a content has all names that it was given')
  t.strictSame(await find({ sha256: sha(two) }), { sha256: sha(two), size: 200, fileName: 'till.zip' })
  t.equal(await find({ fileName: 'till' }), undefined)
  t.equal(await find({}), undefined)
  for (const wanted of [{ fileName: 'till.zip' }, { sha256: sha(one) }])
    t.equal(await find(wanted, 'other'), undefined, 'no file of another tenant')

  await addUser(proxy, keys, { tenantId, name: 'namedMachine' })
  const till = await machine(t, 'named-till', 'namedMachine')
  await till.send(uploadTopics.init('f'), { name: 'till.zip', size: three.length })
  await till.send(uploadTopics.segment('f', 0, sha(three)), three)
  await till.send(uploadTopics.fin('f', three.length, sha(three)), '')
  t.equal(await byName('till.zip', 'named-till'), sha(three))
  t.equal(await byName('till.zip'), sha(one), 'a machine takes no name of what people stored')
  t.match(await till.ask(sha(two), 'till.zip'), { stored: true })
  t.equal(await byName('till.zip', 'named-till'), sha(two), 'content that is there needs no upload to be the newest')
  t.equal(await byName('till.zip', 'named-other'), undefined)

  t.equal((await remove(one)).status, 200)
  t.equal(await byName('till.zip'), sha(two), 'the one before, once the newest was deleted')
  t.equal(await find({ sha256: sha(one) }), undefined)
  t.equal((await remove(two)).status, 200)
  t.equal(await byName('till.zip'), undefined)
})

t.test('a name whose file went while the process died leads to nothing, and goes', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_broker_proxy', log: quietLog })
  t.teardown(() => store.close())
  const tenantId = 'orphaned'
  const names = createFileNames({ store, files: createFileStore(store), onUsed: () => undefined, now: Date.now })
  const bytes = randomBytes(10)
  await put('a', bytes, { tenantId })
  await names.note({ tenantId, sha256: 'f'.repeat(64) }, { fileName: 'a' })
  t.match(await names.find(tenantId, { fileName: 'a' }), { sha256: sha(bytes) })
  const rows = store.connection.collection('fileNames')
  t.equal(await rows.countDocuments({ tenantId }), 1)
})

t.test('a file that nobody uses goes after its time, one that is fetched stays', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_broker_proxy', log: quietLog })
  t.teardown(() => store.close())
  const files = createFileStore(store)
  const dug: string[] = []
  const gone: string[] = []
  const dayMs = 24 * 60 * 60 * 1000
  let ahead = 0
  const usage = createUsage({
    files,
    names: createFileNames({ store, files, onUsed: () => undefined, now: Date.now }),
    graves: { dig: async (sha256) => void dug.push(sha256) },
    keptMs: 30 * dayMs,
    onGone: (tenantId, sha256) => void gone.push(`${tenantId}:${sha256}`),
    now: () => Date.now() + ahead,
    log: quietLog
  })
  const caller = { tenantId: 'retention' }
  const [old, used] = [randomBytes(100), randomBytes(100)] as [Buffer, Buffer]
  for (const bytes of [old, used]) t.equal((await put('x', bytes, caller)).status, 200)
  ahead = 29 * dayMs
  await usage.sweep()
  t.equal((await call('GET', '/v1/files', { caller })).body.total, 2, 'before its time nothing goes')
  usage.note({ tenantId: 'retention', sha256: sha(used) })
  const usedAt = async () => (await files.find('retention', sha(used)))?.usedAt ?? 0
  await until(async () => (await usedAt()) > Date.now() + 28 * dayMs, { what: 'the note' })
  ahead = 31 * dayMs
  t.ok((await usage.sweep()) >= 1)
  t.match((await call('GET', '/v1/files', { caller })).body, { total: 1, list: [{ sha256: sha(used) }] })
  t.ok(gone.includes(`retention:${sha(old)}`) && dug.includes(sha(old)), 'its content is on the list of what goes')
  t.notOk(gone.includes(`retention:${sha(used)}`))
})

t.test('reading a file and storing it again are uses', async (t) => {
  const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_broker_proxy', log: quietLog })
  t.teardown(() => store.close())
  const files = createFileStore(store)
  const caller = { tenantId: 'uses' }
  const [read, again] = [randomBytes(100), randomBytes(100)] as [Buffer, Buffer]
  for (const bytes of [read, again]) await put('x', bytes, caller)
  const long = store.connection.collection('files')
  await long.updateMany({ tenantId: 'uses' }, { $set: { usedAt: 1 } })
  // What this process noted a moment ago it does not note again; another one does.
  const other = await startProxy(t, parts, keys, { DATA_DIR: `${parts.dir}/other`, BROKER_NODE: 'other@127.0.0.1' })
  const token = { authorization: `Bearer ${keys.token(caller)}` }
  await (await fetch(`${other.url}/v1/files/${sha(read)}`, { headers: token })).arrayBuffer()
  await fetch(`${other.url}/v1/files?fileName=x`, { method: 'POST', headers: token, body: new Uint8Array(again) })
  const isNoted = async (bytes: Buffer) => ((await files.find('uses', sha(bytes)))?.usedAt ?? 0) > 1
  await until(async () => (await isNoted(read)) && (await isNoted(again)), { what: 'both noted' })
})

t.test('while NATS is away a file is not taken, and says why', async (t) => {
  const caller = { tenantId: 'away' }
  const [kept, late] = [randomBytes(100), randomBytes(100)] as [Buffer, Buffer]
  t.equal((await put('kept', kept, caller)).status, 200)
  await parts.killNats()
  const refused = await put('late', late, caller)
  t.match(refused, { status: 503, body: { code: 'UNAVAILABLE' } })
  t.equal((await call('GET', `/v1/files/${sha(kept)}`, { caller })).status, 200, 'what is in the cache is there')
  await parts.startNats()
  const isTaken = async () => (await put('late', late, caller)).status === 200
  await until(isTaken, { what: 'the file to be taken', deadlineMs: 30_000, everyMs: 200 })
  t.match((await call('GET', '/v1/files', { caller })).body, { total: 2 })
})
