import { type Bus, loadConfig } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import { Config, engineSettings } from '../src/config.js'
import { noCounts } from '../src/executions/execution.js'
import { createStores } from '../src/parts.js'
import { createLeases } from '../src/runs/leases.js'
import { createPrepare } from '../src/runs/prepare.js'
import type { Run } from '../src/runs/run.js'

t.test('a target that was deleted before its execution was made has a result all the same', async (t) => {
  const parts = await startParts(t, { nats: false })
  const store = await openStore({ uri: parts.mongoUri, database: 'prepare', log: quietLog })
  t.teardown(() => store.close())
  const stores = createStores(store)
  await store.sync()
  const draft = { username: 'u', ip: '', enabled: true, role: 'STORE' as const }
  const kept = await stores.clients.insert('t1', { ...draft, mqttClientId: 'kept' }, 1)
  const gone = await stores.clients.insert('t1', { ...draft, mqttClientId: 'gone' }, 1)
  await stores.runs.insert(runOf([kept.clientId, gone.clientId]))
  await stores.clients.remove('t1', gone.clientId)

  const leases = createLeases(stores.runs.collection, 'me', 10_000)
  const [held] = await leases.renew()
  const settings = engineSettings(loadConfig(Config, { MONGODB_URI: parts.mongoUri, NATS_URL: 'nats://127.0.0.1:1' }))
  const prepare = createPrepare({ ...stores, leases, bus: {} as Bus, log: quietLog, now: () => 1000, settings })
  t.ok(held && (await prepare(held)), 'prepared')

  const { items } = await stores.executions.list({ tenantId: 't1' }, { offset: 0, limit: 10 })
  const byClient = new Map(items.map((item) => [item.clientId, item]))
  t.match(byClient.get(kept.clientId), { state: 'QUEUED', mqttClientId: 'kept' })
  t.match(byClient.get(gone.clientId), { state: 'FAILED', message: 'the machine was deleted', endedAt: 1000 })
  t.match(await stores.runs.find('t1', 'r1'), { state: 'RUNNING', targets: 2, counts: { total: 2, failed: 1 } })
})

function runOf(targetIds: number[]): Run {
  return {
    _id: 'r1',
    tenantId: 't1',
    jobId: 1,
    triggerKey: 'once',
    state: 'PREPARING',
    open: true,
    job: {
      name: 'roll out',
      description: '',
      priority: 0,
      executionTime: '',
      duration: 0,
      maxRetries: 0,
      retryWait: 0,
      lastEditedAt: 0
    },
    tasks: [],
    sources: {},
    targetIds,
    targets: targetIds.length,
    counts: { ...noCounts },
    createdAt: 1,
    deadlineAt: 10_000,
    deadlineReason: 'late',
    lease: { owner: '', until: new Date(0), epoch: 0 }
  }
}
