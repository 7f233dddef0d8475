import { newId } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { type Execution, executionIdOf, noCounts } from '../../src/executions/execution.js'
import { createStores } from '../../src/parts.js'
import { createPrune } from '../../src/runs/prune.js'
import type { Run } from '../../src/runs/run.js'

const dayMs = 86_400_000
const now = Date.UTC(2030, 0, 1)

t.test('old runs and alerts', async (t) => {
  const parts = await startParts(t, { nats: false, engine: true })
  const store = await openStore({ uri: parts.mongoUri, database: 'prune', log: quietLog })
  t.teardown(() => store.close())
  await store.sync()
  const { runs, executions, alerts } = createStores(store)
  const deps = { runs, executions, alerts, log: quietLog, now: () => now }

  async function addRun(endedDaysAgo: number | undefined, machines: number): Promise<string> {
    const run = runOf(endedDaysAgo === undefined ? undefined : now - endedDaysAgo * dayMs)
    await runs.insert(run)
    await executions.insertMissing(Array.from({ length: machines }, (_, i) => executionOf(run, i + 1)))
    return run._id
  }
  const left = async (runId: string) => [
    await runs.collection.countDocuments({ _id: runId }),
    await executions.collection.countDocuments({ runId })
  ]

  t.test('are deleted with their executions, in bounded batches; younger and open ones stay', async (t) => {
    const [old, young, open] = [await addRun(91, 1500), await addRun(89, 2), await addRun(undefined, 2)]
    const prune = createPrune({ ...deps, retentionDays: 90 })
    t.equal(await prune(), true, 'there is more')
    t.strictSame(await left(old), [1, 500], 'the run goes last')
    t.equal(await prune(), false)
    t.strictSame(await left(old), [0, 0])
    t.equal(await prune(), false)
    t.strictSame(
      [await left(young), await left(open)],
      [
        [1, 2],
        [1, 2]
      ]
    )
    await createPrune({ ...deps, retentionDays: 0 })()
    t.strictSame(await left(young), [1, 2])
  })

  t.test('wait until their event has gone out', async (t) => {
    const old = await addRun(91, 0)
    const entry = { id: 'e', subject: 's', data: {} }
    await runs.collection.updateOne({ _id: old }, { $set: { outbox: [entry] as never } })
    const prune = createPrune({ ...deps, retentionDays: 90 })
    await prune()
    t.strictSame(await left(old), [1, 0])
    await runs.collection.updateOne({ _id: old }, { $set: { outbox: [] } })
    await prune()
    t.strictSame(await left(old), [0, 0])
  })

  t.test('alerts go that were closed long ago, but for what is still to be told of them', async (t) => {
    const alert = { tenantId: 't1', kind: 'JOB_FAILED', subjectId: 1, message: 'x', raisedAt: 1 } as const
    const closedAt = now - 91 * dayMs
    const entry = { id: 'e', subject: 's', data: '{}', at: new Date(now) }
    await alerts.model.insertMany([
      ...Array.from({ length: 1001 }, (_, index) => ({ ...alert, _id: `old-${index}`, closedAt })),
      { ...alert, _id: 'open', open: true },
      { ...alert, _id: 'young', closedAt: now - 89 * dayMs },
      { ...alert, _id: 'unmailed', closedAt, unmailed: true },
      { ...alert, _id: 'untold', closedAt, outbox: [entry] }
    ])
    const prune = createPrune({ ...deps, retentionDays: 90 })
    t.equal(await prune(), true, 'there is more')
    t.equal(await prune(), false)
    t.strictSame((await alerts.model.distinct('_id')).toSorted(), ['open', 'unmailed', 'untold', 'young'])
  })
})

function runOf(endedAt: number | undefined): Run {
  const id = newId()
  const job = { name: 'x', description: '', priority: 0, executionTime: '', duration: 0, maxRetries: 0, retryWait: 0 }
  return {
    _id: id,
    tenantId: 't1',
    jobId: 1,
    triggerKey: `key:${id}`,
    job: { ...job, lastEditedAt: 1 },
    tasks: [],
    sources: {},
    targets: 1,
    counts: { ...noCounts },
    createdAt: 1,
    deadlineAt: 2,
    deadlineReason: 'late',
    lease: { owner: '', until: new Date(0), epoch: 0 },
    ...(endedAt === undefined ? { state: 'RUNNING', open: true } : { state: 'FINISHED', endedAt })
  }
}

function executionOf({ _id: runId, tenantId, jobId }: Run, clientId: number): Execution {
  return {
    _id: executionIdOf(runId, clientId),
    tenantId,
    runId,
    jobId,
    clientId,
    mqttClientId: `m${clientId}`,
    username: '',
    ip: '',
    state: 'SUCCEEDED',
    hold: 'NONE',
    attempt: 1,
    epoch: 1,
    tries: 0,
    maxAttempts: 1,
    retryWaitMs: 0,
    createdAt: 1
  }
}
