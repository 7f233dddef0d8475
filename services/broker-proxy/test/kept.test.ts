import { readdirSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { quietLog, temporaryFolder, until } from '@fleetgate/testkit'
import t from 'tap'
import type { Session } from '../src/broker/brokerDriver.js'
import { createBucket } from '../src/broker/embedded/admission.js'
import { createPace } from '../src/broker/embedded/pace.js'
import { createRetained } from '../src/broker/embedded/retained.js'
import { createFilterTree } from '../src/broker/embedded/sessions/filterTree.js'
import { type KeptSessions, openKeptSessions } from '../src/broker/embedded/sessions/keptSessions.js'

/** The journal of kept sessions by itself: what it holds after being written anew, torn, or too long away. */
const session = (clientId: string, connectedAt = 1, fields: Partial<Session> = {}): Session => ({
  tenantId: 't1',
  clientId,
  username: 'u',
  ip: '10.0.0.1',
  port: 1,
  connectedAt,
  keepalive: 60,
  protoVer: 4,
  clean: false,
  ...fields
})
const limits = { queueLength: 1000, queuedBytes: 1_000_000_000, expiryMs: 3_600_000 }

async function open(
  dir: string,
  fields: { compactAfterBytes?: number; limits?: typeof limits; onForgotten?: (id: string) => void } = {}
) {
  const retained = createRetained()
  const events = { onQueued: () => undefined, onDropped: () => undefined, onForgotten: () => undefined }
  const kept = await openKeptSessions({ dir, log: quietLog, limits, now: Date.now, retained, ...events, ...fields })
  return { kept, retained }
}
const put = (kept: KeptSessions, topic: string, text: string, retain = false) =>
  kept.accept({ topic: `t1/${topic}`, payload: Buffer.from(text), qos: 1, retain })
const waiting = (kept: KeptSessions, clientId: string) =>
  [...(kept.find(clientId)?.queue.values() ?? [])].map(({ body }) => body.payload.toString())

t.test('written anew while messages come and go, it holds what is left and no more', async (t) => {
  const dir = temporaryFolder(t)
  const { kept } = await open(dir, { compactAfterBytes: 20_000 })
  const ids = Array.from({ length: 20 }, (_, index) => `c-${index}`)
  for (const id of ids) {
    kept.connected(session(id))
    await kept.subscribe(id, [['t1/all', 1]])
  }
  for (let n = 0; n < 400; n++) {
    await put(kept, 'all', `${n}`.padEnd(200, '.'), n === 7)
    // Each client has read all but the last few.
    for (const id of ids) {
      const own = kept.find(id)
      const oldest = own && own.queue.size > 5 ? [...own.queue.values()][0] : undefined
      if (own && oldest) kept.noteStep('done', own, { seq: oldest.body.seq, id: 0 })
    }
  }
  const left = ids.map((id) => waiting(kept, id))
  await until(() => readdirSync(dir).some((name) => name.endsWith('.state')), { what: 'a saved state' })
  await kept.close()
  const bytes = readdirSync(dir).reduce((sum, name) => sum + statSync(join(dir, name)).size, 0)
  t.ok(bytes < 200_000, `${bytes} bytes on the disk`)
  const again = await open(dir)
  t.same(
    ids.map((id) => waiting(again.kept, id)),
    left
  )
  t.same(left[0]?.length, 5)
  t.same(
    [...again.retained.all()].map(({ payload }) => payload.toString().trim().slice(0, 1)),
    ['7']
  )
  await again.kept.close()
})

t.test('a record that was cut off is left out, what was whole before and comes after is there', async (t) => {
  const dir = temporaryFolder(t)
  const first = await open(dir)
  first.kept.connected(session('torn'))
  await first.kept.subscribe('torn', [['t1/#', 1]])
  await put(first.kept, 'a', 'whole')
  await put(first.kept, 'a', 'cut')
  await first.kept.close()
  const [name = ''] = readdirSync(dir)
  truncateSync(join(dir, name), statSync(join(dir, name)).size - 2)
  const second = await open(dir)
  t.same(waiting(second.kept, 'torn'), ['whole'])
  await put(second.kept, 'a', 'later')
  await second.kept.close()
  const third = await open(dir)
  t.same(waiting(third.kept, 'torn'), ['whole', 'later'])
  await third.kept.close()
})

t.test('an absent session ends in time, also when the process was started anew meanwhile', async (t) => {
  const dir = temporaryFolder(t)
  const first = await open(dir)
  first.kept.connected(session('gone'))
  await first.kept.subscribe('gone', [['t1/#', 1]])
  first.kept.disconnected(session('gone'))
  first.kept.connected(session('stays'))
  await put(first.kept, 'a', 'x')
  await first.kept.close()
  const forgotten: string[] = []
  const second = await open(dir, { limits: { ...limits, expiryMs: 200 }, onForgotten: (id) => forgotten.push(id) })
  second.kept.connected(session('stays', 2))
  await until(() => forgotten.length > 0, { what: 'the end of a session' })
  t.same(forgotten, ['gone'])
  t.ok(second.kept.find('stays'))
  await second.kept.close()
  const third = await open(dir)
  t.equal(third.kept.find('gone'), undefined)
  await third.kept.close()
})

t.test('queues are bounded by messages and by bytes', async (t) => {
  const { kept } = await open(temporaryFolder(t), { limits: { ...limits, queueLength: 3, queuedBytes: 10_000 } })
  kept.connected(session('long'))
  await kept.subscribe('long', [['t1/a', 1]])
  await Promise.all([1, 2, 3, 4, 5].map((n) => put(kept, 'a', String(n))))
  t.same(waiting(kept, 'long'), ['1', '2', '3'])
  kept.connected(session('wide'))
  await kept.subscribe('wide', [['t1/b', 1]])
  await put(kept, 'b', 'x'.repeat(20_000))
  await put(kept, 'b', 'one too many')
  t.equal(waiting(kept, 'wide').length, 1)
  await kept.close()
  await t.rejects(
    put(kept, 'a', 'closed').then(() => put(kept, 'b', 'x', true)),
    'and nothing is promised once it is closed'
  )
})

t.test('retained messages of a tenant are bounded by their bytes', async (t) => {
  const retained = createRetained()
  const large = Buffer.alloc(1024 * 1024)
  const keep = (topic: string, payload: Buffer) => {
    const isTaken = retained.takes(topic, payload)
    const facts = { kind: 'message' as const, seq: 1, qos: 1 as const, retain: true, from: 0, fromId: 0, targets: [] }
    if (isTaken) retained.store({ ...facts, topic, payload })
    return isTaken
  }
  const taken = Array.from({ length: 100 }, (_, index) => keep(`t1/${index}`, large)).filter(Boolean).length
  t.equal(taken, 63)
  t.ok(keep('t1/0', large), 'the next value in the place of one')
  t.ok(keep('t2/0', large), 'another tenant has room of its own')
  t.ok(keep('t1/1', Buffer.alloc(0)))
  t.ok(keep('t1/more', large), 'one more for one less')
  t.notOk(keep('t1/again', large))
})

t.test('filters find their holders, with the highest QoS', async (t) => {
  const tree = createFilterTree<string>()
  for (const [filter, holder, qos] of [
    ['t1/a/+', 'one', 1],
    ['t1/a/#', 'one', 2],
    ['t1/#', 'two', 1],
    ['t1/a', 'three', 1],
    ['t1/+/+', 'four', 0]
  ] as const)
    tree.set(filter, holder, qos)
  const found = (topic: string) => Object.fromEntries(tree.match(topic))
  t.same(found('t1/a/b'), { one: 2, two: 1, four: 0 })
  t.same(found('t1/a'), { one: 2, two: 1, three: 1 }, '# matches its own level too')
  t.same(found('t2/a'), {})
  tree.delete('t1/a/#', 'one')
  tree.delete('t1/#', 'nobody')
  t.same(found('t1/a/b'), { one: 1, two: 1, four: 0 })
})

t.test('rates: one second’s worth at once, then as it comes; 0 bounds nothing', async (t) => {
  const bucket = createBucket(10)
  t.equal(bucket.waitFor(10, 1000), 0)
  bucket.take(10)
  t.equal(bucket.waitFor(1, 1000), 100)
  t.equal(bucket.waitFor(1, 1100), 0)
  bucket.take(50)
  t.ok(bucket.waitFor(1, 1200) > 4000, 'what is too large for a second is paid later')
  t.equal(createBucket(0).waitFor(1e9, 1), 0)
  t.equal(createPace({ messagesPerSecond: 0, bytesPerSecond: 0 }, Date.now).pass(1), undefined)
  const pace = createPace({ messagesPerSecond: 20, bytesPerSecond: 0 }, Date.now)
  const passed: number[] = []
  const startedAt = Date.now()
  await Promise.all(Array.from({ length: 30 }, (_, n) => pace.pass(1)?.then(() => passed.push(n))))
  t.ok(Date.now() - startedAt >= 400, 'ten more than a second’s worth take half a second')
  t.same(
    passed,
    Array.from({ length: 30 }, (_, n) => n),
    'in order'
  )
})
