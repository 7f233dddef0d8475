import { type Bus, loadConfig } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts } from '@fleetgate/testkit'
import t from 'tap'
import type { ClientStore, Presence } from '../src/clients/clientStore.js'
import { Config, engineSettings } from '../src/config.js'
import type { Execution } from '../src/executions/execution.js'
import { createExecutionStore } from '../src/executions/executionStore.js'
import { createAside } from '../src/runs/aside.js'
import { createDispatch } from '../src/runs/dispatch.js'

const held = {
  _id: 'r1',
  tenantId: 't1',
  jobId: 1,
  state: 'RUNNING' as const,
  priority: 0,
  deadlineAt: 10_000,
  epoch: 1,
  stopAt: Number.POSITIVE_INFINITY,
  limits: {},
  recount: false
}
const waiting: Execution = {
  _id: 'r1-1',
  tenantId: 't1',
  runId: 'r1',
  jobId: 1,
  clientId: 1,
  mqttClientId: 'm1',
  username: '',
  ip: '',
  state: 'QUEUED',
  open: true,
  hold: 'NONE',
  attempt: 1,
  epoch: 0,
  tries: 0,
  maxAttempts: 1,
  retryWaitMs: 0,
  dueAt: 0,
  createdAt: 0
}
const offline: Presence = { clientId: 1, mqttClientId: 'm1', enabled: true, status: 'OFFLINE' }

// What a machine may become between the engine's look at its presence and the note that the execution waits.
t.test('a machine that changes while it is put aside', async (t) => {
  const parts = await startParts(t, { nats: false })
  const store = await openStore({ uri: parts.mongoUri, database: 'dispatch', log: quietLog })
  t.teardown(() => store.close())
  const executions = createExecutionStore(store)

  /** Dispatches once; each look at the presence of the machine sees the next of `looks`. */
  async function dispatched(looks: Presence[][]): Promise<Execution | null> {
    await executions.collection.deleteMany({})
    await executions.insertMissing([{ ...waiting }])
    const left = [...looks]
    const clients = { presenceOf: async () => left.shift() ?? [] } as unknown as ClientStore
    const dispatch = createDispatch({
      executions,
      aside: createAside({ executions, clients, now: () => 1000, release: async () => undefined }),
      allowance: { look: async () => ({ givesOut: true, room: Number.POSITIVE_INFINITY }), take: async () => {} },
      bus: {} as Bus,
      log: quietLog,
      now: () => 1000,
      settings: engineSettings(loadConfig(Config, { MONGODB_URI: parts.mongoUri, NATS_URL: 'nats://127.0.0.1:1' })),
      isBehind: () => false
    })
    await dispatch(held, { tasks: [], sources: {} }, 1000)
    t.equal(left.length, 0, 'looked as often as expected')
    return executions.collection.findOne({ _id: waiting._id })
  }

  t.match(await dispatched([[offline], []]), {
    state: 'FAILED',
    message: 'the machine was deleted',
    open: undefined
  })
  t.match(await dispatched([[offline], [{ ...offline, status: 'ONLINE' }]]), { state: 'QUEUED', hold: 'NONE' })
  t.match(await dispatched([[offline], [offline]]), { state: 'QUEUED', hold: 'OFFLINE' })
})
