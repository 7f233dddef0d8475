import type { Delivered, UplinkMessage } from '@fleetgate/kit'
import { quietLog, until } from '@fleetgate/testkit'
import t from 'tap'
import type { EngineSettings } from '../../src/config.js'
import { createOnReport, type OnReportDeps } from '../../src/executions/onReport.js'
import type { ExecutionHead } from '../../src/executions/reports.js'
import { createEngine, type EngineDeps } from '../../src/runs/engine.js'
import type { HeldRun } from '../../src/runs/leases.js'

/** The engine over one run that is given out already; what the database would answer is given by each test. */
function engineOver(
  count: () => Promise<boolean>,
  {
    isOurs = () => true,
    onRecount = () => {},
    leaseMs = 1_000
  }: { isOurs?: () => boolean; onRecount?: (runIds: string[]) => void; leaseMs?: number } = {}
) {
  const run: HeldRun = {
    _id: 'r1',
    tenantId: 't1',
    jobId: 1,
    state: 'RUNNING',
    priority: 0,
    deadlineAt: Date.now() + 60_000,
    stopAt: Number.POSITIVE_INFINITY,
    limits: {},
    epoch: 1,
    recount: false
  }
  const deps = {
    runs: {
      collection: {
        updateMany: async ({ _id, open }: { _id: { $in: string[] }; open: true }, { $set }: { $set?: object }) => {
          if (open && $set) onRecount(_id.$in)
        }
      }
    },
    executions: { collection: { distinct: async () => [] } },
    leases: { renew: async () => (isOurs() ? [run] : []), keep: async () => {}, release: async () => {} },
    settle: { count, expire: async () => {} },
    aside: { lookAtSome: async () => undefined },
    halts: { sendDue: async () => {} },
    log: quietLog,
    now: Date.now,
    settings: { sweepMs: 20, leaseMs } as EngineSettings,
    isBehind: () => false
  }
  return createEngine(deps as unknown as EngineDeps)
}

t.test('a run whose last count failed is counted again, though nothing more is reported', async (t) => {
  const counts: string[] = []
  const engine = engineOver(async () => {
    counts.push(counts.length === 0 ? 'failed' : 'made')
    if (counts.length === 1) throw new Error('the database is away')
    return true
  })
  engine.start()
  t.teardown(() => engine.stop())
  await until(() => counts.length > 1, { what: 'a second count', deadlineMs: 20_000 })
  t.strictSame(counts.slice(0, 2), ['failed', 'made'])
})

t.test('what a replica heard of a run that was taken over meanwhile is counted by the other one', async (t) => {
  const recounts: string[][] = []
  let isOurs = true
  let counts = 0
  const engine = engineOver(
    async () => {
      counts += 1
      return false
    },
    { isOurs: () => isOurs, onRecount: (runIds) => recounts.push(runIds), leaseMs: 60_000 }
  )
  engine.start()
  t.teardown(() => engine.stop())
  await until(() => counts > 0, { what: 'the run to be held', deadlineMs: 20_000 })
  // As if this process had been frozen: the lease is another's, and a report comes before that is noticed.
  isOurs = false
  await engine.onProgress(['r1'])
  await until(() => recounts.length > 0, { what: 'the other replica to be told', deadlineMs: 20_000 })
  t.strictSame(recounts, [['r1']])
})

t.test('a replica that could not renew its leases in time tells whoever drives the run', async (t) => {
  const recounts: string[][] = []
  let counts = 0
  const engine = engineOver(
    async () => {
      counts += 1
      return false
    },
    { onRecount: (runIds) => recounts.push(runIds), leaseMs: 0 }
  )
  engine.start()
  t.teardown(() => engine.stop())
  await until(() => counts > 0, { what: 'the run to be held', deadlineMs: 20_000 })
  await engine.onProgress(['r1'])
  t.strictSame(recounts, [['r1']])
})

t.test('a run is told of again where whoever applied a report died before it could tell', async (t) => {
  const told: string[][] = []
  const head: ExecutionHead = {
    _id: 'r1-1',
    tenantId: 't1',
    runId: 'r1',
    mqttClientId: 'm1',
    attempt: 1,
    maxAttempts: 1,
    retryWaitMs: 0,
    state: 'QUEUED',
    open: true,
    size: 100
  }
  const deps = {
    executions: {
      heads: async () => new Map([[head._id, head]]),
      collection: {
        bulkWrite: async () => {
          head.state = 'SUCCEEDED'
          delete head.open
        }
      }
    },
    log: quietLog,
    now: Date.now,
    silenceTimeoutMs: 1_000,
    async onProgress(runIds: string[]) {
      told.push(runIds)
      if (told.length === 1) throw new Error('the database is away')
    }
  }
  const onReport = createOnReport(deps as unknown as OnReportDeps)
  const event = { seq: 1, at: Date.now(), kind: 'FINISHED', status: 'SUCCESS' }
  const report = { executionId: head._id, attempt: 1, epoch: 1, sentAt: Date.now(), events: [event] }
  const data = { tenantId: 't1', clientId: 'm1', receivedAt: Date.now(), payload: Buffer.from(JSON.stringify(report)) }
  const messages = [{ data }] as unknown as Delivered<UplinkMessage>[]
  await t.rejects(onReport(messages), { message: 'the database is away' })
  await onReport(messages)
  t.strictSame(told, [['r1'], ['r1']])
})
