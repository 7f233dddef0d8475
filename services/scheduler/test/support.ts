import {
  type Bus,
  clientConnected,
  clientDisconnected,
  connectBus,
  createGuard,
  type Deliver,
  deliver,
  type ExecutionCommand,
  listConnectedClients,
  listPublicKeys,
  loadConfig,
  newId,
  type ReportEvent,
  type Role,
  type StageCommand,
  type Step,
  type UplinkChannel
} from '@fleetgate/kit'
import { openStore, type Store } from '@fleetgate/store'
import { createApi, type Parts, quietLog, type Session, type TestCaller, testGuardKeys } from '@fleetgate/testkit'
import { createScheduler, type Scheduler } from '../src/app.js'
import { Config } from '../src/config.js'

interface Teardown {
  teardown(close: () => unknown): unknown
}

export const keys = testGuardKeys()

export interface Replica {
  scheduler: Scheduler
  store: Store
  url: string
  as(caller?: TestCaller): Session
  /** Ends it as a shutdown would. */
  stop(): Promise<void>
}

export interface ReplicaOptions {
  parts: Parts
  database: string
  env?: Record<string, string>
  machineCa?: string
}

/** Short times, so that tests of repetition end soon. */
const quickEnv = {
  ACK_TIMEOUT_MS: '1000',
  SILENCE_TIMEOUT_MS: '3000',
  CONNECT_GRACE_MS: '50',
  LEASE_MS: '1000',
  SWEEP_MS: '100',
  STAGE_REPEAT_MS: '300',
  STAGE_PATIENCE_MS: '800',
  RECONCILE_MS: '60000',
  CHECK_REPLIES: 'true'
}

export async function startReplica(t: Teardown, options: ReplicaOptions): Promise<Replica> {
  const { parts, database, env, machineCa } = options
  const config = loadConfig(Config, { MONGODB_URI: parts.mongoUri, NATS_URL: parts.natsUrl, ...quickEnv, ...env })
  const bus = await connectBus({ name: 'scheduler', url: parts.natsUrl, log: quietLog })
  const store = await openStore({ uri: parts.mongoUri, database, log: quietLog })
  const guard = await createGuard({ log: quietLog, keys: async () => keys.keys })
  const scheduler = createScheduler({ config, store, bus, guard, log: quietLog, machineCa })
  await store.sync()
  await scheduler.start()
  const { url, close } = await scheduler.app.listen()
  let stopped: Promise<void> | undefined
  const stopAll = async () => {
    await close()
    await scheduler.stop()
    await guard.close()
    await store.close()
    await bus.close()
  }
  const stop = () => {
    stopped ??= stopAll()
    return stopped
  }
  t.teardown(stop)
  return { scheduler, store, url, as: (caller) => createApi(url).as(keys.token(caller)), stop }
}

export type Received = ExecutionCommand & { clientId: string; tenantId: string }
export type Staging = StageCommand & { clientId: string; tenantId: string }

/** What stands in for the broker and its machines: it takes commands from the bus and answers as machines would. */
export interface Fleet {
  bus: Bus
  /** Every execution command that came, in order. */
  received: Received[]
  staged: Staging[]
  /** What came on other channels. */
  others: ({ channel: string; clientId: string; tenantId: string } & Record<string, unknown>)[]
  onExecution: (command: Received) => Promise<void> | void
  onStage: (command: Staging) => Promise<void> | void
  connect(tenantId: string, clientIds: string[], role?: Role): Promise<void>
  disconnect(tenantId: string, clientIds: string[]): Promise<void>
  /** The broker has a connection of which no event told. */
  pretend(tenantId: string, clientId: string): void
  up(
    to: { tenantId: string; clientId: string; receivedAt?: number },
    channel: UplinkChannel,
    body: unknown
  ): Promise<void>
  report(command: Received, events: ReportEvent[], receivedAt?: number): Promise<void>
  /** Does everything and succeeds. */
  succeed(command: Received): Promise<void>
}

