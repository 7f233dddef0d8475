import { createHash } from 'node:crypto'
import { AppError, blockSize } from '@fleetgate/contracts'
import { until } from '@fleetgate/testkit'
import t from 'tap'
import type { Session } from '../src/broker/brokerDriver.js'
import { createSessionBook } from '../src/broker/embedded/sessionBook.js'
import { createLane } from '../src/broker/lane.js'
import { createOrderedList } from '../src/broker/orderedList.js'
import { covers, isFilter, isSaneTopic, matches, parseShared } from '../src/broker/topics.js'
import { createOwners } from '../src/clients/owners.js'
import { createRoster } from '../src/clients/roster.js'
import { createFileSum } from '../src/files/assemble.js'
import { createDownloads } from '../src/files/downloads.js'
import type { StoredFile } from '../src/files/fileStore.js'
import { parseUploadTopic } from '../src/files/uploadTopic.js'
import { uptime } from '../src/nodes/emq.js'
import { createReadings } from '../src/readings.js'
import { isAddressList, isListed } from '../src/users/addressList.js'
import { createLoginThrottle } from '../src/users/loginThrottle.js'
import { maySubscribeTo, mayUse, type Permissions } from '../src/users/permissions.js'

t.test('topic filters match as MQTT says', async (t) => {
  t.ok(matches('a/+/c', 'a/b/c'))
  t.ok(matches('a/#', 'a'), '# matches the parent level too')
  t.ok(matches('a/#', 'a/b/c'))
  t.ok(matches('+/+', '/x'), 'an empty level is a level')
  t.notOk(matches('a/+', 'a/b/c'))
  t.notOk(matches('a/b', 'a'))
  t.notOk(matches('#', '$SYS/x'))
  t.notOk(matches('+/x', '$SYS/x'))
})

t.test('a filter covers another one only if it matches everything of it', async (t) => {
  t.ok(covers('#', 'a/+/b'))
  t.ok(covers('a/#', 'a/+/c'))
  t.ok(covers('a/+', 'a/b'))
  t.notOk(covers('a/+', 'a/#'))
  t.notOk(covers('a/b', 'a/+'))
  t.notOk(covers('a/+/c', 'a/b'))
  t.notOk(covers('fleet/me/down/#', 'fleet/+/down/#'))
})

t.test('topics of insane size are refused', async (t) => {
  t.ok(isSaneTopic('a/b'))
  t.notOk(isSaneTopic(''))
  t.notOk(isSaneTopic('a\0b'))
  t.notOk(isSaneTopic('ä'.repeat(2049)))
  t.notOk(isSaneTopic('/'.repeat(64)))
})

t.test('permissions follow RocketMQ: explicit beats default, DENY wins, missing is DENY', async (t) => {
  const user = (part: Partial<Permissions>): Permissions => ({ admin: false, topicPerms: [], ...part })
  t.notOk(mayUse(user({}), 'PUB', 'a'), 'nothing said')
  t.ok(mayUse(user({ defaultTopicPerm: 'PUB|SUB' }), 'SUB', 'a'))
  t.notOk(mayUse(user({ defaultTopicPerm: 'SUB' }), 'PUB', 'a'))
  const mixed = user({
    defaultTopicPerm: 'PUB|SUB',
    topicPerms: [
      { name: 'only/read', perm: 'SUB' },
      { name: 'tree/#', perm: 'PUB|SUB' },
      { name: 'tree/secret', perm: 'DENY' }
    ]
  })
  t.notOk(mayUse(mixed, 'PUB', 'only/read'), 'the entry replaces the default')
  t.ok(mayUse(mixed, 'PUB', 'tree/x'))
  t.notOk(mayUse(mixed, 'PUB', 'tree/secret'), 'DENY wins over a wildcard that allows')
  const admin = user({ admin: true, topicPerms: [{ name: 'x', perm: 'DENY' }] })
  t.ok(mayUse(admin, 'PUB', 'anything'))
  t.notOk(mayUse(admin, 'PUB', 'x'))
  t.ok(maySubscribeTo(admin, '#'), 'the denied part is held back message by message')
  t.notOk(maySubscribeTo(user({ topicPerms: [{ name: 'a/b', perm: 'SUB' }] }), 'a/#'))
  t.ok(maySubscribeTo(user({ topicPerms: [{ name: 'a/+', perm: 'SUB' }] }), 'a/b'))
})

