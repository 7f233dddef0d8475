import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AppError } from '@fleetgate/kit'
import { createAllowed, createHttp, type Lookup } from '@fleetgate/kit/outbound'
import t from 'tap'
import { planOf } from '../src/workflows/design.js'
import { choice, compare } from '../src/workflows/nodes/choice.js'
import { kinds } from '../src/workflows/nodes/index.js'
import type { NodeContext } from '../src/workflows/nodeType.js'
import { lookupIn, resolve } from '../src/workflows/references.js'
import { createSandbox, type Sandbox } from '../src/workflows/sandbox/sandbox.js'
import { nextTime, type TimerSettings } from '../src/workflows/timer.js'
import { isTopicFilter, matchesTopic } from '../src/workflows/topicFilter.js'

const entry = { id: 'a', componentName: 'trigger', data: { parameters: { entityConfigs: [] } } }
const plan = (nodes: object[], edges: object[] = []) => planOf(JSON.stringify({ nodes, edges }), kinds)
const node = (id: string, componentName = 'output') => ({ id, componentName })
const edge = (source: string, target: string) => ({ id: `${source}${target}`, source, target })

t.test('refuses hostile designs, naming the node', async (t) => {
  const refused: [RegExp, () => unknown][] = [
    [/node "x" is of the type "nothing"/, () => plan([entry, node('x', 'nothing')])],
    [/node "b" stands there twice/, () => plan([entry, node('b'), node('b')])],
    [/ends at node "gone"/, () => plan([entry, node('b')], [edge('a', 'gone')])],
    [/exactly one entry/, () => plan([node('b')])],
    [/exactly one entry node is needed, there are 2/, () => plan([entry, { ...entry, id: 'c' }])],
    [
      /node "[bc]" stands in or behind a cycle/,
      () => plan([entry, node('b'), node('c')], [edge('b', 'c'), edge('c', 'b')])
    ],
    [/leads into the entry/, () => plan([entry, node('b')], [edge('b', 'a')])],
    [
      /nodes must NOT have more than 200/,
      () => plan([entry, ...Array.from({ length: 10_000 }, (_, i) => node(`n${i}`))])
    ],
    [/may not be called __proto__/, () => plan([entry, node('__proto__')])],
    [/nested more than 50/, () => planOf(`{"nodes":${'['.repeat(500)}${']'.repeat(500)}}`, kinds)],
    [/not valid JSON/, () => planOf('{', kinds)],
    [/larger than/, () => planOf(`"${'x'.repeat(1_000_000)}"`, kinds)],
    [/nodes is required/, () => planOf('{}', kinds)]
  ]
  for (const [message, make] of refused) t.throws(make, { code: 'invalid_input', message })
})

t.test('orders nodes behind all that lead to them', async (t) => {
  const made = plan(
    [node('d'), entry, node('b'), node('c')],
    [edge('a', 'b'), edge('b', 'c'), edge('c', 'd'), edge('a', 'd')]
  )
  t.same(
    made.order.map(({ id }) => id),
    ['a', 'b', 'c', 'd']
  )
})

t.test('resolves references to values and within texts', async (t) => {
  const lookup = lookupIn(new Map([['n1', { k: 5, 'a.b': { x: 1 } }]]))
  t.same(resolve({ a: "#{properties.n1['k']}", b: ['#{n1.k}'], c: 'is #{n1.k}, #{n1.none}.' }, lookup), {
    a: 5,
    b: [5],
    c: 'is 5, .'
  })
  t.same(resolve("#{properties.n1['a.b']}", lookup), { x: 1 })
  t.equal(resolve('#{n1.toString}', lookup), null, 'nothing is inherited')
  const hostile = plan([{ ...entry, data: { parameters: JSON.parse('{"__proto__": {"x": 1}, "constructor": 2}') } }])
  t.equal((hostile.entry.parameters as { x?: unknown }).x, undefined, 'nor brought along')
})

t.test('compares numbers as numbers and the rest as texts', async (t) => {
  t.ok(compare('GT', '10', 9))
  t.ok(compare('LT', 'abc', 'abd'))
  t.ok(compare('END_WITH', 'abc', 'bc'))
  t.notOk(compare('END_WITH', 'abc', 'ab'))
  t.ok(compare('NOT_CONTAINS', 'abc', 'x'))
  t.ok(compare('IS_EMPTY', null, undefined))
  t.ok(compare('EQ', '1.0', 1))
  t.ok(compare('NE', 'a', 'b'))
  t.ok(compare('GE', 2, 2) && compare('LE', 2, 2))
})

