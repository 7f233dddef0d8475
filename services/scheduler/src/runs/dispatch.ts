import { type Bus, deliver, type ExecutionTask, type Log, newId, type Source } from '@fleetgate/kit'
import type { mongo } from 'mongoose'
import type { EngineSettings } from '../config.js'
import type { Execution } from '../executions/execution.js'
import type { ExecutionStore } from '../executions/executionStore.js'
import { chunksOf, groupBy } from '../inGroups.js'
import type { Allowance, Allowed } from './allowance.js'
import type { Aside } from './aside.js'
import { type Due, dueFields, dueFilter, type GivesOut } from './due.js'
import type { HeldRun } from './leases.js'

export interface DispatchDeps {
  executions: ExecutionStore
  allowance: Allowance
  aside: Pick<Aside, 'sift'>
  bus: Bus
  log: Log
  now: () => number
  settings: EngineSettings
  /** True while answers may lie unread: nobody is asked again then. */
  isBehind: () => boolean
  /** Told of each page of commands: milliseconds since the first of them was due. */
  onDispatched?: (lagMs: number) => void
}

/** `at`: what is due then is sent. The same for all runs of a round, so that none goes before one of higher priority that came due with it. */
export type Dispatch = (held: HeldRun, commands: Commands, at: number) => Promise<void>

export interface Commands {
  tasks: ExecutionTask[]
  sources: Record<string, Source>
}

const pageSize = 1000
const targetsPerCommand = 200
const longestWaitMs = 60_000

/**
 * Sends the command of every execution of a run that is due: waiting ones, ones whose machine has not confirmed, ones
 * whose machine is silent or has come back. Claiming is a bulk write guarded by the epoch read, so of two replicas only
 * one sends a given epoch; a crash between claim and command is healed by the claim's own due time.
 */
export function createDispatch(deps: DispatchDeps): Dispatch {
  const { now, settings } = deps
  const executions = deps.executions.collection

  /** Without a limit all of them in one look; with one, those that were sent before and as many new ones as there is room for. */
  async function findDue(run: HeldRun, { givesOut, room }: Allowed, at: number): Promise<Due[]> {
    const look = (givesOut: GivesOut, limit: number) =>
      executions
        .find(dueFilter([run._id], { now: at, isBehind: deps.isBehind(), givesOut }), { projection: dueFields })
        .limit(limit)
        .toArray() as Promise<Due[]>
    if (!givesOut) return look('NOTHING', pageSize)
    if (room === Number.POSITIVE_INFINITY) return look('ALL', pageSize)
    const again = await look('AGAIN', pageSize)
    return room === 0 ? again : [...again, ...(await look('NEW', Math.min(room, pageSize)))]
  }

  /** One bulk write, with one update per distinct (state, attempt, epoch, tries): in the usual case one in all. */
  async function claim(due: Due[]): Promise<Due[]> {
    const claimId = newId()
    const writes = groupsOf(due).map((group) => claimWrite(group, { claimId, now: now(), ...settings }))
    await executions.bulkWrite(writes, { ordered: false })
    const ours = { _id: { $in: due.map(({ _id }) => _id) }, open: true as const, claim: claimId }
    return executions.find(ours, { projection: dueFields }).toArray() as Promise<Due[]>
  }

  async function send(held: HeldRun, claimed: Due[], commands: Commands): Promise<void> {
    const traceparent = held.origin?.traceparent
    const common = { runId: held._id, jobId: held.jobId, ...(traceparent && { traceparent }), ...commands }
    const expiresInMs = Math.max(1, held.deadlineAt - now())
    const batches = chunksOf(claimed, targetsPerCommand).map((chunk) => {
      const targets = chunk.map(({ _id, mqttClientId, attempt, epoch }) => ({
        clientId: mqttClientId,
        own: { executionId: _id, attempt, epoch, expiresInMs }
      }))
      // The epoch of its first target names a batch: a repeated publish of the same claim is dropped by the stream.
      const id = `${chunk[0]?._id}:${chunk[0]?.epoch}`
      const message = { tenantId: held.tenantId, channel: 'execution' as const, common, targets }
      return deps.bus.command(deliver, message, { id })
    })
    await Promise.all(batches)
  }

  /** Answers how many were looked at. */
  async function givePage(
    held: HeldRun,
    allowed: Allowed,
    { commands, at }: { commands: Commands; at: number }
  ): Promise<number> {
    const due = await findDue(held, allowed, at)
    if (due.length === 0) return 0
    const isNew = ({ state }: Due) => state === 'QUEUED'
    const taken = due.filter(isNew).length
    await deps.allowance.take(held, allowed, taken)
    const ready = await deps.aside.sift(held.tenantId, due)
    await deps.allowance.take(held, allowed, ready.filter(isNew).length - taken)
    if (ready.length > 0) {
      const claimed = await claim(ready)
      await send(held, claimed, commands)
      deps.onDispatched?.(lagOf(ready, now()))
      deps.log.info({ runId: held._id, machines: claimed.length }, 'commands sent')
    }
    return due.length
  }

  return async function dispatch(held, commands, at) {
    for (;;) {
      const allowed = await deps.allowance.look(held)
      if (!allowed) return
      const looked = await givePage(held, allowed, { commands, at })
      const isPageFull = looked >= pageSize
      // Where room is short, machines that had to be put aside left some of it.
      const hasMore = allowed.room === Number.POSITIVE_INFINITY || looked === 0 ? isPageFull : true
      if (!hasMore) return
    }
  }
}

function lagOf(due: Due[], now: number): number {
  return due.reduce((longest, { dueAt = now }) => Math.max(longest, now - dueAt), 0)
}

interface ClaimTimes extends EngineSettings {
  claimId: string
  now: number
}

function claimWrite(group: Due[], times: ClaimTimes): mongo.AnyBulkWriteOperation<Execution> {
  const [{ state, attempt, epoch, tries }] = group as [Due]
  return {
    updateMany: {
      filter: { _id: { $in: group.map(({ _id }) => _id) }, open: true, state, attempt, epoch },
      update: {
        $set: {
          state: state === 'QUEUED' ? 'DISPATCHED' : state,
          claim: times.claimId,
          dueAt: times.now + waitOf(state, tries, times)
        },
        $inc: { epoch: 1, tries: 1 }
      }
    }
  }
}

/** A machine at work is asked again each minute; one that does not confirm soon at first, then ever more rarely. */
function waitOf(state: Due['state'], tries: number, { ackTimeoutMs, silenceTimeoutMs }: EngineSettings): number {
  if (state === 'RUNNING') return silenceTimeoutMs
  return Math.min(ackTimeoutMs * 2 ** Math.min(tries, 10), Math.max(longestWaitMs, ackTimeoutMs))
}

function groupsOf(due: Due[]): Due[][] {
  return [...groupBy(due, ({ state, attempt, epoch, tries }) => `${state}/${attempt}/${epoch}/${tries}`).values()]
}
