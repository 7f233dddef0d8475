import { type Bus, deliver, isStorePath, type Log } from '@fleetgate/kit'
import type { ClientStore } from '../clients/clientStore.js'
import type { EngineSettings } from '../config.js'
import { type Execution, executionIdOf, goneEnd } from '../executions/execution.js'
import type { ExecutionStore } from '../executions/executionStore.js'
import type { JobStore } from '../jobs/jobStore.js'
import type { TaskStore } from '../tasks/taskStore.js'
import type { HeldRun, Leases } from './leases.js'
import { jobGone, type Run } from './run.js'
import type { RunStore } from './runStore.js'
import { type ServersDeps, serversOf } from './servers.js'
import { settled } from './settle.js'
import { isStaged, type RunSource, stageIdOf } from './sources.js'
import { nextStageStep, type ServerMachine } from './staging.js'
import { createFindStored } from './storedSources.js'

export interface PrepareDeps extends ServersDeps {
  runs: RunStore
  executions: ExecutionStore
  clients: ClientStore
  jobs: JobStore
  tasks: TaskStore
  leases: Leases
  bus: Bus
  log: Log
  now: () => number
  settings: EngineSettings
}

const chunkSize = 1000

/**
 * Brings a run from PREPARING to RUNNING: an execution for each frozen target, and every file offered. Each part may be
 * done again after a crash. Answers whether the run may be given out now.
 */
export function createPrepare(deps: PrepareDeps): (held: HeldRun) => Promise<boolean> {
  const { runs, executions, leases, now } = deps
  const findStored = createFindStored(deps)

  async function materialise(run: Run, held: HeldRun): Promise<void> {
    const ids = run.targetIds ?? []
    for (let i = 0; i < ids.length; i += chunkSize) {
      const chunk = ids.slice(i, i + chunkSize)
      const machines = await deps.clients.findMany(run.tenantId, chunk)
      const known = new Map(machines.map((machine) => [machine.clientId, machine]))
      const dueAt = now()
      const made = chunk.map((clientId, k) => {
        // In the order of the targets, and due at one moment: so the database gives them out.
        const [machine, groupId] = [known.get(clientId), run.targetGroups?.[i + k] ?? 0]
        return { ...(machine ? newExecution(run, machine, dueAt) : goneExecution(run, clientId, dueAt)), groupId }
      })
      await executions.insertMissing(made)
    }
    const taskIds = run.tasks.map(({ taskId }) => taskId)
    await deps.tasks.setLastRun(run.tenantId, taskIds, run.createdAt)
    const hasJob = await deps.jobs.setLastRun(run.tenantId, run.jobId, run.createdAt)
    // Opened while its job was being deleted: who deleted it did not see it.
    if (!hasJob) held.deadlineAt = now()
    const end = hasJob ? {} : { deadlineAt: held.deadlineAt, deadlineReason: jobGone }
    const [counted, targets] = await Promise.all([executions.count(run._id), executions.size(run._id)])
    const change = {
      $set: { counts: settled(counted, targets), targets, ...end },
      $unset: { targetIds: '' as const, targetGroups: '' as const }
    }
    await runs.collection.updateOne(leases.fence(held), change)
  }

  async function stage(run: Run, held: HeldRun): Promise<void> {
    const open = Object.entries(run.sources).filter(([, { state }]) => state === 'WAITING' || state === 'ASKED')
    for (const [key, source] of open) if (isStorePath(source.path)) await findStored(held, key, source)
    const offered = open.filter(([, { path }]) => !isStorePath(path))
    if (offered.length === 0) return
    const servers = await serversOf(deps, run)
    for (const [key, source] of offered) await stageOne(held, { key, source, servers })
  }

  async function stageOne(
    held: HeldRun,
    to: { key: string; source: RunSource; servers: ServerMachine[] }
  ): Promise<void> {
    const { key, source, servers } = to
    const { stageRepeatMs: repeatMs, stagePatienceMs: patienceMs } = deps.settings
    const step = nextStageStep(source, servers, { now: now(), repeatMs, patienceMs })
    const at = `sources.${key}`
    const isOpen = { ...leases.fence(held), [`${at}.state`]: { $in: ['WAITING', 'ASKED'] } }
    if (step.kind === 'fail') {
      await runs.collection.updateOne(isOpen, { $set: { [`${at}.state`]: 'FAILED', [`${at}.error`]: step.error } })
      deps.log.warn({ runId: held._id, path: source.path, reason: step.error }, 'file not offered')
    }
    if (step.kind === 'noServer' && source.state === 'ASKED') {
      await runs.collection.updateOne(isOpen, { $set: { [`${at}.state`]: 'WAITING' } })
    }
    if (step.kind !== 'ask') return
    const first = step.isNew ? { [`${at}.askedAt`]: now() } : {}
    const others = source.asked.filter((server) => server !== step.server)
    const asked = { [`${at}.asked`]: [...others, step.server], [`${at}.state`]: 'ASKED', [`${at}.sentAt`]: now() }
    const { matchedCount } = await runs.collection.updateOne(isOpen, { $set: { ...asked, ...first } })
    if (matchedCount > 0) await ask(held, { key, source, server: step.server })
  }

  async function ask(
    held: HeldRun,
    { key, source, server }: { key: string; source: RunSource; server: string }
  ): Promise<void> {
    const { path, ignoreHiddenFile, transferOption } = source
    const stageId = stageIdOf(held._id, key)
    const common = { stageId, runId: held._id, path, ignoreHiddenFile, ...(transferOption && { transferOption }) }
    const targets = [{ clientId: server, own: {} }]
    await deps.bus.command(deliver, { tenantId: held.tenantId, channel: 'stage', common, targets })
    deps.log.info({ runId: held._id, server, path }, 'SERVER machine asked to offer a file')
  }

  return async function prepare(held) {
    const run = await runs.collection.findOne(leases.fence(held))
    if (!run) return false
    if (run.targetIds) await materialise(run, held)
    await stage(run, held)
    const staged = await runs.collection.findOne(leases.fence(held), { projection: { sources: 1, targetIds: 1 } })
    if (!staged || staged.targetIds || !isStaged(staged)) return false
    const { matchedCount } = await runs.collection.updateOne(leases.fence(held), { $set: { state: 'RUNNING' } })
    return matchedCount > 0
  }
}

interface Target {
  clientId: number
  mqttClientId: string
  username: string
  ip: string
}

function newExecution(run: Run, machine: Target, now: number): Execution {
  const { clientId, mqttClientId, username, ip } = machine
  return {
    _id: executionIdOf(run._id, clientId),
    tenantId: run.tenantId,
    runId: run._id,
    jobId: run.jobId,
    clientId,
    mqttClientId,
    username,
    ip,
    state: 'QUEUED',
    open: true,
    hold: 'NONE',
    attempt: 1,
    epoch: 0,
    tries: 0,
    maxAttempts: 1 + run.job.maxRetries,
    retryWaitMs: run.job.retryWait * 1000,
    dueAt: now,
    createdAt: run.createdAt
  }
}

/** A target is told of even where its machine was deleted before its execution was made; only its number is known then. */
function goneExecution(run: Run, clientId: number, now: number): Execution {
  const { open, dueAt, ...made } = newExecution(run, { clientId, mqttClientId: '', username: '', ip: '' }, now)
  return { ...made, ...goneEnd(now) }
}