t.test('tells when timers fire', async (t) => {
  const at = (text: string) => Date.parse(text)
  const daily: TimerSettings = {
    type: 'SCHEDULE',
    timezone: 'Europe/Berlin',
    rules: [
      { hour: 8, minute: 30, daysOfWeek: ['MONDAY'] },
      { hour: 9, minute: 0, daysOfWeek: ['TUESDAY'] }
    ]
  }
  t.equal(nextTime(daily, at('2026-06-01T00:00:00Z'), 0), at('2026-06-01T06:30:00Z'), 'summer time')
  t.equal(nextTime(daily, at('2026-06-01T06:30:00Z'), 0), at('2026-06-02T07:00:00Z'))
  t.equal(nextTime(daily, at('2026-12-07T00:00:00Z'), 0), at('2026-12-07T07:30:00Z'), 'winter time')
  const every: TimerSettings = { type: 'INTERVAL', intervalTime: 5, intervalTimeUnit: 'SECONDS' }
  t.equal(nextTime(every, 12_000, 1000), 16_000)
  t.equal(nextTime({ ...every, expirationEpochSecond: 15 }, 12_000, 1000), undefined)
  t.equal(nextTime({ type: 'ONCE', executionEpochSecond: 10 }, 0, 0), 10_000)
  t.equal(nextTime({ type: 'ONCE', executionEpochSecond: 10 }, 10_000, 0), undefined)
  t.throws(() => nextTime({ ...daily, timezone: 'Mars/Olympus' }, 0, 0), /Mars/)
})

t.test('matches MQTT topic filters', async (t) => {
  t.ok(matchesTopic('a/+/c', 'a/b/c') && matchesTopic('a/#', 'a/b/c') && matchesTopic('a/#', 'a'))
  t.notOk(matchesTopic('a/+', 'a/b/c') || matchesTopic('#', '$SYS/x') || matchesTopic('a/b', 'a'))
  t.ok(isTopicFilter('a/+/#'))
  t.notOk(isTopicFilter('a/b#') || isTopicFilter('#/a') || isTopicFilter('a+/b'))
})

t.test('contains hostile code', async (t) => {
  const sandbox = createSandbox(1)
  t.teardown(() => sandbox.close())
  const run = (code: string, globals: Record<string, unknown> = {}) => sandbox.run({ code, globals, argument: globals })
  t.equal(await run('a + b', { a: 1, b: 2 }), 3, 'the last value counts')
  t.same(await run('function main({ a }) { return { double: a * 2 } }', { a: 4 }), { double: 8 })
  t.equal(await run('async function main() { return await Promise.resolve(7) }'), 7)
  let beats = 0
  const heart = setInterval(() => beats++, 20)
  await t.rejects(run('for (;;) {}'), { code: 'invalid_state', message: /too long/ })
  clearInterval(heart)
  t.ok(beats > 5, 'the event loop of the service went on')
  await t.rejects(run('const a = []; for (;;) a.push(new Array(100000).fill("x"))'), { code: 'invalid_state' })
  const keep = (count: number) =>
    `const all = []; while (all.length < ${count}) all.push(new ArrayBuffer(15e6)); all.length`
  await t.rejects(run(keep(4)), /out of memory/)
  for (let i = 0; i < 3; i++) t.equal(await run(keep(1)), 1, 'each has all of it')
  await t.rejects(run('function f() { return f() + 1 } f()'), { code: 'invalid_state' })
  await t.rejects(run('"x".repeat(1000000)'), /answers more than/)
  await t.rejects(run('new Promise(() => {})'), /never resolved/)
  await t.rejects(run('(async () => { for (;;) await null })()'), { code: 'invalid_state' })
  await t.rejects(run('throw new Error("mine")'), /mine/)
  await t.rejects(run('({ toJSON() { for (;;) {} } })'), /too long/)
  await t.rejects(run('syntax error here'), { code: 'invalid_state' })
  await t.rejects(run('/(a+)+$/.test("a".repeat(40) + "b")'), /too long/)
  await t.rejects(run('throw { get message() { for (;;) {} } }'), { code: 'invalid_state' })
  await t.rejects(run('['.repeat(90_000)), { code: 'invalid_state' }, 'deeper than the stack of its thread')
  await t.rejects(run('const a = {}; a.a = a; a'), /circular/)
  await t.rejects(run('throw null'), { code: 'invalid_state' })
  t.same(
    await run('[typeof process, typeof require, typeof fetch, typeof setTimeout, typeof WebAssembly]'),
    Array(5).fill('undefined')
  )
  await run('Object.prototype.polluted = 1; JSON.stringify = () => "evil"; Array.prototype.push = null; 1')
  t.equal(await run('typeof ({}).polluted'), 'undefined', 'each run begins anew')
  t.equal(({} as { polluted?: unknown }).polluted, undefined)
  t.equal(await run('1 + 1'), 2, 'still at work after all that')
})