t.test('address lists know octets and stars', async (t) => {
  t.ok(isAddressList(''))
  t.ok(isAddressList('10.0.0.1, 192.168.*.*'))
  for (const bad of ['300.1.1.1', '1.2.3', '1.2.3.4.', 'a.b.c.d', '1.2.3.4/8', '1.2.3.4.5'])
    t.notOk(isAddressList(bad), bad)
  t.ok(isListed('10.0.0.1,192.168.*.*', '192.168.7.9'))
  t.notOk(isListed('192.168.*.*', '192.169.1.1'))
  t.notOk(isListed('', '127.0.0.1'), 'an empty list names nobody')
})

t.test('failed log-ins block their address alone, and not for ever', async (t) => {
  const throttle = createLoginThrottle(3)
  for (let i = 0; i < 3; i++) throttle.failed('a', 1000)
  t.ok(throttle.isBlocked('a', 1000))
  t.notOk(throttle.isBlocked('b', 1000))
  t.notOk(throttle.isBlocked('a', 1000 + 20_000), 'a third of a minute gives one try back')
  throttle.failed('a', 21_000)
  t.ok(throttle.isBlocked('a', 21_000))
})

t.test('a lane begins and ends tasks in order, a bounded number at once', async (t) => {
  const lane = createLane(2)
  const ended: number[] = []
  let running = 0
  let most = 0
  const task = (index: number, ms: number) =>
    lane
      .run(async () => {
        running += 1
        most = Math.max(most, running)
        await new Promise((resolve) => setTimeout(resolve, ms))
        running -= 1
        if (index === 2) throw new Error('fails')
      })
      .finally(() => ended.push(index))
  const results = await Promise.allSettled([task(0, 20), task(1, 1), task(2, 1), task(3, 1)])
  t.same(ended, [0, 1, 2, 3])
  t.equal(most, 2)
  t.same(
    results.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled']
  )
})

t.test('a client id stays with its first tenant', async (t) => {
  const asked: string[][] = []
  const owners = createOwners(async (ids) => {
    asked.push(ids)
    return new Map([['old', { tenantId: 'a', connectedAt: 5000 }]])
  })
  await t.rejects(owners.claim('old', 'b', 1), { code: 'conflict' })
  t.equal(await owners.claim('old', 'a', 1), 5001, 'later than its last connection, whatever the clock says')
  t.equal(await owners.claim('old', 'a', 9000), 9000)
  const [first, second] = await Promise.allSettled([owners.claim('new', 'a', 1), owners.claim('new', 'b', 1)])
  t.equal(first.status, 'fulfilled')
  t.ok(second.status === 'rejected' && second.reason instanceof AppError, 'of two at once the first one gets it')
  t.same(asked.at(-1), ['new'], 'asked for together')
  const failing = createOwners(async () => {
    throw new Error('away')
  })
  await t.rejects(failing.claim('x', 'a', 1), /away/)
})

t.test('upload topics are those of EMQX', async (t) => {
  const sha256 = 'a'.repeat(64)
  t.same(parseUploadTopic('$file/f/init'), { kind: 'init', fileId: 'f' })
  t.match(parseUploadTopic('$file/f/1024'), { kind: 'segment', offset: 1024 })
  t.match(parseUploadTopic(`$file/f/0/${sha256}`), { kind: 'segment', offset: 0, sha256 })
  t.match(parseUploadTopic(`$file/f/fin/9/${sha256}`), { kind: 'fin', size: 9, sha256 })
  t.match(parseUploadTopic('$file/f/fin/9'), { kind: 'fin', size: 9 })
  for (const bad of [
    '$file',
    '$file/f',
    '$file//init',
    '$file/f/init/x',
    '$file/f/-1',
    '$file/f/0/zz',
    '$file/f/fin',
    `$file/f/0/${sha256}/x`
  ]) {
    t.equal(parseUploadTopic(bad), undefined, bad)
  }
})