export async function startFleet(t: Teardown, parts: Parts): Promise<Fleet> {
  const bus = await connectBus({ name: 'broker-proxy', url: parts.natsUrl, log: quietLog })
  t.teardown(() => bus.close())
  const online = new Map<
    string,
    { tenantId: string; clientId: string; username: string; node: string; ip: string; connectedAt: number }
  >()

  const fleet: Fleet = {
    bus,
    received: [],
    staged: [],
    others: [],
    onExecution: (command) => fleet.succeed(command),
    onStage: (command) =>
      fleet.up(command, 'staged', { stageId: command.stageId, runId: command.runId, files: [file] }),

    async connect(tenantId, clientIds, role) {
      for (const clientId of clientIds) {
        const connection = {
          tenantId,
          clientId,
          username: `user-${clientId}`,
          node: 'n1',
          ip: '10.0.0.1',
          connectedAt: Date.now()
        }
        online.set(`${tenantId}/${clientId}`, connection)
        await bus.publish(clientConnected, connection)
        if (role)
          await fleet.up({ tenantId, clientId }, 'hello', { role, version: '1.0.0', attributes: { site: 'north' } })
      }
    },

    async disconnect(tenantId, clientIds) {
      for (const clientId of clientIds) {
        const connection = online.get(`${tenantId}/${clientId}`)
        online.delete(`${tenantId}/${clientId}`)
        if (connection)
          await bus.publish(clientDisconnected, { ...connection, disconnectedAt: Date.now(), reason: 'test' })
      }
    },

    pretend(tenantId, clientId) {
      online.set(`${tenantId}/${clientId}`, {
        tenantId,
        clientId,
        username: '',
        node: 'n1',
        ip: '',
        connectedAt: Date.now()
      })
    },

    up: ({ tenantId, clientId, receivedAt = Date.now() }, channel, body) =>
      bus.uplink({
        tenantId,
        clientId,
        username: `user-${clientId}`,
        channel,
        topic: `fleet/${clientId}/up/${channel}`,
        receivedAt,
        payload: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
      }),

    report: (command, events, receivedAt = Date.now()) => {
      const { executionId, attempt, epoch, tenantId, clientId } = command
      const body = { executionId, attempt, epoch, sentAt: receivedAt, events }
      return fleet.up({ tenantId, clientId, receivedAt }, 'report', body)
    },

    async succeed(command) {
      const events = successOf(command)
      await fleet.report(command, events.slice(0, 1))
      await fleet.report(command, events.slice(1))
    }
  }

  async function take({ tenantId, channel, common, targets }: Deliver): Promise<void> {
    for (const { clientId, own } of targets) {
      // A machine that is away hears nothing.
      if (!online.has(`${tenantId}/${clientId}`)) continue
      const command = { ...common, ...own, clientId, tenantId }
      if (channel === 'stage') {
        fleet.staged.push(command as Staging)
        await fleet.onStage(command as Staging)
      } else if (channel !== 'execution') {
        fleet.others.push({ ...command, channel })
      } else {
        fleet.received.push(command as Received)
        await fleet.onExecution(command as Received)
      }
    }
  }

  await bus.serve(listPublicKeys, async () => ({ keys: keys.keys }))
  await bus.serve(listConnectedClients, async ({ after = '', limit = 1000 }) => {
    const all = [...online.values()].sort((a, b) => (a.clientId < b.clientId ? -1 : 1))
    return { clients: all.filter(({ clientId }) => clientId > after).slice(0, limit), takenAt: Date.now() }
  })
  await bus.consumeCommands(deliver, { durable: 'broker-proxy' }, async (batch) => {
    for (const { data } of batch) await take(data)
  })
  return fleet
}

export const file = { path: '', sha256: 'a'.repeat(64), size: 3 }

/** The events of a machine on which every step succeeds; of an IF the true branch. */
export function successOf(command: Pick<ExecutionCommand, 'tasks'>, now = Date.now()): ReportEvent[] {
  const events: Omit<ReportEvent, 'seq' | 'at'>[] = [{ kind: 'RECEIVED' }]
  for (const { taskId, scripts } of command.tasks) {
    events.push({ kind: 'TASK_STARTED', taskId })
    const step = ({ scriptId, conditions, true: yes, false: no }: Step): void => {
      events.push({ kind: 'STEP_STARTED', taskId, scriptId })
      for (const inner of [...(conditions ?? []), ...(yes ?? [])]) step(inner)
      for (const other of no ?? []) {
        events.push({ kind: 'STEP_ENDED', taskId, scriptId: other.scriptId, status: 'SKIPPED' })
      }
      events.push({ kind: 'STEP_ENDED', taskId, scriptId, status: 'SUCCESS' })
    }
    for (const one of scripts) step(one)
    events.push({ kind: 'TASK_ENDED', taskId, status: 'SUCCESS' })
  }
  events.push({ kind: 'FINISHED', status: 'SUCCESS' })
  return events.map((event, i) => ({ ...event, seq: i + 1, at: now + i }))
}

/** Numbers from 0 to 1, the same for the same seed. */
export function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A tenant of its own for each test: nothing of another test is in its lists. */
export function newTenant(): string {
  return `t${newId().slice(-12)}`
}

// biome-ignore lint/suspicious/noExplicitAny: a test reads whatever the document says is there
export type Json = any

export const programStep = {
  type: 'EXECUTE_FILE',
  order: 0,
  filePath: 'bin/install',
  arguments: ['--now'],
  block: true
}

/** A job with one task of these steps, bound to all clients of the tenant that have one of the names. */
export async function makeJob(
  api: Session,
  { clients, steps = [programStep], job = {} }: { clients: string[]; steps?: unknown[]; job?: Record<string, unknown> }
): Promise<{ jobId: number; taskId: number; scriptIds: number[]; clientIds: number[] }> {
  const { jobId } = (await api.post<Json>('/v1/jobs', { jobName: 'roll out', ...job })).body
  const { taskId } = (await api.post<Json>('/v1/tasks', { taskName: 'install' })).body
  const saved = (await api.post<Json>(`/v1/tasks/${taskId}/scripts`, steps)).body
  const names = clients.map((name) => `mqttClientId=${encodeURIComponent(name)}`).join('&')
  const { list } = (await api.get<Json>(`/v1/clients?pageSize=1000&${names}`)).body
  const clientIds = list.map(({ clientId }: Json) => clientId)
  await api.put(`/v1/jobs/${jobId}/tasks`, [taskId])
  await api.put(`/v1/jobs/${jobId}/clients`, clientIds)
  return { jobId, taskId, scriptIds: saved.map(({ scriptId }: Json) => scriptId), clientIds }
}