t.test('code that nobody waits for any more is not begun', async (t) => {
  const sandbox = createSandbox(1)
  t.teardown(() => sandbox.close())
  const late = (code: string, signal?: AbortSignal) => sandbox.run({ code, globals: {}, argument: {} }, signal)
  const given = new AbortController()
  const busy = t.rejects(late('for (;;) {}'), /too long/)
  const waiting = Array.from({ length: 20 }, () => late('for (;;) {}', given.signal))
  const ended = waiting.map((one) => t.rejects(one, { code: 'timeout' }))
  given.abort()
  await Promise.all(ended)
  await t.rejects(late('1', given.signal), { code: 'timeout' })
  const next = late('2')
  await busy
  const order = await Promise.race([next, new Promise((resolve) => setTimeout(resolve, 10_000, 'still waiting'))])
  t.equal(order, 2, 'who comes after them need not wait for theirs')
})

t.test('a choice whose time is up asks for no more code', async (t) => {
  const begun: string[] = []
  const given = new AbortController()
  const sandbox: Sandbox = {
    async run({ code }, signal) {
      if (signal?.aborted) throw new AppError('timeout', 'too late')
      begun.push(code)
      given.abort()
      return false
    },
    close: async () => {}
  }
  const conditions = ['1', '2', '3'].map((expressionValue) => ({ expressionValue }))
  const parameters = { choice: { when: [{ id: 'a', logicOperator: 'OR', expressionType: 'js', conditions }] } }
  const context = { sandbox, outputs: new Map(), signal: given.signal } as unknown as NodeContext
  await t.rejects(async () => choice.run(parameters, context), { code: 'timeout' })
  t.same(begun, ['1'])
})

t.test('calls no address that is not public, whatever its name', async (t) => {
  const server = createServer((request, reply) => {
    if (request.url === '/away') return reply.writeHead(302, { location: 'http://127.0.0.2:1/' }).end()
    if (request.url === '/big') return reply.end('x'.repeat(200_000))
    reply.end(`${request.method} ${request.url}`)
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  // A name that points to this machine, as a hostile name server would answer.
  const lookup: Lookup = (_host, options, done) => {
    if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }])
    else done(null, '127.0.0.1', 4)
  }
  const httpWith = (setting: string) => {
    const made = createHttp({ allowed: createAllowed(setting), setting: 'WORKFLOW_ALLOWED_HOSTS', lookup })
    t.teardown(() => made.close())
    return (url: string) => made.http({ method: 'GET', url, headers: {}, signal: AbortSignal.timeout(20_000) })
  }
  const closed = httpWith('')
  for (const host of [
    'evil.example',
    'localhost',
    '127.0.0.1',
    '2130706433',
    '0x7f.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '10.1.2.3',
    '169.254.169.254',
    '224.0.0.1',
    '[fe80::1]',
    '[64:ff9b::7f00:1]',
    '[::ffff:0:127.0.0.1]',
    '[fd00:ec2::254]',
    '[5f00::1]',
    '0.0.0.0'
  ]) {
    await t.rejects(closed(`http://${host}:${port}/`), { message: /may not be called/ }, host)
  }
  await t.rejects(closed('file:///etc/passwd'), /must begin with http/)
  await t.rejects(closed('not a url'), /not a URL/)
  const byName = httpWith('good.example')
  t.match(await byName(`http://good.example:${port}/x`), { status: 200, body: 'GET /x' })
  await t.rejects(byName(`http://evil.example:${port}/`), /may not be called/)
  await t.rejects(
    byName(`http://good.example:${port}/away`),
    /127\.0\.0\.2 may not be called/,
    'redirects are looked at'
  )
  await t.rejects(byName(`http://good.example:${port}/big`), /larger than/)
  t.match(await httpWith('127.0.0.1/32')(`http://127.0.0.1:${port}/y`), { body: 'GET /y' })
  t.throws(() => createAllowed('a b'), /no host/)
  t.ok(createAllowed('').address('93.184.216.34') && createAllowed('').address('2606:2800:220:1::1'))
})