t.test('file sums do not depend on how the bytes came', async (t) => {
  const bytes = Buffer.from(Array.from({ length: blockSize * 2 + 77 }, (_, index) => index % 251))
  const sum = createFileSum()
  for (let at = 0; at < bytes.length; at += 100_003) sum.add(bytes.subarray(at, at + 100_003))
  const { sha256, blocks } = sum.result()
  const digest = (part: Buffer) => createHash('sha256').update(part).digest('hex')
  t.equal(sha256, digest(bytes))
  t.equal(blocks.length, 3 * 32)
  t.equal(blocks.subarray(64).toString('hex'), digest(bytes.subarray(2 * blockSize)))
  t.equal(createFileSum().result().blocks.length, 0, 'an empty file has no blocks')
})

t.test('uptime reads as emqttd prints it', async (t) => {
  t.equal(uptime(4_641_000), '1 hours, 17 minutes, 21 seconds')
  t.equal(uptime(5_000), '5 seconds')
  t.equal(uptime(65_000), '1 minutes, 5 seconds')
  t.equal(uptime(90_061_000), '1 days,1 hours, 1 minutes, 1 seconds')
})

t.test('an ordered list answers every page, whatever has been put and taken away', async (t) => {
  const list = createOrderedList<{ key: string; turn: number }>(({ key }) => key)
  const plain = new Map<string, { key: string; turn: number }>()
  const sorted = () => [...plain.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
  t.same([list.page(0, 9), list.get('a'), list.size], [[], undefined, 0])
  list.delete('a')
  // Enough for chunks to be divided, joined and emptied; the order of keys is that of a fixed shuffle.
  const keyAt = (turn: number) => `key-${(turn * 7919) % 5003}`
  for (let turn = 0; turn < 12_000; turn += 1) {
    const item = { key: keyAt(turn), turn }
    list.put(item)
    plain.set(item.key, item)
    if (turn % 3 === 0) {
      list.delete(keyAt(turn * 2))
      plain.delete(keyAt(turn * 2))
    }
  }
  t.equal(list.size, plain.size)
  for (const offset of [0, 1, 511, 512, 2_000, plain.size - 3, plain.size, plain.size + 5]) {
    t.same(list.page(offset, 700), sorted().slice(offset, offset + 700), `page at ${offset}`)
  }
  t.equal(list.get(keyAt(11_999)), plain.get(keyAt(11_999)), 'the latest of one key stands')
  for (const key of [...plain.keys()].slice(40)) list.delete(key)
  t.same(
    list.page(0, 1000),
    [...plain.values()].slice(0, 40).sort((a, b) => (a.key < b.key ? -1 : 1))
  )
})

t.test('the roster has the connected clients of each tenant, and forgets no newer connection', async (t) => {
  const roster = createRoster()
  const session = (tenantId: string, clientId: string, connectedAt: number): Session => ({
    ...{ tenantId, clientId, connectedAt, username: 'u', ip: '10.0.0.1', port: 1, keepalive: 60, protoVer: 4 },
    clean: true
  })
  const ids = (tenantId: string, offset = 0, limit = 9) => {
    const { items, total } = roster.page(tenantId, { offset, limit })
    return [...items.map(({ clientId, connectedAt }) => `${clientId}@${connectedAt}`), total]
  }
  for (const id of ['b', 'a', 'c']) roster.connected(session('t1', id, 1))
  roster.connected(session('t2', 'aa', 1))
  t.same([ids('t1'), ids('t2'), ids('t3')], [['a@1', 'b@1', 'c@1', 3], ['aa@1', 1], [0]])
  t.same(ids('t1', 1, 1), ['b@1', 3])
  roster.connected(session('t1', 'b', 2))
  roster.disconnected(session('t1', 'b', 1))
  roster.disconnected(session('t2', 'a', 1))
  t.same(ids('t1'), ['a@1', 'b@2', 'c@1', 3], 'the end of an older connection, or of another tenant, takes nobody away')
  roster.disconnected(session('t1', 'b', 2))
  roster.disconnected(session('t2', 'aa', 1))
  t.same([ids('t1'), ids('t2')], [['a@1', 'c@1', 2], [0]])
})

t.test('filters and shared filters are taken apart as MQTT says', async (t) => {
  for (const filter of ['#', '+', 'a/+/b/#', '/']) t.ok(isFilter(filter), filter)
  for (const filter of ['', 'a#', 'a/#/b', 'a+/b', '##']) t.notOk(isFilter(filter), filter)
  t.same(parseShared('$share/g/a/#'), { group: 'g', filter: 'a/#' })
  for (const filter of ['$share/g', '$share/g/', '$share//a', '$share/+/a', 'x/$share/g/a']) {
    t.equal(parseShared(filter), undefined, filter)
  }
})

t.test('of several readings of one thing the latest stands', async (t) => {
  const readings = createReadings()
  let [stored, known] = ['first', '']
  const put = (found: string) => {
    known = found
  }
  const held: (() => void)[] = []
  const read = async () => {
    const found = stored
    await new Promise<void>((resolve) => held.push(resolve))
    return found
  }
  const next = async () => {
    await until(() => held.length > 0, { what: 'a reading' })
    held.pop()?.()
  }
  const whole = readings.all(async (isNewer) => {
    const found = stored
    await until(() => known === 'third', { what: 'the readings of one' })
    if (!isNewer('one')) put(found)
  })
  const early = readings.one('one', read, put)
  stored = 'second'
  const failing = readings.one('one', () => Promise.reject(new Error('away')), put)
  stored = 'third'
  const late = readings.one('one', read, put)
  await next()
  await early
  await t.rejects(failing, { message: 'away' })
  await next()
  await Promise.all([late, whole])
  t.equal(known, 'third')
})

t.test('the sessions of an MQTT user are found without looking at those of others', async (t) => {
  const book = createSessionBook()
  const session = (clientId: string, username: string, clean: boolean): Session => ({
    ...{ tenantId: 't1', clientId, username, clean, connectedAt: 1, ip: '10.0.0.1', port: 1, keepalive: 60 },
    protoVer: 4
  })
  const ids = (username: string) => book.ofUser(username).map(({ clientId }) => clientId)
  const [kept, clean] = [session('kept', 'one', false), session('clean', 'one', true)]
  book.restored(session('restored', 'one', false), 1, [])
  t.same(book.connected(kept), { isNew: true, ended: undefined })
  book.connected(clean)
  t.same([ids('one'), ids('two')], [['restored', 'kept', 'clean'], []])
  book.disconnected(kept, 'closed')
  book.disconnected(clean, 'closed')
  t.same(book.connected(session('kept', 'two', false)), { isNew: false, ended: undefined })
  t.same([ids('one'), ids('two')], [['restored'], ['kept']])
  book.forget('restored')
  t.same(ids('one'), [])
})

t.test('machines that take no blocks do not keep them from others', async (t) => {
  const sent: string[] = []
  const downloads = createDownloads({
    blocks: { load: async () => ({ payload: Buffer.alloc(1), blockSha256: '', isGzip: false }) },
    driver: {
      send: ({ clientId }) => (clientId.startsWith('frozen') ? new Promise(() => undefined) : Promise.resolve(true))
    },
    onServed: () => void sent.push('block'),
    onFailed: (_session, _file, error) => t.fail(String(error))
  })
  const file = { sha256: 'f', blocks: Buffer.alloc(64) } as unknown as StoredFile
  const ask = (clientId: string) => downloads.send({ clientId } as Session, file, { blocks: [0, 1], gzip: false })
  for (let n = 0; n < 300; n++) ask(`frozen-${n}`)
  ask('lively')
  await until(() => sent.length === 2, { what: 'the blocks of the lively one' })
})
