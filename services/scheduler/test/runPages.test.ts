import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import type { Execution, ExecutionState } from '../src/executions/execution.js'
import { createRunPages } from '../src/executions/runPages.js'
import { createStores } from '../src/parts.js'
import type { Run } from '../src/runs/run.js'
import type { Json } from './support.js'

/** Machines of each run, the oldest run first. */
const sizes = [3, 40, 1, 1, 25, 2]

interface Asked {
  query: object
  options: { sort: object; hint: object }
}

t.test('pages of the executions of many runs', async (t) => {
  const parts = await startParts(t, { nats: false })
  const store = await openStore({ uri: parts.mongoUri, database: 'pages', log: quietLog })
  t.teardown(() => store.close())
  const { runs, executions } = createStores(store)
  await store.sync()
  const common = {
    tenantId: 't1',
    hold: 'NONE',
    attempt: 1,
    epoch: 1,
    tries: 0,
    maxAttempts: 1,
    retryWaitMs: 0
  } as const
  const all: Execution[] = sizes.flatMap((size, run) =>
    Array.from({ length: size }, (_, machine): Execution => {
      const clientId = size - machine
      const state: ExecutionState = clientId % 3 === 0 ? 'FAILED' : 'SUCCEEDED'
      const names = { runId: `r${run}`, jobId: run % 2, clientId, mqttClientId: `m${clientId}`, username: '', ip: '' }
      return { _id: `r${run}-${clientId}`, ...common, ...names, state, createdAt: run, endedAt: run + 1 }
    })
  )
  await executions.insertMissing(all)
  await runs.collection.insertMany(
    sizes.map((targets, run) => {
      const failed = Math.floor(targets / 3)
      const counts = { total: targets, failed, succeeded: targets - failed, running: 0, waiting: 0 }
      return {
        _id: `r${run}`,
        tenantId: 't1',
        jobId: run % 2,
        triggerKey: `r${run}`,
        targets,
        counts,
        createdAt: run
      } as Run
    })
  )
  const byRuns = createRunPages({ runs, executions, large: 0, deepFrom: 5 })

  const filters = [
    {},
    { jobId: 1 },
    { since: 2 },
    { states: ['FAILED'] },
    { states: ['SUCCEEDED'], jobId: 0 },
    { states: ['SUCCEEDED', 'FAILED'] },
    { states: ['QUEUED'] },
    { runId: 'r1' },
    { runId: 'r1', clientId: 2 },
    { clientId: 1 }
  ] as const
  for (const filter of filters) {
    t.test(`are those of one walk through all: ${JSON.stringify(filter)}`, async (t) => {
      const wish = { tenantId: 't1', ...filter }
      const idsOf = ({ items, total }: { items: { _id: string }[]; total: number }) => [
        total,
        ...items.map(({ _id }) => _id)
      ]
      for (const limit of [1, 7, 30]) {
        for (let offset = 0; offset < all.length + limit; offset += limit) {
          const page = { offset, limit }
          t.same(idsOf(await byRuns(wish, page)), idsOf(await executions.list(wish, page)), JSON.stringify(page))
        }
      }
    })
  }

  t.test('of one run, unless it is of another tenant, another job, or older than asked for', async (t) => {
    const ask = async (wish: object) => {
      const { items, total } = await executions.list({ tenantId: 't1', runId: 'r1', ...wish }, { offset: 38, limit: 5 })
      return [total, ...items.map(({ clientId }) => clientId)]
    }
    t.same(await ask({}), [40, 39, 40])
    t.same(await ask({ jobId: 1, since: 1 }), [40, 39, 40])
    t.same(await ask({ states: ['FAILED'] }), [13])
    for (const wish of [{ tenantId: 't2' }, { jobId: 0 }, { since: 2 }])
      t.same(await ask(wish), [0], JSON.stringify(wish))
  })

  t.test('of what a machine said of its steps nothing is read where only its tasks are asked for', async (t) => {
    const log = {
      1: { 0: { kind: 'TASK_STARTED', taskId: 1, at: 1 } },
      2: {
        0: { kind: 'STEP_STARTED', taskId: 1, scriptId: 1, at: 2 },
        1: { kind: 'STEP_ENDED', taskId: 1, scriptId: 1, at: 3, output: 'x'.repeat(4_000) },
        2: { kind: 'TASK_ENDED', taskId: 1, at: 4, status: 'SUCCESS' }
      }
    }
    await executions.collection.updateOne({ _id: 'r1-40' }, { $set: { log } } as never)
    const [last, ...others] = (await executions.withTasks('r1', { offset: 37, limit: 3, of: 40 })).toReversed()
    t.same(
      others.map(({ clientId }) => clientId),
      [39, 38]
    )
    const { 1: step, ...rest } = log[2]
    t.ok(step)
    t.same(last?.log, { 1: log[1], 2: rest }, 'but the first of an attempt')
    t.same(await executions.withTasks('r1', { offset: 40, limit: 3, of: 40 }), [])
  })

  t.test('of a job by state read what is asked for and nothing else', async (t) => {
    const open = { state: 'QUEUED', endedAt: undefined, open: true, createdAt: 1 } as const
    const waiting = all.filter(({ runId }) => runId === 'r1').slice(0, 4)
    await executions.insertMissing(waiting.map((one) => ({ ...one, ...open, _id: `open-${one._id}`, runId: 'open' })))
    await runs.collection.insertOne({ _id: 'open', tenantId: 't1', jobId: 1, triggerKey: 'o', open: true } as Run)
    t.teardown(async () => {
      await runs.collection.deleteOne({ _id: 'open' })
      await executions.removeSome(['open'], 10)
    })
    const asked: Asked[] = []
    store.connection.set('debug', (_name: string, method: string, query: object, options: never) => {
      if (method === 'find' && _name === executions.collection.collectionName) asked.push({ query, options })
    })
    t.teardown(() => store.connection.set('debug', false))
    for (const [wish, rows, most = rows] of [
      [{ jobId: 1, states: ['FAILED'] }, 13],
      [{ jobId: 1, states: ['FAILED'], since: 4 }, 0],
      [{ jobId: 0, states: ['SUCCEEDED'] }, 20],
      [{ jobId: 1, states: ['QUEUED', 'DISPATCHED'] }, 4],
      [{ jobId: 1, states: ['RUNNING'] }, 0],
      // What the machine did in all jobs.
      [{ jobId: 0, clientId: 2, states: ['SUCCEEDED'] }, 2, 4]
    ] as const) {
      asked.length = 0
      const { items } = await byRuns({ tenantId: 't1', ...wish }, { offset: 0, limit: 100 })
      t.equal(items.length, rows, JSON.stringify(wish))
      const [{ query, options }] = asked as [Asked]
      const plan = executions.collection
        .find(query)
        .sort(options.sort as never)
        .hint(options.hint as never)
      const { executionStats } = (await plan.explain('executionStats')) as { executionStats: Json }
      t.ok(executionStats.totalDocsExamined <= most, `${executionStats.totalDocsExamined} read`)
      t.ok(executionStats.totalKeysExamined <= most + 4, `${executionStats.totalKeysExamined} looked at`)
    }
  })

  t.test(
    'of many runs at work it is known by two queries which of them wait for their machines alone, however many these are',
    async (t) => {
      const made = Array.from({ length: 40 }, (_, run) =>
        Array.from({ length: 20 }, (_, machine) => {
          const hold = run % 4 === 0 || machine % 2 === 0 ? (machine % 4 === 0 ? 'DISABLED' : 'OFFLINE') : 'NONE'
          const ended = run % 4 === 1 && { endedAt: 2, state: 'FAILED', hold: 'OFFLINE' }
          const runId = `work-${run}`
          const of = {
            runId,
            jobId: 7,
            clientId: machine,
            mqttClientId: `m${machine}`,
            username: '',
            ip: '',
            createdAt: 1
          }
          const how = ended || { hold, state: 'QUEUED', open: true }
          return { _id: `${runId}-${machine}`, ...common, ...of, ...how } as Execution
        })
      )
      const runIds = made.map(([one]) => one?.runId ?? '')
      await executions.insertMissing(made.flat())
      t.teardown(() => executions.removeSome(runIds, 1_000))
      const asked: { stages: object[]; options: Json }[] = []
      store.connection.set('debug', (name: string, _method: string, stages: object[], options: Json) => {
        if (name === executions.collection.collectionName) asked.push({ stages, options })
      })
      t.teardown(() => store.connection.set('debug', false))
      const isAway = (_: string, run: number) => run % 4 === 0
      t.strictSame([...(await executions.allAside(runIds))].sort(), runIds.filter(isAway).sort())
      t.equal(asked.length, 2)
      store.connection.set('debug', false)
      let looks = 0
      for (const { stages, options } of asked) {
        const plan = (await executions.collection.aggregate(stages, options).explain('executionStats')) as Json
        const { executionStats } = plan.stages?.[0]?.$cursor ?? plan
        t.equal(executionStats.totalDocsExamined, 0)
        looks += executionStats.totalKeysExamined
      }
      t.ok(looks <= 3 * runIds.length, `${looks} looked at`)
      t.strictSame([...(await executions.allAside([]))], [])
    }
  )

  t.test('of a run it is counted what is at work and what has ended', async (t) => {
    const [one] = all.filter(({ runId }) => runId === 'r1')
    const states = ['QUEUED', 'DISPATCHED', 'RUNNING', 'RUNNING'] as const
    const open = states.map((state, i) => ({ ...(one as Execution), _id: `r1-more-${i}`, state, clientId: 100 + i }))
    await executions.insertMissing(open)
    t.teardown(() => executions.collection.deleteMany({ _id: /^r1-more/ }))
    t.strictSame(await executions.count('r1'), { running: 2, succeeded: 27, failed: 13 })
    t.equal(await executions.size('r1'), 44)
    t.strictSame(await executions.count('none'), { running: 0, succeeded: 0, failed: 0 })
  })

  t.test('a short log is counted itself', async (t) => {
    await executions.removeSome(['r5'], 1)
    const { total } = await createRunPages({ runs, executions })({ tenantId: 't1' }, { offset: 0, limit: 1 })
    t.equal(total, all.length - 1)
  })
})
