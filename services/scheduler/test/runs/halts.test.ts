import { type Bus, currentOrigin, type Deliver, loadConfig, type Origin, withOrigin } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import type { ClientStore, Presence } from '../../src/clients/clientStore.js'
import { Config, engineSettings } from '../../src/config.js'
import type { Execution, ExecutionState } from '../../src/executions/execution.js'
import { createExecutionStore } from '../../src/executions/executionStore.js'
import { createHalts } from '../../src/runs/halts.js'

function execution(clientId: number, state: ExecutionState, more: Partial<Execution> = {}): Execution {
  return {
    _id: `r1-${clientId}`,
    tenantId: 't1',
    runId: 'r1',
    jobId: 1,
    clientId,
    mqttClientId: `m${clientId}`,
    username: '',
    ip: '',
    state,
    open: true,
    hold: 'NONE',
    attempt: 1,
    epoch: 1,
    tries: 0,
    maxAttempts: 1,
    retryWaitMs: 0,
    createdAt: 0,
    ...more
  }
}

t.test('orders to machines to stop', async (t) => {
  const parts = await startParts(t, { nats: false })
  const store = await openStore({ uri: parts.mongoUri, database: 'halts', log: quietLog })
  t.teardown(() => store.close())
  const executions = createExecutionStore(store)
  await store.sync()
  const settings = engineSettings(loadConfig(Config, { MONGODB_URI: parts.mongoUri, NATS_URL: 'nats://127.0.0.1:1' }))
  const away = new Set<number>()
  let clock = 1_000
  let sent: Deliver[] = []
  const deps = {
    executions,
    clients: {
      presenceOf: async (_tenantId: string, ids: readonly number[]) =>
        ids.map((clientId) => ({ clientId, status: away.has(clientId) ? 'OFFLINE' : 'ONLINE' }) as Presence)
    } as Pick<ClientStore, 'presenceOf'>,
    bus: { command: async (_: unknown, data: Deliver) => void sent.push(data) } as unknown as Bus,
    log: quietLog,
    now: () => clock,
    settings,
    isBehind: () => false,
    onDue: () => {}
  }
  const halts = createHalts(deps)
  const told = () => sent.flatMap(({ targets }) => targets.map(({ clientId }) => clientId)).sort()
  const reset = async (...all: Execution[]) => {
    away.clear()
    sent = []
    await executions.collection.deleteMany({})
    await executions.insertMissing(all)
  }

  t.test('go to machines that were told to work, and to no others', async (t) => {
    await reset(
      execution(1, 'RUNNING', { attempt: 3 }),
      execution(2, 'DISPATCHED'),
      execution(3, 'QUEUED'),
      execution(4, 'RUNNING', { runId: 'r2' })
    )
    await halts.order({ runId: 'r1' }, 'why')
    await halts.order({ runId: 'r1' }, 'another reason')
    await halts.sendDue()
    t.strictSame(told(), ['m1', 'm2'])
    t.match(sent, [
      {
        tenantId: 't1',
        channel: 'stop',
        common: { reason: 'why' },
        targets: [{ own: { executionId: 'r1-1', attempt: 3 } }, { own: { executionId: 'r1-2', attempt: 1 } }]
      }
    ])
    await halts.order({ runId: 'r2' }, 'why', ['DISPATCHED'])
    await halts.order({ tenantId: 't2', mqttClientId: 'm4' }, 'why')
    await halts.sendDue()
    t.equal(sent.length, 1)
    await halts.order({ tenantId: 't1', mqttClientId: 'm4' }, 'why')
    await halts.sendDue()
    t.strictSame(told(), ['m1', 'm2', 'm4'])
  })

  t.test('go out under the id and trace of what each was ordered for', async (t) => {
    const withOrigins = createHalts({
      ...deps,
      bus: {
        command: async (_: unknown, data: Deliver) =>
          void origins.push([data.targets.map(({ clientId }) => clientId), currentOrigin()])
      } as never
    })
    const origins: [string[], Origin | undefined][] = []
    await reset(execution(1, 'RUNNING'), execution(2, 'RUNNING'), execution(3, 'RUNNING'), execution(4, 'RUNNING'))
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const order = (n: number) => withOrigins.order({ tenantId: 't1', mqttClientId: `m${n}` }, 'why')
    const first = { requestId: 'a', traceparent }
    await withOrigin(first, async () => {
      await order(1)
      await order(3)
    })
    await withOrigin({ requestId: 'b' }, () => order(2))
    await order(4)
    await withOrigin({ requestId: 'somebody else' }, () => withOrigins.sendDue())
    const found = Object.fromEntries(origins.map(([ids, origin]) => [ids.sort().join(), origin]))
    t.strictSame(found, { 'm1,m3': first, m2: { requestId: 'b' }, m4: undefined })
  })

  t.test('are told by one of two replicas, and again while there is no answer, though not for ever', async (t) => {
    await reset(...Array.from({ length: 20 }, (_, i) => execution(i + 1, 'RUNNING')))
    await halts.order({ runId: 'r1' }, 'why')
    const other = createHalts(deps)
    await Promise.all([halts.sendDue(), other.sendDue(), halts.sendDue()])
    t.equal(told().length, 20)
    t.equal(new Set(told()).size, 20)
    clock += settings.ackTimeoutMs - 1
    await other.sendDue()
    t.equal(told().length, 20)
    clock += 1
    await other.sendDue()
    t.equal(told().length, 40)
    for (let hour = 0; hour < 20; hour++) {
      clock += 3_600_000
      await halts.sendDue()
    }
    t.equal(told().length, 200, 'ten times each')
  })

  t.test('wait for a machine that is away, also where its execution has ended', async (t) => {
    await reset(execution(1, 'RUNNING'))
    away.add(1)
    await halts.order({ runId: 'r1' }, 'why')
    await halts.sendDue()
    clock += 3_600_000
    await halts.sendDue()
    t.equal(sent.length, 0)
    await executions.collection.updateOne({ _id: 'r1-1' }, { $set: { state: 'FAILED' }, $unset: { open: '' } } as never)
    away.clear()
    await halts.rearm('t2', ['m1'], 0)
    await halts.sendDue()
    t.equal(sent.length, 0, 'a machine of the same name of another tenant')
    await halts.rearm('t1', ['m1'], 50)
    await halts.sendDue()
    t.equal(sent.length, 0)
    clock += 50
    await halts.sendDue()
    t.strictSame(told(), ['m1'])
  })

  t.test('are taken back for the reason alone for which they were given', async (t) => {
    await reset(execution(1, 'RUNNING'))
    await halts.order({ runId: 'r1' }, 'why')
    await halts.withdraw('t1', 'm1', 'another')
    t.ok((await executions.find('t1', 'r1-1'))?.halt)
    await halts.withdraw('t1', 'm1', 'why')
    t.notOk((await executions.find('t1', 'r1-1'))?.halt)
    const isOrdered = { 'halt.attempt': { $exists: true } }
    for (const asked of [{ 'halt.dueAt': { $lte: 1 } }, { tenantId: 't1', mqttClientId: { $in: ['m1'] } }]) {
      const plan = await executions.collection.find({ ...isOrdered, ...asked } as never).explain()
      t.match(JSON.stringify(plan), /"IXSCAN".*"indexName":"[^"]*halt/)
    }
    await halts.sendDue()
    t.equal(sent.length, 0)
  })
})
