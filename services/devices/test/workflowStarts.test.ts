import { AppError, connectBus, currentOrigin, type Delivered, type UplinkMessage, withOrigin } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import type { Measurement } from '../src/entities/measurement.js'
import { createEngine } from '../src/workflows/engine.js'
import { createEvents } from '../src/workflows/events.js'
import { createExecutor } from '../src/workflows/executor.js'
import { type Wait, waitOf } from '../src/workflows/nodes/entries.js'
import type { NodeParts } from '../src/workflows/nodeType.js'
import { createRunStore } from '../src/workflows/runStore.js'
import { createStarter } from '../src/workflows/starter.js'
import { createWorkflowStore } from '../src/workflows/workflowStore.js'

/** What starts runs, and when it does not: on the real stores, as several processes share them. */
const parts = await startParts(t)
const bus = await connectBus({ name: 'devices', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
const now = () => 1_800_000_000_000
const limits = { perMinute: 50, depth: 3, queued: 40 }
const leaseMs = 60_000

async function processOf(owner: string, insertedWith: (count: number) => void = () => {}, ownLeaseMs = leaseMs) {
  const store = await openStore({ uri: parts.mongoUri, database: 'starts', log: quietLog })
  t.teardown(() => store.close())
  const workflows = createWorkflowStore({ store, bus, log: quietLog, now })
  const stored = createRunStore({ store, now, owner, leaseMs: ownLeaseMs })
  await store.sync()
  const runs: typeof stored = {
    ...stored,
    insert(found) {
      insertedWith(found.length)
      return stored.insert(found)
    }
  }
  const starter = createStarter({ runs, workflows, limits, log: quietLog, now })
  /** What is started is looked at, not run. */
  const engine = { wake() {}, runNow: async () => {}, waitFor: async () => undefined, stop: async () => {} }
  const events = createEvents({ workflows, starter, engine, log: quietLog, now, answerWithinMs: 1000 })
  return { workflows, runs, events }
}
const inserts: number[] = []
const one = await processOf('one', (count) => void inserts.push(count))
const two = await processOf('two')

async function addWorkflow(id: string, tenantId: string, wait: Wait, nodes: object[] = [], edges: object[] = []) {
  const about = { id, tenantId, userId: 'u', name: id, remark: '', enabled: true, version: 1 }
  const design = JSON.stringify({ nodes, edges })
  const workflow = { ...about, design, createdAt: 0, updatedAt: 0 }
  await one.workflows.insert(workflow, { wait, at: 0, nextAt: wait.timer && 1 })
}

async function inputsOf(tenantId: string): Promise<object[]> {
  const inputs: object[] = []
  for (let run = await two.runs.claimNext(tenantId, 100); run; run = await two.runs.claimNext(tenantId, 100)) {
    inputs.push(JSON.parse(run.input))
  }
  return inputs
}

const sample = (key: string, at: number, value = 1): Measurement => {
  return { key, at, value, valueType: 'DOUBLE', entityId: key, hasLatest: true }
}
const message = (tenantId: string, id: string, topic: string): Delivered<UplinkMessage> => {
  const data = { tenantId, clientId: 'c', username: 'u', channel: 'topic' as const, topic, receivedAt: 1 }
  return { id, sequence: 1, data: { ...data, payload: Buffer.from(id) } } as unknown as Delivered<UplinkMessage>
}

await t.test('a sample that is told again starts nothing, whatever comes with it', async (t) => {
  await addWorkflow('w1', 'again', waitOf('eventListener', { entities: ['a', 'b'] }))
  await one.events.onValues('again', [sample('a', 5)])
  // After a crash the same message comes with another of its moment.
  await one.events.onValues('again', [sample('a', 5), sample('b', 5)])
  await one.events.onValues('again', [sample('b', 5)])
  t.same(await inputsOf('again'), [{ a: 1 }, { b: 1 }])
  const together = [sample('a', 6), sample('b', 6), sample('c', 6)]
  const tellings = [together, [sample('a', 6)], [sample('b', 6), sample('a', 6)]]
  await Promise.all(tellings.map((samples, i) => (i === 1 ? two : one).events.onValues('again', samples)))
  const keys = (await inputsOf('again')).flatMap((input) => Object.keys(input)).sort()
  t.same(keys, ['a', 'b'], 'each once, however three tell of them at the same moment')
})

await t.test('a run keeps the request that started it, and none where there was none', async (t) => {
  await addWorkflow('w8', 'asked', waitOf('eventListener', { entities: ['a'] }))
  const origin = { requestId: 'asked', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' }
  await withOrigin(origin, () => one.events.onValues('asked', [sample('a', 1)]))
  await one.events.onValues('asked', [sample('a', 2)])
  t.same((await two.runs.claimNext('asked', 100))?.origin, origin)
  t.equal((await two.runs.claimNext('asked', 100))?.origin, undefined)
})

await t.test('a batch of messages is taken with few writes, each message once', async (t) => {
  await addWorkflow('w2', 'busy', waitOf('simpleMqtt', { subscriptionTopic: 'x/+' }))
  const batch = Array.from({ length: 30 }, (_, i) => message('busy', `m${i}`, `x/${i}`))
  inserts.length = 0
  await one.events.onTopic([...batch, message('busy', 'm99', 'y/1'), message('other', 'm98', 'x/1')])
  t.same(inserts, [30])
  await one.events.onTopic(batch)
  t.equal((await inputsOf('busy')).length, 30)
})

await t.test('more runs within a minute than allowed are stopped, and repeats do not count', async (t) => {
  await addWorkflow('w3', 'rate', waitOf('simpleMqtt', { subscriptionTopic: '#' }))
  const batch = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => message('rate', `m${from + i}`, 'x'))
  const logs = async () =>
    (await one.runs.search({ tenantId: 'rate', workflowId: 'w3', states: ['ERROR'] }, page)).items
  const page = { offset: 0, limit: 100 }
  await one.events.onTopic(batch(0, 30))
  t.equal((await inputsOf('rate')).length, 30)
  await one.events.onTopic(batch(0, 30))
  await two.events.onTopic(batch(0, 40))
  t.equal((await inputsOf('rate')).length, 10)
  t.same(await logs(), [], 'told again is not begun again')
  await one.events.onTopic(batch(40, 60))
  t.equal((await inputsOf('rate')).length, 10, 'what is left of 50')
  await two.events.onTopic(batch(60, 70))
  t.match(await logs(), [{ message: /more than 50 runs within a minute/ }], 'and one line says so')
  t.equal((await logs()).length, 1)
})

await t.test('no more runs of a tenant wait than allowed', async (t) => {
  for (const id of ['w4', 'w5']) {
    await addWorkflow(id, 'queue', waitOf('simpleMqtt', { subscriptionTopic: id }))
  }
  const send = (id: string, count: number) =>
    one.events.onTopic(Array.from({ length: count }, (_, i) => message('queue', `${id}.${i}`, id)))
  await send('w4', 40)
  await send('w5', 5)
  t.equal(await one.runs.countQueued('queue'), 40)
  const page = { offset: 0, limit: 10 }
  const { items } = await one.runs.search({ tenantId: 'queue', workflowId: 'w5', states: ['ERROR'] }, page)
  t.match(items, [{ message: /40 runs of the tenant are waiting/ }])
  t.equal(items.length, 1)
  await inputsOf('queue')
  await send('w5', 5)
  t.equal(await one.runs.countQueued('queue'), 5, 'when there is room again they are taken')
})

await t.test('a timer that cannot be told does not hold up the others', async (t) => {
  const timerSettings = { type: 'INTERVAL', intervalTime: 1, intervalTimeUnit: 'HOURS' }
  const timer = { type: 'SCHEDULE' as const, timezone: 'Mars', rules: [{ hour: 1, minute: 1 }] }
  await addWorkflow('t0', 'time', { component: 'simpleTimer', keys: [], timer })
  for (const id of ['t1', 't2']) await addWorkflow(id, 'time', waitOf('simpleTimer', { timerSettings }))
  await one.events.onTime()
  const due = (await one.workflows.due(now())).map(({ id }) => id)
  t.same(due, ['t0'], 'the others are told when they fire next')
  t.equal((await inputsOf('time')).length, 3)
})

await t.test('a process that stops gives back its runs behind the node that is at work', async (t) => {
  const hook = (id: string) => ({
    id,
    componentName: 'webhook',
    data: { parameters: { webhookUrl: `http://x/${id}` } }
  })
  const nodes = [{ id: 'in', componentName: 'trigger', data: { parameters: {} } }, hook('first'), hook('second')]
  const edges = [
    { source: 'in', target: 'first' },
    { source: 'first', target: 'second' }
  ]
  await addWorkflow('w6', 'stop', waitOf('trigger', {}), nodes, edges)
  const called: string[] = []
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const http: NodeParts['http'] = async ({ url }) => {
    called.push(`${new URL(url).pathname} for ${currentOrigin()?.requestId}`)
    await held
    return { status: 200, headers: {}, body: '' }
  }
  const executor = createExecutor({ parts: { http } as NodeParts, nodeTimeoutMs: 60_000, now })
  const engineOf = ({ runs, workflows }: typeof one) =>
    createEngine({
      ...{ runs, workflows, executor, now, leaseMs },
      log: quietLog,
      places: 5,
      runTimeoutMs: 60_000,
      pollMs: 50
    })
  const first = engineOf(one)
  const [id = ''] = await one.runs.insert([
    {
      tenantId: 'stop',
      workflowId: 'w6',
      version: 1,
      once: ['x'],
      input: '{}',
      depth: 1,
      origin: { requestId: 'asked' }
    }
  ])
  await until(() => called.length === 1, { what: 'the first node at work' })
  const stopped = first.stop()
  release()
  await stopped
  t.match(await one.runs.find('stop', id), { state: 'RUNNING', traces: [{ nodeId: 'in' }, { nodeId: 'first' }] })
  const second = engineOf(two)
  t.teardown(() => second.stop())
  await until(async () => (await two.runs.find('stop', id))?.state === 'SUCCESS', {
    what: 'the rest, long before the lease ends'
  })
  t.same(called, ['/first for asked', '/second for asked'], 'each is called once, in the name of who started the run')
})

await t.test('a run goes on when what was away is back, where its node had done nothing yet', async (t) => {
  const node = (id: string, componentName: string, parameters: object) => ({ id, componentName, data: { parameters } })
  const nodes = [
    node('in', 'trigger', {}),
    node('select', 'entitySelector', { entities: ['a.b.c'] }),
    node('set', 'entityAssigner', { exchangePayload: { 'a.b.c': 1 } })
  ]
  const edges = [
    { source: 'in', target: 'select' },
    { source: 'select', target: 'set' }
  ]
  await addWorkflow('w7', 'away', waitOf('trigger', {}), nodes, edges)
  const away = () => Promise.reject(new AppError('unavailable', 'the database cannot be reached'))
  let reads = 0
  let begins = 0
  const writes: object[] = []
  const nodeParts = {
    readValues: async () => (++reads === 1 ? away() : {}),
    writeValues: async (_tenantId: string, values: object) => void writes.push(values)
  } as unknown as NodeParts
  const { runs, workflows } = await processOf('three', undefined, 500)
  const begin: typeof runs.begin = (run, nodeId) => (++begins === 1 ? away() : runs.begin(run, nodeId))
  const engine = createEngine({
    ...{ runs: { ...runs, begin }, workflows, now, leaseMs: 500, log: quietLog, places: 5 },
    ...{ executor: createExecutor({ parts: nodeParts, nodeTimeoutMs: 60_000, now }), runTimeoutMs: 60_000, pollMs: 50 }
  })
  t.teardown(() => engine.stop())
  const [id = ''] = await runs.insert([
    { tenantId: 'away', workflowId: 'w7', version: 1, once: ['x'], input: '{}', depth: 1 }
  ])
  const ended = async () => {
    const run = await runs.find('away', id)
    return run?.finishedAt === undefined ? undefined : run
  }
  const run = await until(ended, { what: 'the end of the run', deadlineMs: 30_000 })
  t.match(run, { state: 'SUCCESS', traces: [{ nodeId: 'in' }, { nodeId: 'select' }, { nodeId: 'set' }] })
  t.same(writes, [{ 'a.b.c': 1 }], 'it wrote once')
  t.same([reads, begins], [2, 2])
})
