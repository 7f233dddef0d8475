import { loadConfig } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, until } from '@fleetgate/testkit'
import t from 'tap'
import { Config, engineSettings } from '../../src/config.js'
import type { Execution } from '../../src/executions/execution.js'
import { createRelease } from '../../src/executions/release.js'
import { createStores } from '../../src/parts.js'
import { createAside } from '../../src/runs/aside.js'
import { dueFilter } from '../../src/runs/due.js'
import { createEngine, type EngineDeps } from '../../src/runs/engine.js'
import type { HeldRun } from '../../src/runs/leases.js'
import type { Run } from '../../src/runs/run.js'

const priorities = { low: 1, urgent: 5, middle: 3 }
type Name = keyof typeof priorities
const names = Object.keys(priorities) as Name[]

function executionOf(runId: Name, more: Partial<Execution> = {}): Execution {
  return {
    ...{ _id: `${runId}-1`, runId, tenantId: 't1', jobId: 1, clientId: 1, mqttClientId: 'm1', username: '', ip: '' },
    ...{ state: 'QUEUED', open: true, hold: 'OFFLINE', attempt: 1, epoch: 0, tries: 2 },
    ...{ maxAttempts: 1, retryWaitMs: 0, dueAt: 10, createdAt: 1 },
    ...more
  }
}

t.test('what waits for a machine', async (t) => {
  const parts = await startParts(t, { nats: false })
  const store = await openStore({ uri: parts.mongoUri, database: 'priority', log: quietLog })
  t.teardown(() => store.close())
  const { runs, executions } = createStores(store)
  await store.sync()
  const jobs = names.map((_id) => ({ _id, tenantId: 't1', triggerKey: _id, job: { priority: priorities[_id] } }))
  await runs.collection.insertMany(jobs as unknown as Run[])

  /** What a look finds due after each write of a release. */
  const looks: string[][] = []
  const watched = new Proxy(executions.collection, {
    get(target, key) {
      const value = Reflect.get(target, key)
      if (key !== 'updateMany') return typeof value === 'function' ? value.bind(target) : value
      return async (...to: Parameters<typeof target.updateMany>) => {
        const answer = await target.updateMany(...to)
        looks.push(await dueNow())
        return answer
      }
    }
  })
  const dueNow = () => target.distinct('runId', dueFilter(names, { now: 1000, isBehind: false, givesOut: 'ALL' }))
  const target = executions.collection
  const released: string[][] = []
  const release = createRelease({
    executions: watched,
    prioritiesOf: runs.prioritiesOf,
    now: () => 1000,
    rearm: async () => undefined,
    onReleased: (runIds) => void released.push([...runIds].sort())
  })
  t.beforeEach(async () => {
    await target.deleteMany({})
    looks.length = 0
    released.length = 0
  })

  t.test('becomes due by priority, so that no look finds the lower one alone', async (t) => {
    await target.insertMany(names.map((name) => executionOf(name)))
    await release('t1', ['m1'], 0)
    t.strictSame(looks, [['urgent'], ['middle', 'urgent'], ['low', 'middle', 'urgent']])
    t.strictSame(released, [['low', 'middle', 'urgent']], 'told once')
    for (const one of await target.find().toArray()) t.match(one, { hold: 'NONE', tries: 0, dueAt: 1000 })
  })

  t.test('is one write where it is of one priority, and a retry keeps its time', async (t) => {
    await target.insertMany([
      executionOf('low', { dueAt: 5000, attempt: 2 }),
      executionOf('urgent', { tenantId: 't2' })
    ])
    await release('t1', ['m1', 'm2'], 0)
    t.strictSame(looks, [[]])
    t.match(await target.findOne({ runId: 'low' }), { hold: 'NONE', dueAt: 5000 })
    t.match(await target.findOne({ runId: 'urgent' }), { hold: 'OFFLINE', dueAt: 10 })
    looks.length = 0
    await release('t1', ['nobody'], 0)
    t.strictSame(looks, [], 'nothing is written for a machine that nothing waits for')
  })

  t.test('is released together by the look at one run that finds its machine back', async (t) => {
    await target.insertMany(names.map((name) => executionOf(name)))
    const back = { clientId: 1, mqttClientId: 'm1', enabled: true, status: 'ONLINE' as const }
    const clients = { presenceOf: async () => [back] }
    const aside = createAside({ executions, clients, now: () => 1000, release })
    t.equal(await aside.lookAtSome([{ _id: 'low', tenantId: 't1' } as HeldRun]), 'low')
    t.strictSame(looks.at(0), ['urgent'])
    t.strictSame(looks.at(-1), ['low', 'middle', 'urgent'])
  })
})

t.test('all runs of a round are asked for what is due at one moment, by priority', async (t) => {
  let clock = 1000
  const heldOf = (_id: string, priority: number) =>
    ({ _id, tenantId: 't1', state: 'RUNNING', priority, deadlineAt: 1e15, stopAt: 1e15, limits: {} }) as HeldRun
  const held = [heldOf('urgent', 5), heldOf('low', 1)]
  const asked: [string, number][] = []
  const settings = engineSettings(loadConfig(Config, { MONGODB_URI: 'mongodb://x', NATS_URL: 'nats://127.0.0.1:1' }))
  const deps = {
    runs: { collection: { findOne: async () => ({ _id: 'x', tasks: [], sources: {} }), updateMany: async () => {} } },
    executions: { collection: { distinct: async () => ['low', 'urgent'] } },
    leases: { renew: async () => held, keep: async () => {}, release: async () => {}, fence: () => ({}) },
    dispatch: async ({ _id }: HeldRun, _: unknown, at: number) => {
      asked.push([_id, at])
      clock += 50
    },
    settle: { count: async () => false, expire: async () => {} },
    aside: { lookAtSome: async () => undefined },
    halts: { sendDue: async () => {} },
    log: quietLog,
    now: () => clock,
    settings,
    isBehind: () => false
  }
  const engine = createEngine(deps as unknown as EngineDeps)
  engine.start()
  t.teardown(() => engine.stop())
  await until(() => asked.length >= 2, { what: 'both runs to be asked' })
  const [first, second] = asked
  t.strictSame([first?.[0], second?.[0]], ['urgent', 'low'])
  t.equal(first?.[1], second?.[1])
})
